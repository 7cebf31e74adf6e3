// Activations after convolutions and dense layers of a plan: fused where a kernel knows them, the
// same result as the interpreter's everywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/nets.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::random;

struct Case {
  const OpDef* op;
  Attributes attributes;
};

std::vector<Case> cases() {
  return {{&kRelu, {}},
          {&kRelu6, {}},
          {&kClamp, Attributes::of(ClampAttributes{-0.5, 1.25})},
          {&kSigmoid, {}},
          {&kTanh, {}},
          {&kSilu, {}},
          {&kHardswish, {}},
          {&kGelu, Attributes::of(GeluAttributes{})},
          {&kGelu, Attributes::of(GeluAttributes{"tanh"})},
          {&kLeakyRelu, Attributes::of(LeakyReluAttributes{0.2})},
          {&kElu, Attributes::of(EluAttributes{0.7})}};
}

enum class Layer { convolution, winograd, depthwise, linear, matmul, sum };

// layer → [+ another input] → activation
Graph net(Layer layer, const Case& activation, bool residual) {
  Builder b;
  const bool dense = layer == Layer::linear || layer == Layer::matmul;
  const int x = b.input("x", dense ? Shape{4, 16} : Shape{2, 16, 8, 8});
  const int other = b.input("other", dense ? Shape{4, 16} : Shape{2, 16, 8, 8});
  int y = x;
  if (layer == Layer::convolution)
    y = b.call(kConv2d, {x, b.constant(random({16, 16, 1, 1}, 3)), b.constant(random({16}, 4))},
               Attributes::of(Conv2dAttributes{}));
  if (layer == Layer::winograd)
    y = b.call(kConv2d, {x, b.constant(random({16, 16, 3, 3}, 3)), b.constant(random({16}, 4))},
               Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}));
  if (layer == Layer::depthwise)
    y = b.call(kConv2d, {x, b.constant(random({16, 1, 3, 3}, 3))},
               Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}, .groups = 16}));
  if (layer == Layer::linear)
    y = b.call(kLinear, {x, b.constant(random({16, 16}, 3)), b.constant(random({16}, 4))});
  if (layer == Layer::matmul) y = b.call(kMatmul, {x, b.constant(random({16, 16}, 3))});
  if (residual || layer == Layer::sum) y = b.call(kAdd, {y, other});
  return b.finish({b.call(*activation.op, {y}, activation.attributes)});
}

TEST(PlanActivations, AsTheInterpreter) {
  const NoGrad no_grad;
  for (const Layer layer : {Layer::convolution, Layer::winograd, Layer::depthwise, Layer::linear,
                            Layer::matmul, Layer::sum})
    for (const Case& activation : cases())
      for (const bool residual : {false, true}) {
        Graph graph = net(layer, activation, residual);
        const Plan plan = compile(graph, {.threads = 1});
        const Shape shape = graph.value(graph.inputs()[0]).shape;
        const Tensors inputs{random(shape, 1), random(shape, 2)};
        EXPECT_LE(difference(graph.run(inputs)[0], plan.run(inputs)[0]), 1e-5) << plan.to_string();
      }
}

// x · W + b, as exporters write it, with and without what may follow.
TEST(PlanActivations, ProductsTakeTheirBias) {
  const NoGrad no_grad;
  for (const std::int64_t rows : {1, 5, 32})
    for (const Case& activation : cases())
      for (const bool residual : {false, true}) {
        Builder b;
        const int x = b.input("x", {rows, 16});
        const int product = b.call(kMatmul, {x, b.constant(random({16, 48}, 3))});
        int y = b.call(kAdd, {b.constant(random({48}, 4)), product});
        if (residual) y = b.call(kAdd, {y, b.input("other", {rows, 48})});
        Graph graph = b.finish({b.call(*activation.op, {y}, activation.attributes)});
        const Plan plan = compile(graph, {.threads = 1});
        Tensors inputs{random({rows, 16}, 1)};
        if (residual) inputs.push_back(random({rows, 48}, 2));
        EXPECT_LE(difference(graph.run(inputs)[0], plan.run(inputs)[0]), 1e-5) << plan.to_string();
#ifdef PARE_ONEDNN
        EXPECT_THAT(plan.to_string(), testing::Not(testing::HasSubstr("add reference")));
#endif
      }
}

#ifdef PARE_ONEDNN
TEST(PlanActivations, AreOneStepWithTheLayer) {
  for (const Layer layer : {Layer::convolution, Layer::depthwise, Layer::linear, Layer::matmul})
    for (const Case& activation : cases()) {
      const Plan plan = compile(net(layer, activation, true), {.threads = 1});
      int steps = 0;
      for (const PlanStep& step : plan.steps()) steps += step.macs > 0;
      EXPECT_EQ(steps, 1);
      // pare's own dense layers know clips alone.
      const OpDef* op = activation.op;
      const bool clip = op == &kRelu || op == &kRelu6 || op == &kClamp;
      if (!clip && plan.to_string().find("avx2_f32") != std::string::npos) continue;
      for (const PlanStep& step : plan.steps())
        EXPECT_THAT(step.kernel, testing::Not(testing::StartsWith(activation.op->name)))
            << plan.to_string();
    }
}
#endif

}  // namespace
}  // namespace pare
