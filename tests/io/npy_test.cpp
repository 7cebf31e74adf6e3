// .npy and .npz files: what numpy writes, our own, damaged ones.
#include "pare/io/npy.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "io/golden_npy.h"
#include "pare/core/generator.h"
#include "temporary_folder.h"

namespace pare::io {
namespace {

using test::expect_error;
using test::TemporaryFolder;

std::string text_of(const std::vector<unsigned char>& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

TEST(NpyTest, ReadsWhatNumpyWrites) {
  const TemporaryFolder folder;
  EXPECT_GT(golden::arrays().size(), 30U);
  for (const golden::NpyCase& c : golden::arrays()) {
    SCOPED_TRACE(c.name);
    const Tensor got = load_npy(folder.write("x.npy", text_of(c.file)));
    Shape shape;
    for (const std::int64_t size : c.shape) shape.append(size);
    EXPECT_EQ(got.shape(), shape);
    EXPECT_EQ(got.dtype(), c.dtype);
    EXPECT_EQ(got.to(DType::f64).to_vector<double>(), c.values);
  }
}

TEST(NpyTest, WritesWhatNumpyWrites) {
  const TemporaryFolder folder;
  int same = 0;
  for (const golden::NpyCase& c : golden::arrays()) {
    SCOPED_TRACE(c.name);
    const Tensor array = load_npy(folder.write("x.npy", text_of(c.file)));
    save_npy(folder.path("y.npy"), array);
    const Tensor back = load_npy(folder.path("y.npy"));
    EXPECT_EQ(back.shape(), array.shape());
    EXPECT_EQ(back.dtype(), array.dtype());
    EXPECT_EQ(back.to(DType::f64).to_vector<double>(), c.values);
    // Little-endian arrays in C order come out byte for byte, but for numpy's padding of headers.
    const std::string bytes = folder.read("y.npy");
    same += bytes == text_of(c.file) ? 1 : 0;
    EXPECT_EQ((bytes.size() - array.bytes()) % 64, 0U);
  }
  EXPECT_GE(same, 9);
}

TEST(NpyTest, ChannelsLastIsWrittenInRowMajorOrder) {
  const TemporaryFolder folder;
  Generator generator(1);
  const Tensor x = generator.normal({2, 3, 4, 5});
  save_npy(folder.path("a.npy"), x);
  save_npy(folder.path("b.npy"), x.to(MemoryFormat::channels_last));
  EXPECT_EQ(folder.read("a.npy"), folder.read("b.npy"));
}

TEST(NpyTest, DamagedFilesAreErrors) {
  const TemporaryFolder folder;
  const auto file = [](const std::string& header, const std::string& elements = "") {
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header +
           elements;
  };
  const auto expect = [&](ErrorCode code, const std::string& content,
                          std::initializer_list<std::string> words) {
    const std::string path = folder.write("bad.npy", content);
    expect_error(code, {"bad.npy"}, [&] { load_npy(path); });
    expect_error(code, words, [&] { load_npy(path); });
  };
  constexpr ErrorCode corrupt = ErrorCode::corrupt_data, unsupported = ErrorCode::unsupported;
  const std::string good = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n";
  EXPECT_EQ(load_npy(folder.write("x.npy", file(good, "ab"))).to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{'a', 'b'}));
  expect(corrupt, "", {"start", "got 0"});
  expect(corrupt, "not an array", {"NUMPY"});
  expect(unsupported, std::string("\x93NUMPY\x04\x00\x00\x00\x00\x00", 12), {"version", "got 4"});
  expect(corrupt, file(good).substr(0, 30), {"bytes of header", "got 20"});
  expect(corrupt, file(good, "a"), {"[2] elements of u8", "got 1 bytes"});
  expect(corrupt, file(good, "abc"), {"[2] elements of u8", "got 3 bytes"});
  expect(corrupt, file("{'descr': '|u1', 'fortran_order': False}"), {"the keys"});
  expect(corrupt, file("{'descr': '|u1', 'descr': '|u1'}"), {"every key once"});
  expect(corrupt, file("{'other': 1}"), {"the keys", "byte 9"});
  expect(corrupt, file("('descr')"), {"'{'"});
  expect(corrupt, file("{'descr: 3"), {"a string"});
  expect(corrupt, file("{'fortran_order': Perhaps}"), {"True or False", "Perhaps"});
  expect(corrupt, file("{'shape': (2 3)}"), {"',' or ')'"});
  expect(corrupt, file("{'shape': (-2,)}"), {"an axis length", "-2"});
  expect(corrupt, file("{'shape': (99999999999999999999,)}"), {"an axis length"});
  expect(corrupt, file(good + "x"), {"the header's end", "'x'"});
  expect(corrupt,
         file("{'descr': '<f8', 'fortran_order': True, 'shape': (4294967296, 4294967296)}"),
         {"4294967296, 4294967296", "got 0 bytes"});
  expect(corrupt, file("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\1\2"),
         {"element 1", "bool", "got 2"});
  expect(unsupported, file("{'descr': '<c8', 'fortran_order': False, 'shape': ()}", "12345678"),
         {"'<c8'"});
  expect(unsupported, file("{'descr': '|O', 'fortran_order': False, 'shape': ()}"), {"'|O'"});
  expect(unsupported, file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}"),
         {"records"});
  expect(unsupported,
         file("{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "a"),
         {"axes", "got 9"});
  expect_error(ErrorCode::io_error, {"none.npy"}, [&] { load_npy(folder.path("none.npy")); });
}

TEST(NpyTest, TypesThatNumpyHasNotAreRefused) {
  const TemporaryFolder folder;
  for (const DType dtype : {DType::bf16, DType::i4, DType::u4}) {
    EXPECT_ERROR(save_npy(folder.path("x.npy"), Tensor::zeros({2}, dtype)), unsupported, "x.npy",
                 traits(dtype).name);
  }
  EXPECT_ERROR(save_npy(folder.path("x.npy"), Tensor()), invalid_argument, "undefined");
  EXPECT_ERROR(save_npy(folder.path("no/x.npy"), Tensor::zeros({2})), io_error, "x.npy");
  EXPECT_EQ(folder.files(), 0);
}

TEST(NpzTest, ReadsWhatNumpyWrites) {
  const TemporaryFolder folder;
  for (const golden::NpzCase& c : golden::archives()) {
    SCOPED_TRACE(c.name);
    const auto got = load_npz(folder.write("x.npz", text_of(c.file)));
    ASSERT_EQ(got.size(), 2U);
    EXPECT_EQ(got[0].name, "a");
    EXPECT_EQ(got[0].tensor.shape(), Shape({2, 3, 4}));
    EXPECT_EQ(got[0].tensor.to_vector<float>()[0], -7);
    EXPECT_EQ(got[0].tensor.to_vector<float>()[23], 16);
    EXPECT_EQ(got[1].name, "b");
    EXPECT_EQ(got[1].tensor.to_vector<std::int64_t>(), std::vector<std::int64_t>(200, 0));
  }
}

TEST(NpzTest, ReadsItsOwn) {
  const TemporaryFolder folder;
  Generator generator(2);
  const std::vector<NamedTensor> arrays{{"weights/first", generator.normal({3, 4}), false},
                                        {"empty", Tensor::zeros({0}), false},
                                        {"b", Tensor::scalar(3, DType::i64), false}};
  save_npz(folder.path("x.npz"), arrays);
  const auto back = load_npz(folder.path("x.npz"));
  ASSERT_EQ(back.size(), 3U);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ(back[i].name, arrays[i].name);
    EXPECT_EQ(back[i].tensor.shape(), arrays[i].tensor.shape());
    EXPECT_EQ(back[i].tensor.to(DType::f64).to_vector<double>(),
              arrays[i].tensor.to(DType::f64).to_vector<double>());
  }
  save_npz(folder.path("none.npz"), {});
  EXPECT_TRUE(load_npz(folder.path("none.npz")).empty());
}

TEST(NpzTest, DamagedArchivesAreErrors) {
  const TemporaryFolder folder;
  Generator generator(7);
  for (const golden::NpzCase& c : golden::archives()) {
    SCOPED_TRACE(c.name);
    const std::string whole = text_of(c.file);
    for (std::size_t size = 0; size < whole.size(); size += whole.size() / 25 + 1) {
      const std::string path = folder.write("bad.npz", whole.substr(0, size));
      expect_error(ErrorCode::corrupt_data, {"bad.npz"}, [&] { load_npz(path); });
    }
    for (int k = 0; k < 60; ++k) {
      std::string bytes = whole;
      char& byte = bytes[generator.below(bytes.size())];
      byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1 + generator.below(255)));
      const std::string path = folder.write("bad.npz", bytes);
      try {
        // What is not part of the arrays, such as times, may change.
        for (const NamedTensor& array : load_npz(path)) EXPECT_TRUE(array.tensor.defined());
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::corrupt_data ||
                    error.code() == ErrorCode::unsupported)
            << error.what();
      }
    }
  }
  const std::string path = folder.write("x.npz", text_of(golden::archives()[1].file));
  EXPECT_ERROR(load_npz(path, {.max_bytes = 1000}), corrupt_data, "array 'b'", "max_bytes");
  const std::vector<NamedTensor> twice{{"a", Tensor::zeros({1}), false},
                                       {"a", Tensor::zeros({1}), false}};
  EXPECT_ERROR(save_npz(folder.path("y.npz"), twice), invalid_argument, "differ", "'a'");
  const std::vector<NamedTensor> half{{"h", Tensor::zeros({1}, DType::bf16), false}};
  EXPECT_ERROR(save_npz(folder.path("y.npz"), half), unsupported, "bf16");
  const std::vector<NamedTensor> none{{"h", Tensor(), false}};
  EXPECT_ERROR(save_npz(folder.path("y.npz"), none), invalid_argument, "undefined");
}

}  // namespace
}  // namespace pare::io
