// Dynamically quantized recurrent layers: plans and the interpreter, PyTorch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "golden_noise.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/init.h"
#include "pare/nn/recurrent.h"
#include "pare/quantize/dynamic.h"
#include "pare/runtime/compile.h"
#include "quantize/dynamic_recurrent.h"
#include "quantize/golden_dynamic_recurrent.h"

namespace pare::quantize {
namespace {

namespace golden = golden_dynamic_recurrent;
using test::noise;
/// The plan's results are the interpreter's, to the bit.
template <class Net> void expect_plan(Net&& net, const Shape& shape) {
  Generator g(7);
  initialize(net, g);
  const Tensor x = g.normal(shape);
  Graph int8 = quantized(graph_of(net, x));
  const Plan plan = compile(int8, {.threads = 1});
  expect_integers(plan);
  const Tensors expected = int8.run({x});
  const Tensors found = plan.run(Tensors{x});
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t o = 0; o < found.size(); ++o)
    EXPECT_EQ(largest_difference(found[o], expected[o]), 0) << o;
}

TEST_F(DynamicRecurrent, PlansMultiplyIntegers) {
  expect_plan(nn::LSTM({.input_size = 9, .hidden_size = 17, .num_layers = 2}), {5, 3, 9});
  expect_plan(nn::LSTM({.input_size = 9, .hidden_size = 6, .bidirectional = true, .proj_size = 5}),
              {4, 2, 9});
  expect_plan(nn::GRU({.input_size = 70, .hidden_size = 33, .batch_first = true}), {2, 6, 70});
  expect_plan(nn::GRU({.input_size = 3, .hidden_size = 4, .bias = false, .bidirectional = true}),
              {7, 1, 3});
  expect_plan(nn::RNN({{.input_size = 5, .hidden_size = 8}}), {6, 2, 5});
}

// A product of the plan is exact: what one step makes of codes that hold the numbers exactly is
// what float arithmetic makes of them.
TEST_F(DynamicRecurrent, SumsAreExact) {
  constexpr std::int64_t kIn = 300, kHidden = 40;
  Generator g(8);
  nn::LSTM net({.input_size = kIn, .hidden_size = kHidden, .bias = false});
  initialize(net, g);
  std::vector<float> whole;
  for (std::int64_t k = 0; k < kIn; ++k) whole.push_back(static_cast<float>(k % 256));
  whole[1] = 255;
  const Tensor x = Tensor::from(whole, {1, 1, kIn});
  for (const nn::NamedTensor& weight : net.named_parameters()) {
    Tensor w = weight.tensor;
    float* to = w.mutable_data<float>();
    // Rows whose largest weight is 127 / 4096 have whole codes.
    for (std::int64_t i = 0; i < w.elements(); ++i)
      to[i] = static_cast<float>(i * 37 % 255 - 127) / 4096;
  }
  Graph graph = graph_of(net, x);
  const Plan plan = compile(quantized(graph), {.threads = 1});
  expect_integers(plan);
  EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], graph.run({x})[0]), 1e-6);
}

TEST_F(DynamicRecurrent, FloatWeightsAreNamed) {
  Generator g(9);
  nn::GRU net({.input_size = 5, .hidden_size = 4});
  initialize(net, g);
  const Tensor x = g.normal({3, 2, 5});
  Graph graph = graph_of(net, x);
  Graph int8 = quantized(graph);
  const int layer = int8.find_node("gru");
  int8.edit_node(layer).inputs[2] = int8.add_leaf(Graph::Kind::constant, "w", g.normal({12, 4}));
  int8.compact();
  const Plan plan = compile(int8, {.threads = 1});
  ASSERT_EQ(plan.report().left.size(), 1U);
  EXPECT_EQ(plan.report().left[0].text, "multiplies rounded rows in f32: its weights are floats");
  EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], int8.run({x})[0]), 2e-3);
}

TEST_F(DynamicRecurrent, OtherBatchesShareThePackedWeights) {
  Generator g(10);
  nn::LSTM net({.input_size = 12, .hidden_size = 16, .batch_first = true});
  initialize(net, g);
  Graph int8 = quantized(graph_of(net, g.normal({2, 4, 12})));
  const Plan plan = compile(int8, {.threads = 1});
  const std::size_t packed = plan.memory().weights;
  EXPECT_GT(packed, 0U);
  for (const std::int64_t batch : {1, 5}) {
    const Tensor x = g.normal({batch, 4, 12});
    EXPECT_EQ(largest_difference(plan.run(Tensors{x})[0], int8.run({x})[0]), 0);
  }
  EXPECT_EQ(plan.memory().weights, packed);
}

template <class Net>
void expect_near_torch(Net&& net, std::span<const double> in_float,
                       std::span<const double> dynamic) {
  Generator g(1);
  initialize(net, g);
  std::uint32_t number = 1;
  for (nn::NamedTensor& parameter : net.named_parameters())
    parameter.tensor.copy_from(noise(number++, parameter.tensor.shape()));
  const Tensor unit = noise(0, {golden::kSteps, golden::kBatch, golden::kInput});
  const Tensor x = mul(unit, Tensor::scalar(4.0F));
  Graph graph = graph_of(net, x);
  const Plan plan = compile(quantized(graph), {.threads = 1});
  const std::vector<double> own = plan.run(Tensors{x})[0].to(DType::f64).to_vector<double>();
  ASSERT_EQ(own.size(), in_float.size());
  const double torch = sqnr(in_float, dynamic);
  // A scale per row of a weight and all 8 bits of activations lose less than PyTorch's one scale
  // and 7 bits.
  EXPECT_GT(sqnr(in_float, own), torch + 3) << torch;
  EXPECT_GT(sqnr(dynamic, own), torch - 3);
}

TEST_F(DynamicRecurrent, CloserToFloatThanPyTorch) {
  const nn::RecurrentOptions options{.input_size = golden::kInput,
                                     .hidden_size = golden::kHidden,
                                     .num_layers = 2,
                                     .bidirectional = true};
  expect_near_torch(nn::LSTM(options), golden::kLSTMFloat, golden::kLSTMDynamic);
  expect_near_torch(nn::GRU(options), golden::kGRUFloat, golden::kGRUDynamic);
}

}  // namespace
}  // namespace pare::quantize
