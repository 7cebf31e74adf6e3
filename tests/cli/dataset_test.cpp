// pare dataset: every kind of source, every option, nothing half written.
#include <gtest/gtest.h>

#include "cli/run_command.h"
#include "expect_error.h"
#include "pare/pare.h"

namespace pare::test {
namespace {

class DatasetTest : public testing::Test {
 protected:
  nlohmann::json make(std::vector<std::string> arguments, bool labels = false) const {
    arguments.insert(arguments.begin(), "dataset");
    arguments.insert(arguments.end(), {"-o", folder_.path("x.npy")});
    if (labels) arguments.insert(arguments.end(), {"--labels", folder_.path("y.npy")});
    return pare_json(arguments);
  }
  void expect_refused(int code, std::vector<std::string> arguments,
                      std::initializer_list<std::string> words) const {
    arguments.insert(arguments.begin(), "dataset");
    arguments.insert(arguments.end(),
                     {"-o", folder_.path("no.npy"), "--labels", folder_.path("noy.npy")});
    const int before = folder_.files();
    expect_failure(code, arguments, words);
    EXPECT_EQ(folder_.files(), before);
  }
  Tensor x() const { return io::load_npy(folder_.path("x.npy")); }
  Tensor y() const { return io::load_npy(folder_.path("y.npy")); }
  TemporaryFolder folder_;
};

Tensor picture(std::int64_t height, std::int64_t width, int seed) {
  std::vector<std::uint8_t> v;
  for (std::int64_t i = 0; i < 3 * height * width; ++i)
    v.push_back(static_cast<std::uint8_t>((i * 7 + seed * 31) % 251));
  return Tensor::from(v, {3, height, width});
}

std::vector<float> floats(const Tensor& t) { return t.to(DType::f32).to_vector<float>(); }

TEST_F(DatasetTest, IdxPicturesWithTheLabelsBesideThem) {
  const std::string images = folder_.write(
      "t10k-images-idx3-ubyte",
      bytes({0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40, 50, 60}));
  folder_.write("t10k-labels-idx1-ubyte", bytes({0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9}));
  auto json = make({images}, true);
  EXPECT_EQ(json["samples"], 3);
  EXPECT_EQ(json["shape"], nlohmann::json({3, 1, 1, 2}));
  EXPECT_EQ(json["dtype"], "u8");
  EXPECT_EQ(floats(x()), (std::vector<float>{10, 20, 30, 40, 50, 60}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{7, 8, 9}));
  make({images, "--take", "1:", "--scale", "1/10", "--mean", "1", "--std", "2"}, true);
  EXPECT_EQ(floats(x()), (std::vector<float>{1, 1.5, 2, 2.5}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{8, 9}));
  for (const auto& [take, expected] :
       std::vector<std::pair<std::string, std::vector<std::int64_t>>>{
           {"::2", {7, 9}}, {"-1:", {9}}, {":2", {7, 8}}, {"0:100", {7, 8, 9}}}) {
    make({images, "--take", take}, true);
    EXPECT_EQ(y().to_vector<std::int64_t>(), expected) << take;
  }
  for (const char* take : {"a:b", "3:1", "0:1:0", "1:2:3:4", "5:"})
    expect_refused(take[0] == '3' || take[0] == '5' ? 1 : 2, {images, "--take", take}, {});
}

TEST_F(DatasetTest, CifarFilesOneBehindTheOther) {
  const auto record = [](char label, char value) {
    return std::string(1, label) + std::string(1024, value) + std::string(2048, '\5');
  };
  const std::string a = folder_.write("a.bin", record(3, 1) + record(4, 2));
  const std::string b = folder_.write("b.bin", record(9, 3));
  const auto json = make({a, b, "--layout", "nhwc"}, true);
  EXPECT_EQ(json["shape"], nlohmann::json({3, 32, 32, 3}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{3, 4, 9}));
  const auto values = floats(x());
  EXPECT_EQ(std::vector<float>(values.begin(), values.begin() + 6),
            (std::vector<float>{1, 5, 5, 1, 5, 5}));
  make({a, "--scale", "1", "--mean", "1,2,3", "--std", "1,1,4"});
  const auto scaled = floats(x());
  EXPECT_EQ(scaled[0], 0);
  EXPECT_EQ(scaled[1024], 3);
  EXPECT_EQ(scaled[2048], 0.5F);
  expect_refused(1, {a, "--mean", "1,2"}, {"channels", "got 2"});
  expect_refused(2, {a, "--std", "0"}, {"--std"});
  expect_refused(2, {a, "--mean", "1,"}, {"--mean"});
}

TEST_F(DatasetTest, RawNumbers) {
  const std::string raw = folder_.write("x.dat", bytes({1, 255, 3, 4, 5, 6, 7, 8, 9, 10, 11, 128}));
  EXPECT_EQ(make({raw, "--raw", "i8:2x3"})["shape"], nlohmann::json({2, 2, 3}));
  EXPECT_EQ(floats(x()), (std::vector<float>{1, -1, 3, 4, 5, 6, 7, 8, 9, 10, 11, -128}));
  make({raw, "--raw", "i8:4", "--scale", "0.5", "--shape", "1,2,2"});
  EXPECT_EQ(x().shape(), (Shape{3, 1, 2, 2}));
  EXPECT_EQ(floats(x())[1], -0.5F);
  EXPECT_EQ(make({raw, "--raw", "u8"})["shape"], nlohmann::json({12}));
  EXPECT_EQ(make({raw, "--raw", "i32:1"})["shape"], nlohmann::json({3, 1}));
  expect_refused(1, {raw, "--raw", "u8:5"}, {"samples of 5 bytes", "12"});
  expect_refused(1, {raw, "--raw", "u8:4"}, {"--labels"});
  for (const char* spec : {"x8:4", "i8:", "i8:0", "i8:4x", "i4:4", "i8:9223372036854775807x9"})
    expect_refused(2, {raw, "--raw", spec}, {"--raw"});
}

TEST_F(DatasetTest, CsvWavAndText) {
  const std::string csv = folder_.write("t.csv", "a,class,b\n1,0,2\n3,1,4\n");
  make({csv, "--label-column", "class"}, true);
  EXPECT_EQ(floats(x()), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{0, 1}));
  make({csv, "--header"});
  EXPECT_EQ(x().shape(), (Shape{2, 3}));

  std::vector<float> samples;
  for (int i = 0; i < 10; ++i) samples.push_back(static_cast<float>(i) / 16);
  data::write_wav(folder_.path("s.wav"), {Tensor::from(samples, {1, 10}), 8000},
                  data::WavFormat::float32);
  make({folder_.path("s.wav"), "--length", "4", "--stride", "3", "--shape", "1,4"});
  EXPECT_EQ(x().shape(), (Shape{3, 1, 4}));
  EXPECT_EQ(floats(x())[4], 3.0F / 16);
  make({folder_.path("s.wav")});
  EXPECT_EQ(x().shape(), (Shape{1, 10}));

  const std::string text = folder_.write("t.txt", "abcabcabcabcabcabcab");
  make({text, "--length", "4", "--share", "0.5:1"}, true);
  EXPECT_EQ(x().shape(), (Shape{2, 4}));
  EXPECT_EQ(x().dtype(), DType::i64);
  EXPECT_EQ(x().to_vector<std::int64_t>(), (std::vector<std::int64_t>{1, 2, 0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{2, 0, 1, 2, 0, 1, 2, 0}));
  expect_refused(2, {text, "--share", "1:0"}, {"--share"});
  expect_refused(1, {text, "--length", "20"}, {"at least one sample"});
  expect_refused(2, {text, text}, {"one source"});
  expect_refused(2, {folder_.write("what", "?")}, {"--format"});
  expect_refused(1, {folder_.path("none.csv")}, {"none.csv"});
}

TEST_F(DatasetTest, FoldersOfPictures) {
  if (error_of([&] { data::write_png(folder_.path("p.png"), picture(1, 1, 0)); }) != "no error")
    GTEST_SKIP() << "built without PARE_IMAGES";
  namespace fs = std::filesystem;
  fs::create_directories(folder_.path("classes/cat"));
  fs::create_directories(folder_.path("classes/dog"));
  fs::create_directories(folder_.path("numbered"));
  data::write_png(folder_.path("classes/cat/1.png"), picture(4, 6, 1));
  data::write_png(folder_.path("classes/dog/1.png"), picture(4, 6, 2));
  data::write_png(folder_.path("classes/dog/2.png"), picture(8, 8, 3));
  data::write_png(folder_.path("numbered/0017_a.png"), picture(4, 6, 1));
  data::write_png(folder_.path("numbered/0003_b.png"), picture(4, 6, 2));
  make({folder_.path("numbered")}, true);
  EXPECT_EQ(x().shape(), (Shape{2, 3, 4, 6}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{3, 17}));
  EXPECT_EQ(floats(data::TensorDataset(x()).get(1).input), floats(picture(4, 6, 1)));
  make({folder_.path("classes"), "--size", "4"}, true);
  EXPECT_EQ(x().shape(), (Shape{3, 3, 4, 4}));
  EXPECT_EQ(y().to_vector<std::int64_t>(), (std::vector<std::int64_t>{0, 1, 1}));
  const Tensor middle =
      data::crop(picture(4, 6, 2), {.top = 0, .left = 1, .height = 4, .width = 4});
  EXPECT_EQ(floats(data::TensorDataset(x()).get(1).input), floats(middle));
  make({folder_.path("classes"), "--size", "5x7", "--channels", "1", "--threads", "2"});
  EXPECT_EQ(x().shape(), (Shape{3, 1, 5, 7}));
  make({folder_.path("classes/dog/2.png")});
  EXPECT_EQ(x().shape(), (Shape{1, 3, 8, 8}));
  expect_refused(1, {folder_.path("classes")}, {"sample 2", "--size"});
  expect_refused(2, {folder_.path("classes"), "--size", "0"}, {"--size"});
}

}  // namespace
}  // namespace pare::test
