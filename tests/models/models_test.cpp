// The models against PyTorch's, with weights that both sides compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "models/golden_models.h"
#include "models/noise.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/models/lenet5.h"
#include "pare/models/mlp.h"
#include "pare/models/resnet_cifar.h"

namespace pare {
namespace {

using test::noise;

void fill(nn::Module& net) {
  Generator generator(0);
  nn::initialize(net, generator);
  const NoGrad scope;
  std::uint32_t number = 1;
  for (auto& [name, tensor, trainable] : net.state()) {
    Tensor values = noise(number++, tensor.shape());
    if (tensor.rank() > 1) {
      const auto fan = static_cast<double>(tensor.elements() / tensor.dim(0));
      values = values * static_cast<double>(static_cast<float>(4 / std::sqrt(fan)));
    } else if (name.ends_with("running_var") ||
               (name.find("bn") != std::string::npos && name.ends_with("weight"))) {
      values = values + 1.0;
    }
    tensor.copy_from(values);
  }
}

void expect_near(const Tensor& found, std::span<const float> expected, double tolerance) {
  const std::vector<float> values = found.to_vector<float>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected[i], tolerance) << "element " << i;
}

Tensor eval(nn::Module& net, const Tensor& x) {
  const NoGrad scope;
  return net(x);
}

const Shape kMnist{2, 1, 28, 28};
const Shape kCifar{4, 3, 32, 32};

TEST(Models, VerySimpleNetIsPyTorchs) {
  models::VerySimpleNet net;
  fill(net);
  const Tensor x = noise(1000, kMnist) * 2.0;
  expect_near(eval(net, x), test::golden::very_simple_logits, 1e-5);
  expect_near(eval(net, reshape(x, {2, 784})), test::golden::very_simple_logits, 1e-5);
}

TEST(Models, LeNet300_100IsPyTorchs) {
  models::LeNet300_100 net;
  fill(net);
  expect_near(eval(net, noise(1000, kMnist) * 2.0), test::golden::lenet300_100_logits, 1e-5);
}

TEST(Models, LeNet5IsPyTorchs) {
  models::LeNet5 net;
  fill(net);
  const Tensor x = noise(1000, kMnist) * 2.0;
  expect_near(eval(net, x), test::golden::lenet5_logits, 2e-5);
  expect_near(eval(net, x.to(MemoryFormat::channels_last)), test::golden::lenet5_logits, 2e-5);
}

TEST(Models, ResNetsArePyTorchs) {
  const Tensor x = noise(1001, kCifar) * 4.0;
  models::ResNetCifar small = models::resnet8();
  fill(small);
  expect_near(eval(small, x), test::golden::resnet8_logits, 5e-5);
  models::ResNetCifar large = models::resnet20();
  fill(large);
  expect_near(eval(large, x), test::golden::resnet20_logits, 2e-4);
  expect_near(eval(large, x.to(MemoryFormat::channels_last)), test::golden::resnet20_logits, 2e-4);
}

void expect_trains_as_pytorch(MemoryFormat format) {
  models::ResNetCifar net = models::resnet8();
  fill(net);
  ContextScope scope;
  scope->training = true;
  const Tensor labels = Tensor::from(std::vector<std::int64_t>{3, 1, 4, 1}, {4});
  const Tensor x = (noise(1001, kCifar) * 4.0).to(format);
  const Tensor loss = cross_entropy(net(x), labels);
  loss.backward();
  EXPECT_NEAR(loss.item(), test::golden::resnet8_loss[0], 1e-5);
  const Tensors parameters = net.parameters();
  ASSERT_EQ(parameters.size(), std::size(test::golden::resnet8_gradient_norms));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    double squares = 0;
    for (const float g : parameters[i].grad().to_vector<float>())
      squares += static_cast<double>(g) * static_cast<double>(g);
    const double expected = test::golden::resnet8_gradient_norms[i];
    EXPECT_NEAR(std::sqrt(squares), expected, 1e-4 * expected + 1e-6) << "parameter " << i;
  }
  const NoGrad no_grad;
  expect_near(slice(net.conv1.weight.value().grad(), 0, 0, 4), test::golden::resnet8_conv1_gradient,
              2e-5);
  const nn::Buffer& variance = net.layer3[0].as<models::BasicBlock>().bn2.running_var;
  expect_near(variance.value(), test::golden::resnet8_running_var, 1e-4);
}

TEST(Models, ResNet8TrainsAsPyTorchs) { expect_trains_as_pytorch(MemoryFormat::row_major); }

TEST(Models, ResNet8TrainsAsPyTorchsChannelsLast) {
  expect_trains_as_pytorch(MemoryFormat::channels_last);
}

std::vector<std::string> state_of(nn::Module& net) {
  std::vector<std::string> result;
  for (const auto& [name, tensor, trainable] : net.state())
    result.push_back(name + " " + tensor.shape().to_string());
  return result;
}

TEST(Models, NamesAndShapesArePyTorchs) {
  models::ResNetCifar resnet = models::resnet20();
  models::LeNet5 lenet;
  fill(resnet);
  fill(lenet);
  EXPECT_THAT(state_of(resnet), testing::ElementsAreArray(test::golden::resnet20_state));
  EXPECT_THAT(state_of(lenet), testing::ElementsAreArray(test::golden::lenet5_state));
}

TEST(Models, NumbersOfParametersAreThePapers) {
  const auto count = [](nn::Module&& net) {
    Generator generator(1);
    nn::initialize(net, generator);
    std::int64_t sum = 0;
    for (const Tensor& parameter : net.parameters()) sum += parameter.elements();
    return sum;
  };
  EXPECT_EQ(count(models::LeNet300_100()), 266'610);
  EXPECT_EQ(count(models::LeNet5()), 431'080);
  EXPECT_EQ(count(models::resnet20()), 269'722);     // He et al., table 6: 0.27 M
  EXPECT_EQ(count(models::resnet32()), 464'154);     // 0.46 M
  EXPECT_EQ(count(models::resnet44()), 658'586);     // 0.66 M
  EXPECT_EQ(count(models::resnet56()), 853'018);     // 0.85 M
  EXPECT_EQ(count(models::resnet110()), 1'727'962);  // 1.7 M
}

TEST(Models, ResNetStartsWithKaimingNormal) {
  models::ResNetCifar net = models::resnet20();
  Generator generator(3);
  nn::initialize(net, generator);
  double squares = 0;
  auto& conv = net.layer3[2].as<models::BasicBlock>().conv1;
  const std::vector<float> weight = conv.weight.value().to_vector<float>();
  for (const float w : weight) squares += static_cast<double>(w) * static_cast<double>(w);
  const double deviation = std::sqrt(squares / static_cast<double>(weight.size()));
  EXPECT_NEAR(deviation, std::sqrt(2.0 / (64 * 9)), 0.01 * std::sqrt(2.0 / (64 * 9)));
}

TEST(Models, ImpossibleBlocksAreRefused) {
  try {
    models::BasicBlock block({.in = 32, .out = 16});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::HasSubstr("in = 32, out = 16"));
  }
  EXPECT_THROW(models::ResNetCifar({.blocks = 0}), Error);
}

}  // namespace
}  // namespace pare
