// The scores of the models of PARE_DATA_DIR, by commands alone: dataset, evaluate, convert.
#include <gtest/gtest.h>

#include "cli/run_command.h"
#include "core/sanitizers.h"

namespace pare::test {
namespace {

class ScoresTest : public testing::Test {
 protected:
  void SetUp() override {
    if (data_folder().empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
#if PARE_SANITIZED
    GTEST_SKIP() << "too slow under the sanitizers";
#endif
  }

  static std::string data(const std::string& name) { return data_folder() + "/" + name; }

  void make(std::vector<std::string> arguments, bool labels = true) const {
    arguments.insert(arguments.begin(), "dataset");
    arguments.insert(arguments.end(), {"-o", folder_.path("x.npy")});
    if (labels) arguments.insert(arguments.end(), {"--labels", folder_.path("y.npy")});
    pare_json(arguments);
  }

  nlohmann::json evaluate(const std::string& model, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{
        "evaluate", model, "--input", folder_.path("x.npy"), "--labels", folder_.path("y.npy")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return pare_json(arguments);
  }

  // The score of the model in a .pare file, which is made of the ONNX file. `slack`, in samples:
  // pictures are decoded.
  void expect_top1(const std::string& model, double score, std::int64_t samples, double slack,
                   const std::vector<std::string>& more = {}) const {
    const std::string own = folder_.path("m.pare");
    pare_json({"convert", data("models/" + model + ".onnx"), own});
    const auto json = evaluate(own, more);
    EXPECT_EQ(json["samples"], samples);
    EXPECT_NEAR(json["top1"].get<double>(), score, (slack + 0.01) / static_cast<double>(samples));
  }

  TemporaryFolder folder_;
};

const std::vector<std::string> kImageNet = {"--scale",           "1/255", "--mean",
                                            "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"};

std::vector<std::string> with(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(ScoresTest, MnistCntk) {
  make({data("mnist/t10k-images-idx3-ubyte.gz"), "--take", "0:1000"});
  expect_top1("mnist_cntk", 0.987, 1000, 0);
}

TEST_F(ScoresTest, KeywordSpotting) {
  pare_json(
      {"dataset", data("kws_mfcc/y_u8_1000.bin"), "--raw", "u8", "-o", folder_.path("y.npy")});
  make({data("kws_mfcc/x_int8_1000x490.bin"), "--raw", "i8:1x49x10", "--scale", "0.5847029",
        "--mean", "48.5303407"},
       false);
  expect_top1("mlperf_tiny_kws_dscnn", 0.901, 1000, 0);
}

TEST_F(ScoresTest, Cifar10) {
  make({data("cifar10/cifar10_test_A_5000.bin"), "--scale", "1"});
  expect_top1("mlperf_tiny_resnet8_cifar10", 0.8796, 5000, 0);
  make(with({data("cifar10/cifar10_test_A_5000.bin")}, kImageNet));
  expect_top1("resnet20_cifar10", 0.9224, 5000, 0);
  expect_top1("resnet20_cifar10_torch_export", 0.9224, 5000, 0);
}

TEST_F(ScoresTest, ImageNet) {
  make({data("imagenet_224"), "--scale", "1/127.5", "--mean", "1"});
  expect_top1("mobilenetv2_1.0_224_imagenet_fp32", 0.894, 500, 1, {"--label-offset", "1"});
  make(with({data("imagenet_224")}, kImageNet));
  expect_top1("squeezenet1.1_imagenet_fp32", 0.612, 500, 1);
}

TEST_F(ScoresTest, TinyGpt) {
  make({data("text/tinyshakespeare.txt"), "--share", "0.9:1", "--length", "64"});
  const auto json = evaluate(data("models/tinygpt_shakespeare_opset17.onnx"));
  EXPECT_NEAR(json["loss"].get<double>(), 1.791, 0.0006);
}

}  // namespace
}  // namespace pare::test
