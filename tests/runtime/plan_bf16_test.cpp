// Plans in bf16: which values lie in it, and the interpreter's arithmetic. Primitives that widen
// their operands stand in for the CPU's, so that this runs everywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/broadcast.h"
#include "runtime/engine.h"
#include "runtime/nets.h"

namespace pare {
namespace {

using runtime::ConvolutionSpec;
using runtime::DenseSpec;
using test::Builder;
using test::difference;
using test::random;
using testing::HasSubstr;

Tensor rounded(const Tensor& t) { return in_dtype(in_dtype(t, DType::bf16), DType::f32); }

/// A product by its op in f32, of operands rounded to bf16; `sizes` of source and result as they
/// lie in memory.
class WidePrimitive final : public runtime::Primitive {
 public:
  struct Problem {
    Call call;
    Tensor weight, bias;
    Shape source, result;
    MemoryFormat format;
    runtime::Encoding from, to;
    runtime::Epilogue epilogue;
  };
  explicit WidePrimitive(Problem problem) : p_(std::move(problem)) {}
  std::string name() const override { return "wide"; }
  bool slow() const override { return false; }
  std::size_t constant_bytes() const override { return 64; }
  std::size_t scratch_bytes() const override { return 0; }
  void fill(void* constants) override { std::memset(constants, 0, constant_bytes()); }
  Tensor weight(const void* /*constants*/) const override { return {}; }
  bool same(const void* /*a*/, const void* /*b*/) const override { return true; }
  std::unique_ptr<runtime::Execution> execution(const void* /*constants*/) const override {
    return std::make_unique<Run>(p_);
  }

 private:
  struct Run final : runtime::Execution {
    explicit Run(const Problem& problem) : p(problem) {}
    void run(const void* source, void* destination, void* /*scratch*/) override {
      const ContextScope scope;
      context().precision = Precision::f32;
      const Tensor x = in_dtype(
          Tensor::wrap(const_cast<void*>(source), p.source, p.from.dtype, nullptr, p.format),
          DType::f32);
      const Tensor before = Tensor::wrap(destination, p.result, p.to.dtype, nullptr, p.format);
      Tensors operands{x, rounded(p.weight)};
      if (p.bias.defined()) operands.push_back(p.bias);
      Tensor y = apply(p.call, std::span<const Tensor>(operands));
      if (p.epilogue.residual) y = y + in_dtype(before, DType::f32);
      if (p.epilogue.activation == runtime::Activation::silu) y = silu(y);
      y = clamp(y, p.epilogue.low, p.epilogue.high);
      const Tensor result = in_dtype(y, p.to.dtype).to(p.format);
      std::memcpy(destination, result.raw(), result.bytes());
    }
    const Problem& p;
  };
  Problem p_;
};

std::unique_ptr<runtime::Primitive> wide_convolution(const ConvolutionSpec& spec) {
  if (spec.source.dtype != DType::bf16) return runtime::kPrimitives.convolution(spec);
  const auto& a = spec.attributes;
  const Shape& w = spec.weight.shape();
  const auto out = [&](std::size_t i, std::int64_t size, std::int64_t kernel) {
    return (size + a.padding[i] + a.padding[i + 2] - a.dilation[i] * (kernel - 1) - 1) /
               a.stride[i] +
           1;
  };
  return std::make_unique<WidePrimitive>(WidePrimitive::Problem{
      {&kConv2d, Attributes::of(a)},
      spec.weight,
      spec.bias,
      {spec.batch, w[1] * a.groups, spec.height, spec.width},
      {spec.batch, w[0], out(0, spec.height, w[2]), out(1, spec.width, w[3])},
      MemoryFormat::channels_last,
      spec.source,
      spec.destination,
      spec.epilogue});
}

std::unique_ptr<runtime::Primitive> wide_dense(const DenseSpec& spec) {
  if (spec.source.dtype != DType::bf16)
    return runtime::kPrimitives.dense ? runtime::kPrimitives.dense(spec) : nullptr;
  return std::make_unique<WidePrimitive>(WidePrimitive::Problem{{&kLinear, {}},
                                                                spec.weight,
                                                                spec.bias,
                                                                {spec.rows, spec.weight.dim(1)},
                                                                {spec.rows, spec.weight.dim(0)},
                                                                MemoryFormat::row_major,
                                                                spec.source,
                                                                spec.destination,
                                                                spec.epilogue});
}

std::unique_ptr<runtime::Primitive> no_convolution(const ConvolutionSpec& spec) {
  return spec.source.dtype == DType::bf16 ? nullptr : runtime::kPrimitives.convolution(spec);
}

constexpr runtime::PrimitiveMaker kWide{wide_convolution, wide_dense};

Plan plan_of(const Graph& graph, const runtime::PrimitiveMaker& makers = kWide) {
  const NoGrad no_grad;
  return Plan(
      std::make_shared<runtime::Engine>(fold_constants(graph, {}).graph, PassReport{},
                                        runtime::EngineOptions{1, Precision::bf16, makers}));
}

Tensor interpreted(Graph& graph, const Tensor& x) {
  ContextScope scope;
  scope->grad = false;
  scope->precision = Precision::bf16;
  return graph.run({x})[0];
}

int conv(Builder& b, int x, const Shape& weight, std::uint64_t seed) {
  const std::int64_t pad = weight[2] / 2;
  return b.call(kConv2d,
                {x, b.constant(random(weight, seed) * Tensor::scalar(0.2F)),
                 b.constant(random({weight[0]}, seed + 50))},
                Attributes::of(Conv2dAttributes{.padding = {pad, pad, pad, pad}}));
}

std::string types_of(const Plan& plan) {
  std::string text;
  for (const PlanStep& step : plan.steps())
    text += std::string(traits(step.source).name) + ">" + traits(step.destination).name + " ";
  return text;
}

TEST(PlanBf16, ProductsPassNarrowValues) {
  Builder b;
  const int x = b.input("x", {2, 16, 6, 6});
  const int first = b.call(kRelu, {conv(b, x, {16, 16, 3, 3}, 1)});
  const int sum = b.call(kAdd, {conv(b, first, {16, 16, 1, 1}, 2), first});
  const int second = b.call(kRelu, {sum});
  Graph graph = b.finish({conv(b, second, {16, 16, 3, 3}, 3)});
  const Plan plan = plan_of(graph);
  // The picture is cast and turned; what leaves the graph is f32, as it was.
  EXPECT_THAT(types_of(plan), HasSubstr("bf16>bf16 bf16>bf16 bf16>f32"));
  const Tensor picture = random({2, 16, 6, 6}, 9);
  // The sum's addend is rounded too, which the interpreter does not do.
  EXPECT_LT(difference(interpreted(graph, picture), plan.run(picture)), 1e-2);
  EXPECT_EQ(plan.precision(), Precision::bf16);
}

TEST(PlanBf16, WithoutSumsAsTheInterpreterExactly) {
  Builder b;
  const int x = b.input("x", {2, 16, 6, 6});
  const int first = b.call(kRelu, {conv(b, x, {16, 16, 3, 3}, 1)});
  const int left = b.call(kRelu, {conv(b, first, {8, 16, 1, 1}, 2)});
  const int right = b.call(kRelu, {conv(b, first, {8, 16, 3, 3}, 3)});
  const int both = b.call(kConcat, {left, right}, Attributes::of(ConcatAttributes{1}));
  const int flat = b.call(kReshape, {conv(b, both, {4, 16, 1, 1}, 4)},
                          Attributes::of(ReshapeAttributes{{2, 144}}));
  Graph graph = b.finish({b.call(kLinear, {flat, b.constant(random({5, 144}, 5))})});
  const Plan plan = plan_of(graph);
  for (const PlanStep& step : plan.steps()) {
    if (step.node == "concat") {
      EXPECT_EQ(step.destination, DType::bf16);
    }
  }
  const Tensor picture = random({2, 16, 6, 6}, 9);
  EXPECT_LT(difference(interpreted(graph, picture), plan.run(picture)), 1e-5) << plan.to_string();
}

TEST(PlanBf16, OtherReadersGetF32) {
  Builder b;
  const int x = b.input("x", {2, 16, 6, 6});
  const int first = b.call(kRelu, {conv(b, x, {16, 16, 3, 3}, 1)});
  const int pooled = b.call(kMaxPool2d, {first}, kMaxPool2d.defaults());
  const int second = b.call(kTanh, {b.call(kMean, {conv(b, first, {16, 16, 1, 1}, 2)},
                                           Attributes::of(ReduceAttributes{{2, 3}, true}))});
  Graph graph = b.finish({conv(b, pooled, {16, 16, 1, 1}, 3), second});
  const Plan plan = plan_of(graph);
  const Tensor picture = random({2, 16, 6, 6}, 9);
  ContextScope scope;
  scope->grad = false;
  scope->precision = Precision::bf16;
  const Tensors expected = graph.run({picture});
  const Tensors found = plan.run(Tensors{picture});
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_LT(difference(expected[i], found[i]), 1e-5) << plan.to_string();
}

// A layer that nobody makes in bf16 runs in f32 between others that are narrow.
TEST(PlanBf16, WhatNobodyMakesRunsInF32) {
  Builder b;
  const int x = b.input("x", {2, 16, 6, 6});
  const int first = b.call(kRelu, {conv(b, x, {16, 16, 3, 3}, 1)});
  Graph graph = b.finish({conv(b, first, {16, 16, 1, 1}, 2)});
  const Plan plan = plan_of(graph, {no_convolution, wide_dense});
  const Plan plain = compile(graph, {.threads = 1});
  const Tensor picture = random({2, 16, 6, 6}, 9);
  EXPECT_LT(difference(plain.run(picture), plan.run(picture)), 1e-2);
}

TEST(PlanBf16, ByOption) {
  Builder b;
  const int x = b.input("x", {2, 16, 6, 6});
  Graph graph =
      b.finish({conv(b, b.call(kRelu, {conv(b, x, {16, 16, 3, 3}, 1)}), {16, 16, 1, 1}, 2)});
  const Plan plan = compile(graph, {.threads = 1, .precision = Precision::bf16});
  const Tensor picture = random({2, 16, 6, 6}, 9);
  const Tensor y = plan.run(picture);
  if (!has_bf16()) {
    EXPECT_EQ(plan.precision(), Precision::f32);
    EXPECT_THAT(plan.report().to_string(), HasSubstr("no instructions for bf16"));
    EXPECT_EQ(difference(compile(graph, {.threads = 1}).run(picture), y), 0);
    return;
  }
  EXPECT_EQ(plan.precision(), Precision::bf16);
  EXPECT_LT(difference(interpreted(graph, picture), y), 1e-2) << plan.to_string();
}

}  // namespace
}  // namespace pare
