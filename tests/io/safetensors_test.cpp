// safetensors: what Python wrote, what we write, and files that are not what they say.
#include "pare/io/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <numbers>

#include "expect_error.h"
#include "temporary_folder.h"

namespace pare::io {
namespace {

using test::bytes;
using test::expect_error;
using test::TemporaryFolder;

// Header and data as a file.
std::string file_of(const std::string& header, const std::string& data) {
  std::string text;
  for (int i = 0; i < 8; ++i) {
    text.push_back(static_cast<char>(header.size() >> (8 * i) & 255));
  }
  return text + header + data;
}

// One tensor of a header; dtype, shape and offsets are JSON.
struct Entry {
  std::string name, dtype, shape, offsets;
};

std::string file_of(const std::vector<Entry>& entries, const std::string& data) {
  std::string header;
  for (const Entry& entry : entries) {
    header += header.empty() ? "{" : ",";
    header.append("\"").append(entry.name).append("\":{\"dtype\":").append(entry.dtype);
    header.append(",\"shape\":").append(entry.shape);
    header.append(",\"data_offsets\":").append(entry.offsets).append("}");
  }
  return file_of(header + "}", data);
}

const Tensor& tensor(const TensorFile& file, const std::string& name) {
  const Tensor* found = file.find(name);
  if (found == nullptr) throw std::runtime_error("no " + name);
  return *found;
}

TEST(SafetensorsTest, ReadsWhatPythonWrote) {
  const TensorFile file = load_tensors(PARE_TEST_DATA_DIR "/safetensors/small.safetensors");
  EXPECT_EQ(file.tensors.size(), 13U);
  EXPECT_EQ(file.metadata.at("author"), "safetensors");
  EXPECT_EQ(tensor(file, "f32").shape(), Shape({2, 3}));
  EXPECT_EQ(
      tensor(file, "f32").to_vector<float>(),
      (std::vector<float>{1.5F, -2, 3.25F, 0, 1e-30F, std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(tensor(file, "f16").dtype(), DType::f16);
  EXPECT_EQ(tensor(file, "f16").to(DType::f32).to_vector<float>(),
            (std::vector<float>{1.5F, -0.25F, 65504}));
  EXPECT_EQ(tensor(file, "bf16").dtype(), DType::bf16);
  EXPECT_EQ(tensor(file, "bf16").to(DType::f32).to_vector<float>(),
            (std::vector<float>{1, -3, 256}));
  EXPECT_EQ(tensor(file, "f64").rank(), 0);
  EXPECT_EQ(tensor(file, "f64").item(), std::numbers::pi);
  EXPECT_EQ(tensor(file, "i64").to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{std::int64_t{1} << 62, -1}));
  EXPECT_EQ(tensor(file, "i32").shape(), Shape({2, 1}));
  EXPECT_EQ(tensor(file, "i32").to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{std::numeric_limits<std::int32_t>::min(), 7}));
  EXPECT_EQ(tensor(file, "i16").to_vector<std::int16_t>(), (std::vector<std::int16_t>{-300}));
  EXPECT_EQ(tensor(file, "u16").to_vector<std::uint16_t>(), (std::vector<std::uint16_t>{65535}));
  EXPECT_EQ(tensor(file, "i8").to_vector<std::int8_t>(), (std::vector<std::int8_t>{-128, 127}));
  EXPECT_EQ(tensor(file, "u8").to_vector<std::uint8_t>(), (std::vector<std::uint8_t>{255}));
  EXPECT_EQ(tensor(file, "bool").dtype(), DType::boolean);
  EXPECT_EQ(tensor(file, "bool").to(DType::f32).to_vector<float>(), (std::vector<float>{1, 0, 1}));
  EXPECT_EQ(tensor(file, "empty").shape(), Shape({0, 4}));
  EXPECT_EQ(tensor(file, "näme \"quoted\"").item(), 42);
}

TEST(SafetensorsTest, WritesWhatItReads) {
  const TemporaryFolder folder;
  const TensorFile golden = load_tensors(PARE_TEST_DATA_DIR "/safetensors/small.safetensors");
  save_tensors(folder.path("copy"), golden.tensors, golden.metadata);
  const TensorFile copy = load_tensors(folder.path("copy"));
  EXPECT_EQ(copy.metadata, golden.metadata);
  ASSERT_EQ(copy.tensors.size(), golden.tensors.size());
  for (const NamedTensor& named : golden.tensors) {
    const Tensor& other = tensor(copy, named.name);
    EXPECT_EQ(other.dtype(), named.tensor.dtype());
    EXPECT_EQ(other.shape(), named.tensor.shape());
    EXPECT_EQ(std::memcmp(other.raw(), named.tensor.raw(), other.bytes()), 0) << named.name;
  }
  // Every tensor lies aligned to its elements, and the data to eight bytes.
  const std::string text = folder.read("copy");
  EXPECT_EQ(static_cast<unsigned char>(text[0]) % 8, 0);
}

TEST(SafetensorsTest, ChannelsLastIsWrittenRowMajor) {
  const TemporaryFolder folder;
  const Tensor x = Tensor::from({1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 2, 2});
  const std::vector<NamedTensor> tensors{{"x", x.to(MemoryFormat::channels_last), false}};
  save_tensors(folder.path("x"), tensors);
  EXPECT_EQ(tensor(load_tensors(folder.path("x")), "x").to_vector<float>(), x.to_vector<float>());
}

TEST(SafetensorsTest, WritesAnEmptyFile) {
  const TemporaryFolder folder;
  save_tensors(folder.path("x"), {});
  EXPECT_TRUE(load_tensors(folder.path("x")).tensors.empty());
}

TEST(SafetensorsTest, DamagedFilesAreErrorsThatNameFileAndTensor) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& content, std::initializer_list<std::string> words,
                          ErrorCode code = ErrorCode::corrupt_data) {
    const std::string path = folder.write("bad.safetensors", content);
    expect_error(code, {"bad.safetensors"}, [&] { load_tensors(path); });
    expect_error(code, words, [&] { load_tensors(path); });
  };
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
    return file_of({{"w", dtype, shape, offsets}}, std::string(8, '\0'));
  };
  load_tensors(folder.write("good", one("\"F32\"", "[2]", "[0,8]")));

  expect("", {"at least 9 bytes", "got 0"});
  expect("abc", {"at least 9 bytes", "got 3"});
  expect(bytes({255, 255, 255, 255, 255, 255, 255, 255}) + "{}", {"header of 1 to 2 bytes", "got"});
  expect(bytes({100, 0, 0, 0, 0, 0, 0, 0}) + "{\"w\":{}}", {"header of 1 to 8 bytes", "got 100"});
  expect(bytes({0, 0, 0, 0, 0, 0, 0, 0}) + "{}", {"got 0"});
  expect(file_of("{\"w\":", ""), {"expected JSON"});
  expect(file_of("not json at all", ""), {"expected JSON"});
  expect(file_of("[1, 2]", ""), {"JSON object", "[1,2]"});
  expect(file_of("{} x", ""), {"expected JSON"});
  expect(file_of(std::string("{\"w\":").append(100'000, '['), ""), {"levels of brackets"});
  expect(file_of("{\"w\":7}", ""), {"tensor 'w'", "an object", "got 7"});
  expect(file_of("{\"__metadata__\":{\"a\":1}}", ""), {"__metadata__", "text for 'a'"});
  expect(file_of("{\"__metadata__\":3}", ""), {"__metadata__", "an object"});

  expect(one("\"F32\"", "[3]", "[0,8]"), {"tensor 'w'", "12 bytes for f32 [3]", "got 8"});
  expect(one("\"F64\"", "[2]", "[0,8]"), {"tensor 'w'", "16 bytes for f64 [2]", "got 8"});
  expect(one("\"F8_E4M3\"", "[8]", "[0,8]"), {"tensor 'w'", "F8_E4M3"}, ErrorCode::unsupported);
  expect(one("3", "[2]", "[0,8]"), {"tensor 'w'", "dtype", "got 3"});
  expect(one("\"F32\"", "[-2]", "[0,8]"), {"tensor 'w'", "whole numbers", "-2"});
  expect(one("\"F32\"", "[2.0]", "[0,8]"), {"tensor 'w'", "whole numbers", "2.0"});
  expect(one("\"F32\"", "2", "[0,8]"), {"tensor 'w'", "axes"});
  expect(one("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), {"tensor 'w'", "8 axes"});
  expect(one("\"F32\"", "[2]", "[8,0]"), {"tensor 'w'", "in order", "[8,0]"});
  expect(one("\"F32\"", "[2]", "[0,16]"), {"tensor 'w'", "8 bytes of data", "[0,16]"});
  expect(one("\"F32\"", "[2]", "[0]"), {"tensor 'w'", "two data_offsets"});
  expect(one("\"F32\"", "[2]", "[0,-8]"), {"tensor 'w'", "whole numbers"});
  // 2^60 elements; a product that overflows; a size that is no int64.
  expect(one("\"F32\"", "[1152921504606846976]", "[0,8]"), {"tensor 'w'", "4611686018427387904"});
  expect(one("\"F32\"", "[4294967296,4294967296]", "[0,8]"), {"tensor 'w'", "fits 8 bytes"});
  expect(one("\"F32\"", "[18446744073709551615]", "[0,8]"), {"tensor 'w'", "fits 8 bytes"});
  expect(one("\"F32\"", "[2]", "[0,18446744073709551615]"), {"tensor 'w'", "8 bytes of data"});

  expect(file_of("{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", std::string(8, '\0')),
         {"tensor 'w'", "'dtype'", "none"});
  expect(file_of("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
                 std::string(8, '\0')),
         {"tensor 'w'", "'x'"});
  const auto two = [&](const std::string& first, const std::string& second,
                       const std::string& name = "v") {
    return file_of({{"w", "\"U8\"", "[4]", first}, {name, "\"U8\"", "[4]", second}},
                   std::string(8, '\0'));
  };
  load_tensors(folder.write("good", two("[4,8]", "[0,4]")));
  expect(two("[0,4]", "[2,6]"), {"tensor 'v'", "byte 4", "got 2", "overlap"});
  expect(two("[0,4]", "[0,4]"), {"byte 4", "got 0", "overlap"});
  expect(file_of({{"w", "\"U8\"", "[2]", "[0,2]"}, {"v", "\"U8\"", "[4]", "[4,8]"}},
                 std::string(8, '\0')),
         {"tensor 'v'", "byte 2", "got 4", "hole"});
  expect(two("[0,4]", "[4,8]") + "x", {"fill the 9 bytes", "got 8"});
  expect(two("[0,4]", "[4,8]", "w"), {"'w' twice"});
  const std::string whole = two("[0,4]", "[4,8]");
  expect(whole.substr(0, whole.size() - 1), {"tensor 'v'", "7 bytes of data"});
  expect(file_of({{"w", "\"BOOL\"", "[2]", "[0,2]"}}, bytes({1, 2})),
         {"tensor 'w'", "element 1", "0 or 1", "got 2"});
}

TEST(SafetensorsTest, PthFilesAreToldWhatToDo) {
  const TemporaryFolder folder;
  for (const std::string& start : {bytes({'P', 'K', 3, 4, 0, 0, 8, 8, 0, 0}),
                                   bytes({0x80, 2, 0x8a, 10, 'l', 0xfc, 0x9c, 'F', 0xf9, 0x20})}) {
    const std::string path = folder.write("net.pth", start + std::string(100, 'x'));
    expect_error(ErrorCode::unsupported,
                 {"net.pth", "torch.save", "safetensors.torch.save_file(model.state_dict()"},
                 [&] { load_tensors(path); });
  }
}

TEST(SafetensorsTest, WhatCannotBeReadOrWrittenIsAnError) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::io_error, {"nowhere"}, [&] { load_tensors(folder.path("nowhere")); });
  expect_error(ErrorCode::io_error, {"regular file"}, [&] { load_tensors(folder.path("")); });
  const Tensor x = Tensor::from({1}, {1});
  const auto save = [&](const std::vector<NamedTensor>& tensors) {
    save_tensors(folder.path("x"), tensors);
  };
  expect_error(ErrorCode::invalid_argument, {"'a'", "twice"}, [&] {
    save({{"a", x, false}, {"a", x, false}});
  });
  expect_error(ErrorCode::invalid_argument, {"'a'", "undefined"}, [&] {
    save({{"a", {}, false}});
  });
  expect_error(ErrorCode::invalid_argument, {"__metadata__"}, [&] {
    save({{"__metadata__", x, false}});
  });
  expect_error(ErrorCode::invalid_argument, {"UTF-8"}, [&] { save({{"\xff", x, false}}); });
  expect_error(ErrorCode::unsupported, {"'a'", "i4"}, [&] {
    save({{"a", Tensor::empty({2}, DType::i4), false}});
  });
  EXPECT_EQ(folder.files(), 0);
}

}  // namespace
}  // namespace pare::io
