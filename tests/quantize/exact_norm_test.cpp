// BatchNormForm::exact: PyTorch's slow path, and what becomes of channels with a factor of 0.
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

#include "pare/pare.h"
#include "quantize/golden_exact_norm.h"
#include "quantize/nets.h"
#include "quantize/textures.h"

namespace pare::quantize {
namespace {

namespace golden = golden_exact_norm;
using test::infer_with;
using test::OneConv;
using test::sqnr;

void expect_near(const Tensor& found, std::span<const float> wanted, float tolerance) {
  const std::vector<float> values = found.to_vector<float>();
  ASSERT_EQ(values.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(values[i], wanted[i], tolerance) << i;
}

Tensor golden_tensor(std::span<const float> values, const Shape& shape) {
  return Tensor::from(std::vector<float>(values.begin(), values.end()), shape);
}

QConfig four_bits(Granularity granularity) {
  QConfig config = QConfig::portable();
  config.weight_qmax = 7;
  config.depthwise_weight_qmax = 7;
  config.weight_granularity = granularity;
  return config;
}

TEST(ExactBatchNorm, AStepIsPyTorchsSlowPath) {
  OneConv net(true, false, nn::Conv2dOptions{.in = 3, .out = 4, .kernel = 3, .padding = 1});
  Tensor x = golden_tensor(golden::kX, {3, 3, 5, 5});
  Graph graph = test::graph_of(net, x);
  const auto set = [&](const char* name, std::span<const float> values) {
    Tensor& leaf = graph.edit_value(graph.find_value(name)).tensor;
    ASSERT_EQ(static_cast<std::size_t>(leaf.elements()), values.size()) << name;
    std::copy(values.begin(), values.end(), leaf.mutable_data<float>());
  };
  set("conv.weight", golden::kWeight);
  set("conv.bias", golden::kBias);
  set("norm.weight", golden::kGamma);
  set("norm.bias", golden::kBeta);
  set("norm.running_mean", golden::kMean);
  set("norm.running_var", golden::kVariance);

  Graph qat =
      prepare_qat(graph, four_bits(Granularity::per_tensor), {.batch_norm = BatchNormForm::exact});
  ContextScope scope;
  scope->threads = 1;
  scope->training = true;
  x.set_requires_grad(true);
  const Tensor y = qat(x);
  // β moves by half a unit of the integers' biases at most.
  expect_near(y, golden::kY, 2e-3F);
  sum(mul(y, golden_tensor(golden::kG, y.shape()))).backward();
  const auto gradient = [&](const char* name) {
    return qat.value(qat.find_value(name)).tensor.grad();
  };
  expect_near(x.grad(), golden::kGradX, 2e-4F);
  expect_near(gradient("conv.weight"), golden::kGradWeight, 2e-3F);
  expect_near(gradient("norm.weight"), golden::kGradGamma, 2e-3F);
  expect_near(gradient("norm.bias"), golden::kGradBeta, 2e-3F);

  // Evaluated by statistics that did not move, as PyTorch's did not.
  Graph still =
      prepare_qat(graph, four_bits(Granularity::per_tensor), {.batch_norm = BatchNormForm::exact});
  freeze_batch_norm(still);
  still(x.detach());
  expect_near(infer_with(still, x.detach()), golden::kEvaluated, 2e-3F);
}

TEST(ExactBatchNorm, WhatIsConvertedIsWhatWasEvaluated) {
  const Tensor x = Generator(9).normal({8, 3, 8, 8});
  for (const Granularity granularity : {Granularity::per_tensor, Granularity::per_channel})
    for (const TrainingMethod method : {TrainingMethod::moving_average, TrainingMethod::lsq}) {
      test::Branchy net;
      Graph qat = prepare_qat(test::graph_of(net, x), four_bits(granularity),
                              {.method = method, .batch_norm = BatchNormForm::exact});
      test::train(qat, 5, 1e-3, 3);
      Graph int8 = convert(qat).graph;
      for (const Graph::Node& node : int8.nodes()) {
        EXPECT_NE(node.call.op, &kBatchNorm);
        EXPECT_EQ(node.name.find("_unrounded"), std::string::npos) << node.name;
      }
      EXPECT_EQ(scale(int8, "stem.weight").rank(), granularity == Granularity::per_tensor ? 0 : 1);
      EXPECT_GT(sqnr(infer_with(qat, x), infer_with(int8, x)), 40);
      EXPECT_GT(sqnr(infer_with(qat, x), compile(qat).run(x)), 60);
      EXPECT_GT(sqnr(infer_with(int8, x), compile(int8).run(x)), 30);
    }
}

TEST(ExactBatchNorm, TheStatisticsDoNotDependOnTheRounding) {
  OneConv net(true, false, nn::Conv2dOptions{.in = 3, .out = 6, .kernel = 3});
  const Tensor x = Generator(10).uniform({4, 3, 6, 6}, 0, 8);
  Graph graph = test::graph_of(net, x);
  const auto moved = [&](Graph trained) {
    ContextScope scope;
    scope->training = true;
    scope->threads = 1;
    trained(x);
    return trained.value(trained.find_value("norm.running_var")).tensor.to_vector<float>();
  };
  QConfig config = four_bits(Granularity::per_tensor);
  config.weight_qmax = 1;  // −1, 0, 1: a coarse rounding
  const std::vector<float> plain = moved(graph.copy());
  const auto of = [&](BatchNormForm form) {
    return moved(prepare_qat(graph, config, {.batch_norm = form}));
  };
  const std::vector<float> exact = of(BatchNormForm::exact), folded = of(BatchNormForm::folded);
  float apart = 0;
  for (std::size_t c = 0; c < plain.size(); ++c) {
    EXPECT_NEAR(exact[c], plain[c], 1e-2F * plain[c]) << c;  // of the input's rounding alone
    apart = std::max(apart, std::abs(folded[c] - plain[c]) / plain[c]);
  }
  EXPECT_GT(apart, 0.1F);
}

// Codes of 0 in a channel whose γ is 0 would leave it without a gradient for good.
TEST(FoldedBatchNorm, AChannelOfFactorZeroComesBack) {
  const Tensor x = Generator(11).normal({4, 3, 6, 6});
  for (const BatchNormForm form : {BatchNormForm::folded, BatchNormForm::exact}) {
    OneConv net(true, false, nn::Conv2dOptions{.in = 3, .out = 6, .kernel = 3});
    Graph qat = prepare_qat(test::graph_of(net, x), four_bits(Granularity::per_tensor),
                            {.batch_norm = form});
    ContextScope scope;
    scope->training = true;
    scope->threads = 1;
    const Tensor y = qat(x);
    sum(mul(y, Generator(12).normal(y.shape()))).backward();
    const Tensor gamma = qat.value(qat.find_value("norm.weight")).tensor;
    ASSERT_EQ(gamma.data<float>()[1], 0);
    EXPECT_GT(std::abs(gamma.grad().data<float>()[1]), 1e-2F);
  }
}

}  // namespace
}  // namespace pare::quantize
