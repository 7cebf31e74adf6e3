// recognize, merge_equal and simplify_movement: what exporters write out, and what it becomes.
#include <gmock/gmock.h>

#include <limits>

#include "graph/nets.h"

namespace pare::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using Body = std::function<Tensor(const Tensor& x)>;

/// A module that is one function, with leaves of its own for norms.
struct Written : nn::Module {
  explicit Written(Body b) : body(std::move(b)) { fill(*this); }
  Body body;
  nn::LayerNorm leaves{{.shape = {6}}};
  void members(nn::Members& m) override { m("leaves", leaves); }
  Tensor forward(const Tensor& x) override { return body(x); }
};

/// What a pass makes of a function's graph: one op, and the same values within rounding.
void expect_becomes(const OpDef& op, const Body& body, const Shape& shape = {4, 5, 6}) {
  SCOPED_TRACE(op.name);
  Written net(body);
  Graph graph = trace(net, random(shape));
  auto [found, report] = recognize(graph);
  std::vector<std::string> ops;
  for (const Graph::Node& node : found.nodes()) ops.emplace_back(node.call.op->name);
  EXPECT_EQ(ops, std::vector<std::string>{op.name}) << report.to_string();
  const Tensor x = random(shape, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
  EXPECT_EQ(graph.output_names(), found.output_names());
}

/// …and of one that only resembles it: nothing.
void expect_stays(const Body& body, const Shape& shape = {4, 5, 6}) {
  Written net(body);
  Graph graph = trace(net, random(shape));
  EXPECT_EQ(recognize(graph).graph.to_string(), graph.to_string());
}

Tensor constant(float value) { return Tensor::scalar(value); }

TEST(Recognize, Silu) {
  expect_becomes(kSilu, [](const Tensor& x) { return x * sigmoid(x); });
  expect_becomes(kSilu, [](const Tensor& x) { return sigmoid(x) * x; });
  expect_stays([](const Tensor& x) { return x * sigmoid(relu(x)); });
}

TEST(Recognize, Hardswish) {
  const auto gate = [](const Tensor& x) { return clamp(x + constant(3), 0, 6); };
  expect_becomes(kHardsigmoid, [&](const Tensor& x) { return gate(x) / constant(6); });
  expect_becomes(kHardsigmoid, [](const Tensor& x) { return relu6(x + constant(3)) * (1.0F / 6); });
  expect_becomes(kHardswish, [&](const Tensor& x) { return x * (gate(x) / constant(6)); });
  expect_becomes(kHardswish, [&](const Tensor& x) { return x * gate(x) / constant(6); });
  expect_stays([](const Tensor& x) { return clamp(x + constant(3), 0, 5) / constant(6); });
  expect_stays([&](const Tensor& x) { return gate(x) / constant(5); });
}

TEST(Recognize, Gelu) {
  const auto gate = [](const Tensor& x) { return erf(x / constant(1.41421356F)) + constant(1); };
  expect_becomes(kGelu, [&](const Tensor& x) { return x * gate(x) * constant(0.5F); });
  expect_becomes(kGelu, [&](const Tensor& x) { return x * constant(0.5F) * gate(x); });
  expect_becomes(kGelu, [&](const Tensor& x) { return x * (gate(x) * constant(0.5F)); });
  expect_stays([&](const Tensor& x) { return x * gate(x) * constant(0.4F); });
  const auto curve = [](const Tensor& x, const Tensor& cube) {
    return tanh((x + cube * constant(0.044715F)) * constant(0.7978845608F)) + constant(1);
  };
  expect_becomes(
      kGelu, [&](const Tensor& x) { return x * constant(0.5F) * curve(x, pow(x, constant(3))); });
  expect_becomes(kGelu,
                 [&](const Tensor& x) { return constant(0.5F) * (x * curve(x, x * (x * x))); });
  expect_stays([&](const Tensor& x) { return x * constant(0.5F) * curve(x, pow(x, constant(2))); });
}

Tensor centred(const Tensor& x, std::vector<std::int64_t> axes = {-1}) {
  return x - mean(x, axes, true);
}

TEST(Recognize, LayerNorm) {
  const auto plain = [](const Tensor& x) {
    const Tensor c = centred(x);
    return c / sqrt(mean(pow(c, constant(2)), {-1}, true) + constant(1e-5F));
  };
  expect_becomes(kLayerNorm, plain);
  expect_becomes(kLayerNorm, [](const Tensor& x) {
    const Tensor c = centred(x, {1, 2});
    return c * rsqrt(mean(c * c, {1, 2}, true) + constant(1e-3F));
  });
  expect_stays([](const Tensor& x) {
    const Tensor c = centred(x, {1});
    return c / sqrt(mean(c * c, {1}, true) + constant(1e-5F));
  });
  Written net(plain);
  const auto body = net.body;
  net.body = [&](const Tensor& x) {
    return body(x) * Tensor(net.leaves.weight) + Tensor(net.leaves.bias);
  };
  Graph graph = trace(net, random(Shape{4, 6}));
  Graph found = recognize(graph).graph;
  ASSERT_EQ(found.nodes().size(), 1U);
  EXPECT_EQ(found.node(0).call.op, &kLayerNorm);
  EXPECT_EQ(found.node(0).inputs.size(), 3U);
  const Tensor x = random(Shape{3, 6}, 4);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
}

TEST(Recognize, RmsNorm) {
  expect_becomes(kRmsNorm, [](const Tensor& x) {
    return x * rsqrt(mean(x * x, {-1}, true) + constant(1e-6F));
  });
  expect_becomes(kRmsNorm, [](const Tensor& x) {
    return x * reciprocal(sqrt(constant(1e-6F) + mean(square(x), {-1}, true)));
  });
}

TEST(Recognize, Attention) {
  const auto turned = [](const Tensor& k) { return transpose(k, {0, 1, 3, 2}); };
  const Shape shape{2, 3, 5, 4};
  expect_becomes(
      kScaledDotProductAttention,
      [&](const Tensor& x) { return matmul(softmax(matmul(x, turned(x)) / constant(2), -1), x); },
      shape);
  const Tensor mask = triu(Tensor::full({5, 5}, -1e4), 1);
  expect_becomes(
      kScaledDotProductAttention,
      [&](const Tensor& x) {
        return matmul(softmax(matmul(x, turned(x)) * constant(0.5F) + mask, -1), x);
      },
      shape);
  expect_stays([&](const Tensor& x) { return matmul(softmax(matmul(x, turned(x)), 1), x); }, shape);
}

// A mask that hides what comes behind each query is no input any more; another one is.
TEST(Recognize, CausalAttention) {
  const Shape shape{2, 3, 5, 4};
  const auto masked = [&](const Tensor& mask) {
    Written net([=](const Tensor& x) {
      return matmul(softmax(matmul(x, transpose(x, {0, 1, 3, 2})) * constant(0.5F) + mask, -1), x);
    });
    Graph graph = trace(net, random(shape));
    Graph found = recognize(graph).graph;
    EXPECT_EQ(found.nodes().size(), 1U);
    EXPECT_EQ(found.node(0).call.op, &kScaledDotProductAttention);
    const Tensor x = random(shape, 9);
    EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
    const bool causal = found.node(0).call.attributes.as<AttentionAttributes>().causal;
    EXPECT_EQ(found.node(0).inputs.size(), causal ? 3U : 4U);
    return causal;
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(masked(triu(Tensor::full({5, 5}, -1e9), 1)));
  EXPECT_TRUE(masked(reshape(triu(Tensor::full({5, 5}, -kInfinity), 1), {1, 1, 5, 5})));
  EXPECT_FALSE(masked(triu(Tensor::full({5, 5}, -1e4), 1)));
  EXPECT_FALSE(masked(triu(Tensor::full({5, 5}, -1e9), 2)));
  EXPECT_FALSE(masked(tril(Tensor::full({5, 5}, -1e9), -1)));
}

// As exporters write it: heads apart and keys turned by one transposition.
TEST(Recognize, AttentionOfKeysTurnedWithTheirHeads) {
  const Shape shape{2, 5, 3, 4};  // [N, L, H, E]
  const auto heads = [](const Tensor& x) { return transpose(x, {0, 2, 1, 3}); };
  Written net([&](const Tensor& x) {
    const Tensor keys = transpose(x + constant(1), {0, 2, 3, 1});
    return matmul(softmax(matmul(heads(x), keys) * constant(0.5F), -1), heads(x * x));
  });
  Graph graph = trace(net, random(shape));
  auto [found, report] = recognize(graph);
  EXPECT_THAT(report.to_string(), HasSubstr("is attention"));
  EXPECT_THAT(found.to_string(), Not(HasSubstr("softmax")));
  const Tensor other = random(shape, 9);
  EXPECT_LT(difference(run_one(found, other), run_one(graph, other)), 2e-6);
}

TEST(Recognize, StepOfAnLstm) {
  struct Cell : nn::Module {
    Cell() { fill(*this); }
    nn::Linear input{{.in = 6, .out = 20}};
    nn::Linear hidden{{.in = 5, .out = 20, .bias = false}};
    void members(nn::Members& m) override { m("input", input)("hidden", hidden); }
    // x beside the states h and c
    Tensor forward(const Tensor& all) override {
      const Tensor x = slice(all, 1, 0, 6);
      const Tensor h = slice(all, 1, 6, 11);
      const Tensor z = matmul(x, transpose(Tensor(input.weight), {1, 0})) +
                       matmul(h, transpose(Tensor(hidden.weight), {1, 0})) + Tensor(input.bias);
      const auto gate = [&](int k) { return slice(z, 1, 5 * k, 5 * k + 5); };
      const Tensor c = sigmoid(gate(1)) * slice(all, 1, 11, 16) + sigmoid(gate(0)) * tanh(gate(2));
      return concat({sigmoid(gate(3)) * tanh(c), c}, 1);
    }
  } net;
  // Exporters write matrices as they are multiplied.
  Graph graph = fold_constants(trace(net, random(Shape{2, 16})).copy()).graph;
  auto [found, report] = recognize(graph);
  EXPECT_THAT(report.to_string(), HasSubstr("is a step of an lstm"));
  EXPECT_THAT(found.to_string(), Not(HasSubstr("tanh(")));
  const Tensor x = random(Shape{3, 16}, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
}

TEST(Recognize, Softmax) {
  const auto written = [](const Tensor& x, int axis) {
    const Tensor e = exp(x - max(x, {axis}, true));
    return e / sum(e, {axis}, true);
  };
  for (const int axis : {1, -1})
    expect_becomes(kSoftmax, [&](const Tensor& x) { return written(x, axis); });
  expect_becomes(kSoftmax, [](const Tensor& x) {
    const Tensor e = exp(x);
    return e / sum(e, {2}, true);
  });
  expect_becomes(kLogSoftmax, [&](const Tensor& x) { return log(written(x, 2)); });
  expect_becomes(kLogSoftmax, [](const Tensor& x) { return x - logsumexp(x, {1}, true); });
  expect_stays([](const Tensor& x) {
    const Tensor e = exp(x);
    return e / sum(e, {1, 2}, true);
  });
}

TEST(Recognize, InstanceNorm) {
  const auto written = [](const Tensor& x) {
    const Tensor centred = x - mean(x, {2, 3}, true);
    return centred / sqrt(mean(centred * centred, {2, 3}, true) + constant(1e-5F));
  };
  const Shape shape{2, 6, 3, 4};
  expect_becomes(kInstanceNorm, written, shape);
  struct Affine : nn::Module {
    explicit Affine(Body b) : body(std::move(b)) { fill(*this); }
    Body body;
    nn::LayerNorm leaves{{.shape = {6, 1, 1}}};
    void members(nn::Members& m) override { m("leaves", leaves); }
    Tensor forward(const Tensor& x) override {
      return body(x) * Tensor(leaves.weight) + Tensor(leaves.bias);
    }
  } net(written);
  Graph graph = trace(net, random(shape));
  auto [found, report] = recognize(graph);
  const Graph::Node& last = found.node(found.value(found.outputs()[0]).producer);
  EXPECT_EQ(last.call.op, &kInstanceNorm) << found.to_string();
  EXPECT_EQ(last.inputs.size(), 3U);
  const Tensor x = random(shape, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
}

TEST(SimplifyCasts, ThatLoseNothing) {
  const auto casts_left = [](DType from, std::initializer_list<DType> through) {
    Graph graph;
    int value = graph.add_input("x", {3}, from);
    for (const DType to : through) {
      const int n = graph.add_node("cast", {&kCast, Attributes::of(CastAttributes{to})}, {value});
      value = graph.node(n).outputs[0];
    }
    graph.set_outputs({value});
    const Graph simpler = simplify_casts(graph).graph;
    EXPECT_EQ(simpler.value(simpler.outputs()[0]).dtype, graph.value(value).dtype);
    return simpler.nodes().size();
  };
  EXPECT_EQ(casts_left(DType::f16, {DType::f32, DType::f16}), 0U);
  EXPECT_EQ(casts_left(DType::i8, {DType::i32, DType::f32}), 1U);
  EXPECT_EQ(casts_left(DType::u8, {DType::f32, DType::f64, DType::u8}), 0U);
  EXPECT_EQ(casts_left(DType::i32, {DType::f32, DType::i32}), 2U);  // 24 bits of 31
  EXPECT_EQ(casts_left(DType::f32, {DType::f16, DType::f32}), 2U);  // rounds
  EXPECT_EQ(casts_left(DType::i8, {DType::u8, DType::i8}), 2U);
  EXPECT_EQ(casts_left(DType::i32, {DType::i64, DType::i8}), 2U);
  EXPECT_EQ(casts_left(DType::f16, {DType::bf16, DType::f16}), 2U);
}

TEST(MergeEqual, CallsAndConstants) {
  Written net([](const Tensor& x) {
    // One after the other: compilers differ in the order of operands.
    const Tensor a = exp(x + Tensor::scalar(2));
    const Tensor b = exp(x + Tensor::scalar(2));
    const Tensor c = exp(x + Tensor::scalar(3));
    return a * b + c;
  });
  Graph graph = trace(net, random(Shape{2, 3}));
  auto [merged, report] = merge_equal(graph);
  EXPECT_EQ(graph.nodes().size(), 8U);
  EXPECT_EQ(merged.nodes().size(), 6U);
  EXPECT_THAT(report.to_string(), HasSubstr("exp_1: is 'exp'"));
  const Tensor x = random(Shape{3, 3}, 2);
  expect_identical(run_one(merged, x), run_one(graph, x));
}

TEST(MergeEqual, RandomCallsStay) {
  Written net([](const Tensor& x) {
    const Attributes half = kDropout.defaults();
    return dropout(x, half) + dropout(x, half);
  });
  Graph graph = trace(net, random(Shape{2, 3}));
  EXPECT_EQ(merge_equal(graph).graph.nodes().size(), graph.nodes().size());
}

TEST(SimplifyMovement, TransposesMeetThroughElementwiseCalls) {
  Written net([](const Tensor& x) {
    const Tensor y = relu(tanh(transpose(x, {0, 2, 1})));
    return exp(transpose(y, {0, 2, 1}));
  });
  Graph graph = trace(net, random(Shape{2, 3, 4}));
  auto [moved, report] = simplify_movement(graph);
  EXPECT_EQ(moved.nodes().size(), 3U) << moved.to_string();
  EXPECT_THAT(report.to_string(), HasSubstr("moved behind"));
  const Tensor x = random(Shape{5, 3, 4}, 2);
  expect_identical(run_one(moved, x), run_one(graph, x));
}

// Pairs meet, and what is left of them meets again.
TEST(SimplifyMovement, LongChainsEndInOneTransposeOrNone) {
  for (const int count : {32, 33}) {
    Written net([count](const Tensor& x) {
      Tensor y = x;
      for (int k = 0; k < count; ++k) y = transpose(k % 3 == 0 ? tanh(y) : sin(y), {0, 2, 1});
      return y;
    });
    Graph graph = trace(net, random(Shape{2, 3, 4}));
    const Graph moved = simplify_movement(graph).graph;
    EXPECT_EQ(moved.nodes().size(), static_cast<std::size_t>(count + count % 2));
    Graph again = simplify_movement(moved).graph;
    EXPECT_EQ(again.nodes().size(), moved.nodes().size());
    const Tensor x = random(Shape{5, 3, 4}, 2);
    expect_identical(run_one(again, x), run_one(graph, x));
  }
}

// Its axis is another one behind the transpose.
TEST(SimplifyMovement, TransposesStayBeforeSoftmax) {
  Written net([](const Tensor& x) {
    return transpose(log_softmax(transpose(x, {0, 2, 1}), 2), {0, 2, 1});
  });
  Graph graph = trace(net, random(Shape{2, 3, 4}));
  EXPECT_EQ(simplify_movement(graph).graph.to_string(), graph.to_string());
}

TEST(SimplifyMovement, WhatMeetsBecomesOne) {
  Written net([](const Tensor& x) {
    const Tensor y = transpose(transpose(x, {0, 2, 1}), {2, 0, 1});
    return reshape(reshape(y, {3, -1}), {-1, 2});
  });
  Graph graph = trace(net, random(Shape{2, 3, 4}), {.symbolic_batch = false});
  auto [moved, report] = simplify_movement(graph);
  EXPECT_EQ(moved.nodes().size(), 2U) << moved.to_string();
  const Tensor x = random(Shape{2, 3, 4}, 2);
  expect_identical(run_one(moved, x), run_one(graph, x));
  // One that another reader needs as it is stays.
  Written twice([](const Tensor& t) {
    const Tensor y = transpose(t, {0, 2, 1});
    return concat({relu(y), y}, 1);
  });
  graph = trace(twice, random(Shape{2, 3, 4}));
  EXPECT_EQ(simplify_movement(graph).graph.to_string(), graph.to_string());
}

TEST(Passes, AMovedGraphIsNotCloned) {
  Written net([&](const Tensor& x) { return x + Tensor::scalar(1); });
  const Written* self = &net;
  net.body = [self](const Tensor& x) { return x * Tensor(self->leaves.weight) * sigmoid(x); };
  Graph graph = trace(net, random(Shape{2, 6})).copy();
  const void* weight = graph.value(graph.find_value("leaves.weight")).tensor.raw();
  Graph after =
      merge_equal(
          recognize(
              simplify_movement(fold_shapes(remove_identities(std::move(graph)).graph).graph).graph)
              .graph)
          .graph;
  EXPECT_EQ(after.value(after.find_value("leaves.weight")).tensor.raw(), weight);
}

}  // namespace
}  // namespace pare::test
