// The models against torchvision's: names and shapes of all, logits with the same weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "expect_error.h"
#include "models/golden_torchvision.h"
#include "models/noise.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/io/checkpoint.h"
#include "pare/models/conv_norm_activation.h"
#include "pare/models/ds_cnn.h"
#include "pare/models/mobilenet_v2.h"
#include "pare/models/mobilenet_v3.h"
#include "pare/models/resnet.h"
#include "pare/models/squeezenet.h"
#include "pare/models/vgg.h"
#include "temporary_folder.h"

namespace pare {
namespace {

using test::error_of;
using test::noise;
using testing::ElementsAreArray;
using testing::HasSubstr;
namespace golden = test::golden;

std::vector<std::string> lines_of(nn::Module& net) {
  std::vector<std::string> result;
  net.for_each_parameter([&](const std::string& name, const nn::Parameter& parameter) {
    result.push_back(name + " " + parameter.shape().to_string());
  });
  net.for_each_buffer([&](const std::string& name, const nn::Buffer& buffer) {
    result.push_back(name + " " + buffer.value().shape().to_string());
  });
  std::sort(result.begin(), result.end());
  return result;
}

void expect_state(nn::Module&& net, std::string_view name) {
  const auto* const expected = std::find_if(std::begin(golden::states), std::end(golden::states),
                                            [&](const auto& row) { return row.name == name; });
  ASSERT_NE(expected, std::end(golden::states)) << name;
  std::string all;
  const std::vector<std::string> lines = lines_of(net);
  for (const std::string& line : lines) all += line + "\n";
  EXPECT_EQ(lines.size(), static_cast<std::size_t>(expected->tensors)) << name;
  EXPECT_EQ(test::number_of(all), expected->hash) << name << "\n" << all;
}

// Within 1e-4 of the largest logit: the summation orders differ over up to fifty layers.
void expect_logits(nn::Module&& net, const Tensor& x, std::span<const float> expected) {
  test::fill_by_name(net);
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  const NoGrad scope;
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const std::vector<float> found = net(x.to(format)).to_vector<float>();
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], expected[i], 1e-4F * largest) << net.kind() << " element " << i;
  }
}

Tensor pictures() { return noise(1001, {2, 3, 64, 64}) * 4.0; }

double deviation(const nn::Parameter& parameter) {
  double squares = 0;
  for (const float w : parameter.value().to_vector<float>())
    squares += static_cast<double>(w) * static_cast<double>(w);
  return std::sqrt(squares / static_cast<double>(parameter.shape().elements()));
}

TEST(Torchvision, MobileNetV2) {
  models::MobileNetV2 net({.classes = 10});
  expect_state(models::mobilenet_v2(), "mobilenet_v2");
  models::MobileNetV2 listed;
  EXPECT_THAT(lines_of(listed), ElementsAreArray(golden::mobilenet_v2_state));
  expect_logits(models::MobileNetV2({.classes = 10}), pictures(), golden::mobilenet_v2_logits);
  expect_logits(models::MobileNetV2({.classes = 5, .in = 1, .width = 0.35}),
                noise(1002, {2, 1, 64, 64}) * 4.0, golden::mobilenet_v2_narrow_logits);
}

TEST(Torchvision, MobileNetV3) {
  expect_state(models::mobilenet_v3_small(), "mobilenet_v3_small");
  expect_state(models::mobilenet_v3_large(), "mobilenet_v3_large");
  models::MobileNetV3 listed;
  EXPECT_THAT(lines_of(listed), ElementsAreArray(golden::mobilenet_v3_small_state));
  expect_logits(models::mobilenet_v3_small({.classes = 10}), pictures(),
                golden::mobilenet_v3_small_logits);
  expect_logits(models::mobilenet_v3_large({.classes = 10}), pictures(),
                golden::mobilenet_v3_large_logits);
}

TEST(Torchvision, ResNetStates) {
  expect_state(models::resnet18(), "resnet18");
  expect_state(models::resnet34(), "resnet34");
  expect_state(models::resnet50(), "resnet50");
  expect_state(models::resnet101(), "resnet101");
  expect_state(models::resnet152(), "resnet152");
  expect_state(models::resnext50_32x4d(), "resnext50_32x4d");
  expect_state(models::wide_resnet50_2(), "wide_resnet50_2");
  models::ResNet listed;
  EXPECT_THAT(lines_of(listed), ElementsAreArray(golden::resnet18_state));
}

TEST(Torchvision, ResNetLogits) {
  expect_logits(models::resnet18({.classes = 10}), pictures(), golden::resnet18_logits);
  expect_logits(models::resnet50({.classes = 10}), pictures(), golden::resnet50_logits);
  expect_logits(models::resnext50_32x4d({.classes = 10}), pictures(),
                golden::resnext50_32x4d_logits);
}

TEST(Torchvision, SqueezeNet) {
  expect_state(models::squeezenet1_0(), "squeezenet1_0");
  expect_state(models::squeezenet1_1(), "squeezenet1_1");
  models::SqueezeNet listed({.version_1_1 = true});
  EXPECT_THAT(lines_of(listed), ElementsAreArray(golden::squeezenet1_1_state));
  expect_logits(models::squeezenet1_0({.classes = 10}), pictures(), golden::squeezenet1_0_logits);
  expect_logits(models::squeezenet1_1({.classes = 10}), pictures(), golden::squeezenet1_1_logits);
}

TEST(Torchvision, Vgg) {
  expect_state(models::vgg11(), "vgg11");
  expect_state(models::vgg13(), "vgg13");
  expect_state(models::vgg16(), "vgg16");
  expect_state(models::vgg19(), "vgg19");
  expect_state(models::vgg11_bn(), "vgg11_bn");
  expect_state(models::vgg13_bn(), "vgg13_bn");
  expect_state(models::vgg16_bn(), "vgg16_bn");
  expect_state(models::vgg19_bn(), "vgg19_bn");
  models::Vgg listed({.depth = 11, .batch_norm = true});
  EXPECT_THAT(lines_of(listed), ElementsAreArray(golden::vgg11_bn_state));
  const Tensor x = slice(slice(pictures(), 2, 0, 32), 3, 0, 32);
  expect_logits(models::vgg11({.classes = 10, .hidden = 16}), x, golden::vgg11_logits);
  expect_logits(models::vgg13_bn({.classes = 10, .hidden = 16}), x, golden::vgg13_bn_logits);
}

// What safetensors.torch.save_file(model.state_dict(), …) writes: other names' order, and the
// counters that pare has no use for.
TEST(Torchvision, AStateDictLoadsByName) {
  const test::TemporaryFolder folder;
  models::MobileNetV3 net({.classes = 10});
  std::vector<nn::NamedTensor> tensors;
  std::vector<std::string> lines = lines_of(net);
  std::reverse(lines.begin(), lines.end());
  {
    models::MobileNetV3 source({.classes = 10});
    test::fill_by_name(source);
    for (const std::string& line : lines) {
      const std::string name = line.substr(0, line.find(' '));
      for (const auto& named : source.state())
        if (named.name == name) tensors.push_back(named);
      if (name.ends_with("running_var"))
        tensors.push_back({name.substr(0, name.rfind('.')) + ".num_batches_tracked",
                           Tensor::full({}, 7, DType::i64), false});
    }
  }
  const std::string path = folder.path("mobilenet_v3_small.safetensors");
  io::save_tensors(path, tensors);
  const io::LoadReport report = io::load(net, path);
  EXPECT_TRUE(report.missing.empty());
  EXPECT_TRUE(report.unexpected.empty());
  const NoGrad scope;
  const std::vector<float> found = net(pictures()).to_vector<float>();
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], golden::mobilenet_v3_small_logits[i], 2e-4F) << i;
}

TEST(Torchvision, DsCnnIsTheReferences) {
  models::DsCnn net;
  EXPECT_THAT(lines_of(net), ElementsAreArray(golden::ds_cnn_state));
  expect_logits(models::DsCnn(), noise(1003, {3, 1, 49, 10}) * 4.0, golden::ds_cnn_logits);
}

TEST(Torchvision, FirstValuesAreItsOwn) {
  Generator generator(1);
  models::ResNet resnet({}, {.zero_init_residual = true});
  initialize(resnet, generator);
  auto& last = resnet.layer4[1].as<models::ResNetBasicBlock>();
  EXPECT_NEAR(deviation(last.conv2.weight), golden::first_deviations[0],
              0.01 * golden::first_deviations[0]);
  EXPECT_NEAR(deviation(resnet.fc.weight), golden::first_deviations[1],
              0.01 * golden::first_deviations[1]);
  EXPECT_EQ(deviation(last.bn2.weight), 0);
  EXPECT_EQ(deviation(last.bn1.weight), 1);
  models::MobileNetV2 mobile;
  initialize(mobile, generator);
  models::SqueezeNet squeeze({.version_1_1 = true});
  initialize(squeeze, generator);
  auto& expand = squeeze.features[12].as<models::Fire>().expand3x3;
  auto& classifier = squeeze.classifier[1].as<nn::Conv2d>();
  EXPECT_NEAR(deviation(expand.weight), golden::first_deviations[4],
              0.01 * golden::first_deviations[4]);
  EXPECT_NEAR(deviation(classifier.weight), golden::first_deviations[5],
              0.01 * golden::first_deviations[5]);
  EXPECT_EQ(deviation(expand.bias), 0);
  auto& block = mobile.features[17].as<models::InvertedResidual>().conv[1].as<nn::Sequential>();
  auto& linear = mobile.classifier[1].as<nn::Linear>();
  EXPECT_NEAR(deviation(block[0].as<nn::Conv2d>().weight), golden::first_deviations[2],
              0.03 * golden::first_deviations[2]);
  EXPECT_NEAR(deviation(linear.weight), golden::first_deviations[3],
              0.01 * golden::first_deviations[3]);
  EXPECT_EQ(deviation(linear.bias), 0);
}

TEST(Torchvision, ImpossibleOptionsAreRefused) {
  EXPECT_THAT(error_of([] { models::Vgg({.depth = 12}); }),
              HasSubstr("Vgg: expected a depth of 11, 13, 16 or 19, got 12"));
  EXPECT_THAT(error_of([] { models::MobileNetV2({.width = 0}); }),
              HasSubstr("MobileNetV2: expected a width above 0, got 0"));
  EXPECT_THAT(error_of([] { models::MobileNetV3({.width = -1}); }),
              HasSubstr("MobileNetV3: expected a width above 0, got -1"));
  EXPECT_THAT(error_of([] {
                models::ResNet({.blocks = {2, 2, 0, 2}});
              }),
              HasSubstr("ResNet: expected at least one block per stage, got 0"));
  EXPECT_THAT(
      error_of([] { models::ResNet({.groups = 32, .group_width = 4}); }),
      HasSubstr("ResNet: expected one group of width 64 with basic blocks, got 32 of width 4"));
  EXPECT_THAT(
      error_of([] { models::make_divisible(-1); }),
      HasSubstr("make_divisible: expected channels from 0 and a divisor of at least 1, got -1"));
  EXPECT_THAT(error_of([] { models::conv_norm_activation({.in = 4, .out = 4, .kernel = 2}); }),
              HasSubstr("conv_norm_activation: expected an odd kernel, got 2"));
  EXPECT_THAT(error_of([] { models::InvertedResidual({.in = 4, .out = 4, .expand = 0}); }),
              HasSubstr("InvertedResidual: expected expand of at least 1, got 0"));
  EXPECT_THAT(error_of([] { models::DsCnn({.blocks = 0}); }),
              HasSubstr("DsCnn: expected at least one block, got 0"));
}

}  // namespace
}  // namespace pare
