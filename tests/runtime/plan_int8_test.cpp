// Nets in int8 as plans: beside the interpreter and the float net, and what their reports say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/parallel.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "runtime/int8.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::random;
using test::random_codes;
using testing::HasSubstr;

struct Converted {
  double error = 0;  // against the float net
  std::vector<PlanStep> steps;
};

Converted worst_against_float(nn::Module& net, const Shape& shape) {
  const NoGrad no_grad;
  Generator generator(3);
  nn::initialize(net, generator);
  Graph graph = trace(net, random(shape)).copy();
  Graph prepared = quantize::prepare(graph);
  for (std::uint64_t k = 0; k < 4; ++k) prepared(random(shape, k));
  auto [converted, report] = quantize::convert(prepared);
  const Plan plan = compile(converted, {.threads = 1});
  const Plan two = compile(converted, {.threads = 2});
  double worst = 0;
  for (std::uint64_t k = 0; k < 4; ++k) {
    const Tensor x = random(shape, k);
    EXPECT_LE(difference(converted(x), plan.run(x)), 0.02) << plan.to_string();
    EXPECT_LE(difference(plan.run(x), two.run(x)), 1e-6);
    if (shape.rank() >= 3) {
      EXPECT_LE(difference(plan.run(x), plan.run(x.to(MemoryFormat::channels_last))), 1e-6);
    }
    worst = std::max(worst, difference(graph(x), plan.run(x)));
  }
  return {worst, {plan.steps().begin(), plan.steps().end()}};
}

TEST(PlanInt8, ResidualNetConverted) {
  test::ResidualNet net;
  const Converted result = worst_against_float(net, {4, 3, 12, 12});
  EXPECT_LE(result.error, 0.1);
  if (isa_cap() < Isa::avx2) return;  // residual sums run in f32 there
  for (std::size_t s = 1; s < result.steps.size(); ++s)
    EXPECT_EQ(result.steps[s].source, DType::u8);
}

TEST(PlanInt8, ConcatNetConverted) {
  test::ConcatNet net;
  EXPECT_LE(worst_against_float(net, {4, 3, 8, 8}).error, 0.1);
}

Graph quantized(const Graph& graph, const Shape& shape) {
  Graph prepared = quantize::prepare(graph);
  for (std::uint64_t k = 0; k < 3; ++k) prepared(random(shape, k));
  return quantize::convert(prepared).graph;
}

TEST(PlanInt8, ASumInAnothersPlaceIsKeptForItsReaders) {
  const NoGrad no_grad;
  const Shape shape{2, 3, 8, 8};
  Graph graph = quantized(test::chained_residuals(), shape);
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor x = random(shape, 1);
  EXPECT_LE(difference(graph(x), plan.run(x)), 0.02) << plan.to_string();
}

TEST(PlanInt8, RandomNetsAsTheInterpreter) {
  const NoGrad no_grad;
  const Shape shape{2, 3, 6, 6};
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph = quantized(test::random_net(seed), shape);
    const Plan plan = compile(graph, {.threads = 1});
    const Tensor x = random(shape, 1);
    // Steps of 1 add up over up to 30 layers.
    EXPECT_LE(difference(graph(x), plan.run(x)), 0.1) << plan.to_string();
  }
}

// Where the interpreter refuses, a plan must not wrap around.
TEST(PlanInt8, SumsBeyond32BitsRunInFloatAndAreReported) {
  const NoGrad no_grad;
  constexpr std::int64_t kLength = 80000;
  Builder b;
  const int x = b.dequantize(b.input("x", {1, kLength}, DType::u8), 0.5, 0);
  const int weight = b.constant(Tensor::full({2, kLength}, 127, DType::i8));
  const int w = b.dequantize(weight, 0.25, 0);
  Graph graph = b.finish({b.call(kLinear, {x, w})});
  const Tensor bright = Tensor::full({1, kLength}, 255, DType::u8);
  EXPECT_THROW(graph(bright), Error);
  const Plan plan = compile(graph, {.threads = 1});
  for (const float y : plan.run(bright).to_vector<float>())
    EXPECT_NEAR(y / (127.0 * 0.25 * 255 * 0.5 * kLength), 1, 5e-3) << plan.to_string();
  EXPECT_THAT(plan.to_string(), HasSubstr("could leave 32 bits"));
}

TEST(PlanInt8, AFloatBiasIsReported) {
  const NoGrad no_grad;
  Builder b;
  const int x = b.dequantize(b.input("x", {5, 40}, DType::u8), 0.02, 30);
  const int y = b.call(kLinear, {x, b.weight({12, 40}, 63, 2), b.constant(random({12}))});
  Graph graph = b.finish({y});
  const Plan plan = compile(graph);
  const Tensor input = random_codes({5, 40}, DType::u8, 4);
  EXPECT_LE(difference(graph(input), plan.run(input)), 1e-3);
  // The reference adds it as it is.
  if (plan.steps().size() == 1 && plan.steps()[0].kernel != "integer reference") {
    EXPECT_THAT(plan.to_string(), HasSubstr("its float bias is rounded"));
  }
}

TEST(PlanInt8, SaysWhyALayerRunsInFloat) {
  Builder b;
  const int x = b.dequantize(b.input("x", {5, 40}, DType::u8), 0.02, 30);
  const int other = b.dequantize(b.input("w", {40, 3}, DType::i8), 0.1, 0);
  const Plan plan = compile(b.finish({b.call(kMatmul, {x, other})}));
#ifdef PARE_ONEDNN
  EXPECT_THAT(plan.to_string(), HasSubstr("runs in f32: both its factors are activations"));
#endif
}

// Such weights have no integer form: nothing says so but the report.
TEST(PlanInt8, SaysThatWeightsWithZeroPointsRunInFloat) {
  for (const DType dtype : {DType::u8, DType::i8})
    for (const bool rounded : {true, false}) {
      Builder b;
      const int x = b.dequantize(b.input("x", {2, 3, 6, 6}, DType::u8), 0.02, 30);
      const int codes = b.constant(random_codes({4, 3, 3, 3}, dtype, 3));
      int y = b.call(kConv2d, {x, b.dequantize(codes, 0.1, 5)}, Attributes::of(Conv2dAttributes{}));
      if (rounded) y = b.quantize(y, 0.5, 10);
      const Plan plan = compile(b.finish({y}));
      EXPECT_THAT(plan.to_string(), HasSubstr("runs in f32: its weight has a zero point"));
    }
}

// Softmax is no table of codes: its values depend on their row.
TEST(PlanInt8, SoftmaxBetweenLayers) {
  nn::Sequential net{nn::Linear{{.in = 8, .out = 6}}, nn::Softmax{{.axis = -1}},
                     nn::Linear{{.in = 6, .out = 3}}};
  EXPECT_LE(worst_against_float(net, {4, 8}).error, 0.1);
}

}  // namespace
}  // namespace pare
