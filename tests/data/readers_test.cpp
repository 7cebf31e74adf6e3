// Readers on small files made here, whole and damaged, and on the real ones where they are.
#include "pare/data/readers.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/gzip.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace pare::data {
namespace {

using test::bytes;
using test::expect_error;
using test::gzip;
using test::TemporaryFolder;

// --- IDX

const std::string kPictures =
    bytes({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255});
const std::string kLabels = bytes({0, 0, 8, 1, 0, 0, 0, 2, 7, 9});

TEST(IdxTest, ReadsPicturesAndLabels) {
  const TemporaryFolder folder;
  const std::string pictures = folder.write("train-images-idx3-ubyte", kPictures);
  const std::string labels = folder.write("train-labels-idx1-ubyte.gz", gzip(kLabels));
  for (const TensorDataset& set :
       {read_idx_pictures(pictures, labels), read_mnist(folder.path(""), true)}) {
    EXPECT_EQ(set.inputs().shape(), Shape({2, 1, 2, 3}));
    EXPECT_EQ(set.inputs().to_vector<std::uint8_t>(),
              (std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255}));
    EXPECT_EQ(set.labels().to_vector<std::int64_t>(), (std::vector<std::int64_t>{7, 9}));
  }
}

TEST(IdxTest, ReadsEveryElementType) {
  const TemporaryFolder folder;
  const auto read = [&](int code, const std::string& elements) {
    const int width = static_cast<int>(elements.size()) / 2;
    EXPECT_GT(width, 0);
    return read_idx(folder.write("x", bytes({0, 0, code, 1, 0, 0, 0, 2}) + elements));
  };
  EXPECT_EQ(read(0x09, bytes({255, 2})).to_vector<std::int8_t>(),
            (std::vector<std::int8_t>{-1, 2}));
  EXPECT_EQ(read(0x0B, bytes({1, 2, 255, 254})).to_vector<std::int16_t>(),
            (std::vector<std::int16_t>{258, -2}));
  EXPECT_EQ(read(0x0C, bytes({0, 0, 1, 0, 255, 255, 255, 255})).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{256, -1}));
  EXPECT_EQ(read(0x0D, bytes({0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0})).to_vector<float>(),
            (std::vector<float>{1.5F, -2}));
  EXPECT_EQ(read(0x0E, bytes({0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0}))
                .to_vector<double>(),
            (std::vector<double>{1.5, -2}));
}

TEST(IdxTest, ReadsSeveralGzipMembers) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", gzip(kLabels.substr(0, 5)) + gzip(kLabels.substr(5)));
  EXPECT_EQ(read_idx(path).to_vector<std::uint8_t>(), (std::vector<std::uint8_t>{7, 9}));
}

TEST(IdxTest, DamagedFilesAreErrorsThatSayWhatIsWrong) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& content, std::initializer_list<std::string> words) {
    const std::string path = folder.write("bad.idx", content);
    expect_error(ErrorCode::corrupt_data, {"bad.idx"}, [&] { read_idx(path); });
    expect_error(ErrorCode::corrupt_data, words, [&] { read_idx(path); });
  };
  expect("", {"4 bytes of IDX magic number at byte 0", "got 0"});
  expect("abcd", {"two zero bytes", "0x61"});
  expect(bytes({0, 0, 7, 1, 0, 0, 0, 1, 0}), {"element type", "byte 2", "0x07"});
  expect(bytes({0, 0, 8, 0}), {"1 to 8 axes", "got 0"});
  expect(bytes({0, 0, 8, 9}), {"1 to 8 axes", "got 9"});
  expect(bytes({0, 0, 8, 3, 0, 0, 0, 2, 0, 0}), {"axis length at byte 8", "got 2"});
  expect(kPictures.substr(0, 20), {"[2, 2, 3] elements of u8", "at most 4 bytes"});
  expect(kPictures + "x", {"end of the file", "byte 28", "got more"});
  // 2^60 elements, and a product that overflows 64 bits.
  expect(bytes({0, 0, 8, 2, 64, 0, 0, 0, 64, 0, 0, 0}), {"[1073741824, 1073741824]", "at most 0"});
  std::string overflow = bytes({0, 0, 0x0E, 8});
  for (int i = 0; i < 32; ++i) overflow += bytes({255});
  expect(overflow, {"4294967295", "at most 0"});
  expect(bytes({0, 0, 8, 3, 0xAD, 0x7E, 255, 255, 255, 255, 0, 255, 0, 0, 0, 0}),
         {"[2910781439, 4294902015, 0] elements of u8 after the header"});
}

TEST(IdxTest, DamagedGzipIsAnError) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& content, std::initializer_list<std::string> words) {
    const std::string path = folder.write("bad.gz", content);
    expect_error(ErrorCode::corrupt_data, words, [&] { read_idx(path); });
  };
  const std::string good = gzip(kPictures);
  expect(good.substr(0, good.size() - 9), {"bad.gz", "end of the compressed data"});
  std::string flipped = good;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  expect(flipped, {"bad.gz", "gzip data", "check"});
  expect(good + "rubbish", {"bad.gz", "gzip data"});
  expect(good.substr(0, 2), {"bad.gz"});
  // A bomb: megabytes of zeros behind a header that speaks of two elements.
  expect(gzip(bytes({0, 0, 8, 1, 0, 0, 0, 2}) + std::string(50'000'000, '\0')),
         {"bad.gz", "end of the file", "byte 10"});
  // A header that promises more than gzip could have packed into the file.
  expect(gzip(bytes({0, 0, 8, 2, 64, 0, 0, 0, 64, 0, 0, 0})), {"bad.gz", "at most"});
}

TEST(IdxTest, LongArraysAreRefusedBeforeAnythingIsAllocated) {
  const TemporaryFolder folder;
  // A true header: gzip does pack this many zeros into so few bytes.
  const std::string zeros =
      bytes({0, 0, 8, 1, 0, 0x10, 0, 0}) + std::string(std::size_t{1} << 20, '\0');
  const std::string path = folder.write("zeros.gz", gzip(zeros));
  EXPECT_EQ(read_idx(path).elements(), 1 << 20);
  EXPECT_EQ(read_idx(path, {.max_bytes = 1 << 20}).elements(), 1 << 20);
  expect_error(ErrorCode::corrupt_data, {"zeros.gz", "1048575 bytes (IdxOptions::max_bytes)"},
               [&] { read_idx(path, {.max_bytes = (1 << 20) - 1}); });
  expect_error(ErrorCode::corrupt_data, {"zeros.gz", "max_bytes"},
               [&] { read_idx_pictures(path, path, {.max_bytes = 10}); });
}

TEST(IdxTest, FilesThatCannotBeReadAreErrors) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::io_error, {"nowhere", "No such file"},
               [&] { read_idx(folder.path("nowhere")); });
  expect_error(ErrorCode::io_error, {"regular file"}, [&] { read_idx(folder.path("")); });
  expect_error(ErrorCode::io_error, {"train-images-idx3-ubyte"},
               [&] { read_mnist(folder.path(""), true); });
}

TEST(IdxTest, PicturesAndLabelsMustFit) {
  const TemporaryFolder folder;
  const std::string pictures = folder.write("pictures", kPictures);
  const std::string labels = folder.write("labels", bytes({0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3}));
  expect_error(ErrorCode::corrupt_data, {"labels: expected 2 labels", "got 3"},
               [&] { read_idx_pictures(pictures, labels); });
  expect_error(ErrorCode::corrupt_data, {"labels: expected pictures", "[3]"},
               [&] { read_idx_pictures(labels, labels); });
  expect_error(ErrorCode::corrupt_data, {"pictures: expected labels", "[2, 2, 3]"},
               [&] { read_idx_pictures(pictures, pictures); });
}

TEST(IdxTest, ReadsMnist) {
  const std::string data = test::data_folder();
  if (data.empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
  const TensorDataset set = read_mnist(data + "/mnist", false);
  EXPECT_EQ(set.inputs().shape(), Shape({10000, 1, 28, 28}));
  const auto labels = set.labels().to_vector<std::int64_t>();
  // The well-known first ten test digits.
  EXPECT_EQ(std::vector<std::int64_t>(labels.begin(), labels.begin() + 10),
            (std::vector<std::int64_t>{7, 2, 1, 0, 4, 1, 4, 9, 5, 9}));
  EXPECT_EQ(read_mnist(data + "/mnist", true).size(), 60000);
}

// --- CIFAR-10

std::string record(int label, int first) {
  std::string text = bytes({label});
  for (int i = 0; i < 3072; ++i) text += static_cast<char>(first + i / 1024);
  return text;
}

TEST(CifarTest, ReadsSeveralFiles) {
  const TemporaryFolder folder;
  const TensorDataset set = read_cifar10(
      {folder.write("a.bin", record(3, 10) + record(9, 20)), folder.write("b.bin", record(0, 30))});
  EXPECT_EQ(set.inputs().shape(), Shape({3, 3, 32, 32}));
  EXPECT_EQ(set.labels().to_vector<std::int64_t>(), (std::vector<std::int64_t>{3, 9, 0}));
  const auto pixels = set.inputs().to_vector<std::uint8_t>();
  EXPECT_EQ(pixels[1023], 10);
  EXPECT_EQ(pixels[1024], 11);
  EXPECT_EQ(pixels[3072 + 2048], 22);
  EXPECT_EQ(pixels.back(), 32);
}

TEST(CifarTest, DamagedFilesAreErrorsThatSayWhatIsWrong) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& content) {
    read_cifar10({folder.write("good.bin", record(1, 1)), folder.write("bad.bin", content)});
  };
  expect_error(ErrorCode::corrupt_data, {"bad.bin", "3073 bytes", "1 records and 1 bytes"},
               [&] { read(record(1, 1) + "x"); });
  expect_error(ErrorCode::corrupt_data, {"bad.bin", "got 0 bytes"}, [&] { read(""); });
  expect_error(ErrorCode::corrupt_data, {"bad.bin", "record 1", "0 … 9", "got 10"},
               [&] { read(record(1, 1) + record(10, 1)); });
  expect_error(ErrorCode::unsupported, {"bad.bin", "gzip"}, [&] { read(gzip(record(1, 1))); });
  expect_error(ErrorCode::io_error, {"nowhere"}, [&] { read_cifar10({folder.path("nowhere")}); });
  expect_error(ErrorCode::invalid_argument, {"at least one file"}, [] { read_cifar10({}); });
}

TEST(CifarTest, ReadsCifar10) {
  const std::string data = test::data_folder();
  if (data.empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
  const TensorDataset set = read_cifar10({data + "/cifar10/cifar10_test_A_5000.bin"});
  EXPECT_EQ(set.size(), 5000);
  std::vector<int> counts(10, 0);
  for (const std::int64_t label : set.labels().to_vector<std::int64_t>()) {
    ++counts[static_cast<std::size_t>(label)];
  }
  for (const int count : counts) EXPECT_GT(count, 400);
}

// --- CSV

TEST(CsvTest, ReadsNumbersAndClasses) {
  const TemporaryFolder folder;
  const std::string text = "1,2.5,0\r\n -3 ,\t4e-1,9\n\n";
  for (const std::string& content : {text, gzip(text), "\xEF\xBB\xBF" + text}) {
    const TensorDataset set = read_csv(folder.write("a.csv", content));
    EXPECT_EQ(set.inputs().shape(), Shape({2, 2}));
    EXPECT_EQ(set.inputs().to_vector<float>(), (std::vector<float>{1, 2.5F, -3, 0.4F}));
    EXPECT_EQ(set.labels().to_vector<std::int64_t>(), (std::vector<std::int64_t>{0, 9}));
  }
}

TEST(CsvTest, ReadsPlusSignsAndNumbersTooSmallForAFloat) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.csv", "1e-46,+1,+2.5e+1,+3\n-1e-400,1e-45,+0,-3\n");
  const TensorDataset set = read_csv(path);
  EXPECT_EQ(set.inputs().to_vector<float>(), (std::vector<float>{0, 1, 25, 0, 0x1p-149F, 0}));
  EXPECT_EQ(set.labels().to_vector<std::int64_t>(), (std::vector<std::int64_t>{3, -3}));
}

TEST(CsvTest, FindsTheLabelByColumnOrName) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.csv", "\"class\";x;y\n4;1;2\n5;3;4");
  const TensorDataset named =
      read_csv(path, {.header = true, .label_name = "class", .delimiter = ';'});
  EXPECT_EQ(named.labels().to_vector<std::int64_t>(), (std::vector<std::int64_t>{4, 5}));
  EXPECT_EQ(named.inputs().to_vector<float>(), (std::vector<float>{1, 2, 3, 4}));
  const TensorDataset middle =
      read_csv(path, {.header = true, .label_column = 1, .delimiter = ';'});
  EXPECT_EQ(middle.inputs().to_vector<float>(), (std::vector<float>{4, 2, 5, 4}));
  const TensorDataset numbers =
      read_csv(path, {.header = true, .label = CsvLabel::numbers, .delimiter = ';'});
  EXPECT_EQ(numbers.labels().shape(), Shape({2, 1}));
  EXPECT_EQ(numbers.labels().to_vector<float>(), (std::vector<float>{2, 4}));
  const TensorDataset none =
      read_csv(path, {.header = true, .label = CsvLabel::none, .delimiter = ';'});
  EXPECT_EQ(none.inputs().shape(), Shape({2, 3}));
  EXPECT_FALSE(none.labels().defined());
}

TEST(CsvTest, DamagedFilesAreErrorsThatSayLineAndColumn) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& content, std::initializer_list<std::string> words,
                          const CsvOptions& options = {}) {
    const std::string path = folder.write("bad.csv", content);
    expect_error(ErrorCode::corrupt_data, {"bad.csv"}, [&] { read_csv(path, options); });
    expect_error(ErrorCode::corrupt_data, words, [&] { read_csv(path, options); });
  };
  expect("1,2,3\n4,five,6\n", {"line 2, column 2", "finite number", "'five'"});
  expect("1,2,3\n4,,6\n", {"line 2, column 2", "''"});
  expect("1,2,3\n4,5x,6\n", {"line 2, column 2", "'5x'"});
  expect("1,nan,3\n", {"line 1, column 2", "'nan'"});
  expect("1,inf,3\n", {"line 1, column 2", "'inf'"});
  expect("1,1e60,3\n", {"line 1, column 2", "'1e60'"});
  expect("1,+-2,3\n", {"line 1, column 2", "'+-2'"});
  expect("1,++2,3\n", {"line 1, column 2", "'++2'"});
  expect("1,+,3\n", {"line 1, column 2", "'+'"});
  expect("1,2,3.5\n", {"line 1, column 3", "whole number", "'3.5'"});
  expect("1,2,3\n4,5\n", {"line 2", "3 fields", "got 2"});
  expect("1,2,3\n4,5,6,7\n", {"line 2", "3 fields", "got 4"});
  expect("1,2,3\n\n4,5,6\n", {"line 2", "3 fields", "got 1"});
  expect("", {"at least one line", "got none"});
  expect("a,b\n", {"at least one line"}, {.header = true});
  expect("5\n6\n", {"column besides the label"});
  expect("a,b\n1,2\n", {"line 1", "'c'", "a', 'b"}, {.header = true, .label_name = "c"});
  expect("1,2\n1,2\n", {"at most 5 bytes"}, {.max_bytes = 5});
  expect(gzip(std::string(10'000'000, '1')), {"at most 1000 bytes"}, {.max_bytes = 1000});
  expect(std::string(100'000, '7'), {"column 1", "77…"}, {.label = CsvLabel::none});
  const std::string path = folder.write("a.csv", "1,2\n");
  expect_error(ErrorCode::out_of_range, {"column 2", "got 2 columns"},
               [&] { read_csv(path, {.label_column = 2}); });
  expect_error(ErrorCode::invalid_argument, {"header"},
               [&] { read_csv(path, {.label_name = "x"}); });
}

}  // namespace
}  // namespace pare::data
