// Elementwise runs of a plan: one step, and the interpreter's numbers for every kind of operand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "runtime/elementwise.h"
#include "runtime/nets.h"

namespace pare {
namespace {

using test::Builder;
using test::random;

/// Whether all numbers are the same ones; NaN is NaN.
bool same(const Tensor& expected, const Tensor& found) {
  if (!(expected.shape() == found.shape())) return false;
  const auto a = expected.to_vector<float>();
  const auto b = found.to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

int count(const Plan& plan, const char* kernel) {
  int found = 0;
  for (const PlanStep& step : plan.steps()) found += step.kernel == kernel ? 1 : 0;
  return found;
}

/// The plan computes what the graph does, in as many elementwise steps.
void expect_same(Graph& graph, const Tensors& inputs, int steps, int threads = 1) {
  const NoGrad no_grad;
  const Plan plan = compile(graph, {.threads = threads});
  EXPECT_EQ(count(plan, "elementwise"), steps) << plan.to_string();
  const Tensors expected = graph.run(inputs);
  for (int again = 0; again < 2; ++again) {
    const Tensors found = plan.run(inputs);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t k = 0; k < expected.size(); ++k)
      EXPECT_TRUE(same(expected[k], found[k])) << "output " << k << "\n" << plan.to_string();
  }
}

// (x + y) → op → something that takes its result.
Graph around(const OpDef& op, const Shape& shape) {
  Builder b;
  const int x = b.input("x", shape);
  const int y = b.input("y", shape);
  const int sum = b.call(kAdd, {x, y});
  std::vector<int> inputs{sum, y, x};
  inputs.resize(static_cast<std::size_t>(op.max_inputs));
  if (&op == &kWhere) inputs = {b.call(kLess, {sum, y}), sum, y};
  const int result = b.call(op, inputs, op.defaults ? op.defaults() : Attributes());
  const bool truth = b.graph.value(result).dtype == DType::boolean;
  return b.finish({truth ? b.call(kWhere, {result, sum, x}) : b.call(kMul, {result, y})});
}

TEST(ElementwiseRuns, EveryOp) {
  int tried = 0;
  for (const OpDef* op : all_ops()) {
    if (!runtime::is_elementwise(*op) || op == &kCast) continue;
    SCOPED_TRACE(op->name);
    std::optional<Graph> graph;
    try {
      graph = around(*op, {7, 401});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::dtype_mismatch) << error.what();  // of integers or truth
      continue;
    }
    ++tried;
    expect_same(*graph, {random({7, 401}, 1), random({7, 401}, 2)}, 1);
  }
  EXPECT_GE(tried, 50);
}

// In channels-last what a pooling gave, which lies so.
int picture(Builder& b, int x, bool channels_last) {
  if (!channels_last) return x;
  return b.call(kMaxPool2d, {x},
                Attributes::of(
                    Pool2dAttributes{.kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1, 1, 1}}));
}

TEST(ElementwiseRuns, OperandsOfEveryKind) {
  for (const Shape& shape : {Shape{2, 6, 5, 7}, Shape{2, 30, 41, 29}}) {
    const int threads = shape[1] == 6 ? 1 : 2;  // the larger is enough for two
    const std::int64_t n = shape[0], c = shape[1], h = shape[2], w = shape[3];
    std::vector<Shape> operands{{n, c, 1, 1}, {w}, shape};
    if (threads == 1)
      for (const Shape& more :
           {Shape{}, Shape{1}, Shape{1, 1, 1, 1}, Shape{c, 1, 1}, Shape{1, c, 1, 1},
            Shape{n, 1, 1, 1}, Shape{h, w}, Shape{h, 1}, Shape{1, 1, h, w}, Shape{n, 1, h, w},
            Shape{1, c, 1, w}, Shape{c, h, w}, Shape{c, h, 1}, Shape{1, c, h, w}})
        operands.push_back(more);
    for (const Shape& own : operands)
      for (const bool channels_last : {false, true})
        for (const bool constant : {false, true}) {
          Builder b;
          const int x = b.input("x", shape);
          const int given = b.input("operand", own);
          const int operand = constant ? b.constant(random(own, 3)) : given;
          const int p = picture(b, x, channels_last);
          const int scaled = b.call(kMul, {p, operand});
          const int moved = b.call(kSub, {operand, scaled});
          const int bent = b.call(kTanh, {moved});
          Graph graph = b.finish({b.call(kDiv, {bent, p})});
          // What is no constant and lies across the order of the result: op by op.
          const bool across = channels_last && !constant && own.rank() == 3 && own[1] > 1;
          SCOPED_TRACE(testing::Message()
                       << shape.to_string() << " " << own.to_string()
                       << (channels_last ? " channels-last" : "") << (constant ? " constant" : ""));
          expect_same(graph, {random(shape, 1), random(own, 2)}, across ? 0 : 1, threads);
        }
  }
}

TEST(ElementwiseRuns, InputsInBothFormats) {
  const Shape shape{2, 20, 13, 11};
  Builder b;
  const int x = b.input("x", shape);
  const int y = b.input("y", shape);
  const int gate = b.call(kMul, {x, b.constant(random({20, 1, 1}, 3))});
  Graph graph = b.finish({b.call(kRelu, {b.call(kSub, {b.call(kSigmoid, {gate}), y})})});
  const NoGrad no_grad;
  const Plan plan = compile(graph, {.threads = 1});
  const Tensors inputs{random(shape, 1), random(shape, 2)};
  const Tensor expected = graph.run(inputs)[0];
  for (const auto first : {MemoryFormat::row_major, MemoryFormat::channels_last})
    for (const auto second : {MemoryFormat::row_major, MemoryFormat::channels_last})
      EXPECT_TRUE(same(expected, plan.run({inputs[0].to(first), inputs[1].to(second)})[0]));
}

TEST(ElementwiseRuns, AnyNumberOfElements) {
  for (const Shape& shape :
       {Shape{}, Shape{1}, Shape{16}, Shape{17}, Shape{16383}, Shape{16384}, Shape{16385},
        Shape{16385}, Shape{70001}, Shape{2, 33001}, Shape{3, 5, 4099}, Shape{2, 3, 17001},
        Shape{4099, 17}, Shape{1, 1, 7}, Shape{2, 1, 3, 1, 5, 1, 7, 11}, Shape{0}, Shape{4, 0},
        Shape{2, 0, 3}}) {
    Builder b;
    const int x = b.input("x", shape);
    Shape row = shape;
    while (row.rank() > 1) row = Shape(std::vector<std::int64_t>{row[row.rank() - 1]});
    const int scaled = b.call(kMul, {x, b.constant(random(row, 5))});
    const int gate = b.call(kSigmoid, {b.call(kAdd, {scaled, b.number(0.5)})});
    Graph graph = b.finish({b.call(kMul, {gate, b.call(kAbs, {scaled})})});
    SCOPED_TRACE(shape.to_string());
    for (const int threads : {1, 2}) expect_same(graph, {random(shape, 1)}, 1, threads);
  }
}

TEST(ElementwiseRuns, WhatOthersReadIsThere) {
  const Shape shape{3, 1000};
  const auto net = [&](int kind) {
    Builder b;
    const int x = b.input("x", shape);
    const int y = b.call(kExp, {x});
    const int z = b.call(kNeg, {y});
    const int u = b.call(kMul, {z, y});
    const int v = b.call(kTanh, {u});
    std::vector<int> outputs{v};
    if (kind == 1) outputs.push_back(z);
    if (kind == 2) outputs.push_back(b.call(kSoftmax, {u}, kSoftmax.defaults()));
    if (kind == 3) outputs = {v, v};
    if (kind == 4) outputs = {b.call(kConcat, {v, v}, Attributes::of(ConcatAttributes{1}))};
    return b.finish(outputs);
  };
  const Tensors inputs{random(shape)};
  // Where the negative is read, it and the power that both it and the product read stay apart;
  // where the product is, tanh does.
  const int nodes[] = {4, 2, 3, 4, 4};
  for (int kind = 0; kind < 5; ++kind) {
    SCOPED_TRACE(kind);
    Graph graph = net(kind);
    expect_same(graph, inputs, 1);
    const Plan plan = compile(graph, {.threads = 1});
    for (const PlanStep& step : plan.steps()) {
      if (step.kernel != "elementwise") continue;
      EXPECT_EQ(1 + std::ranges::count(step.node, '+'), nodes[kind]) << step.node;
    }
  }
}

TEST(ElementwiseRuns, BranchesThatMeetAgain) {
  const Shape shape{40, 130};
  Builder b;
  const int x = b.input("x", shape);
  const int y = b.input("y", shape);
  const int sum = b.call(kAdd, {x, y});
  std::vector<int> branches;
  for (const OpDef* op : {&kSigmoid, &kTanh, &kNeg, &kAbs, &kErf, &kSquare})
    branches.push_back(b.call(*op, {sum}));
  int all = b.call(kAdd, {sum, sum});
  for (const int branch : branches) all = b.call(kMul, {b.call(kAdd, {branch, x}), all});
  const int truth = b.call(kLess, {all, y});
  Graph graph = b.finish({b.call(kWhere, {truth, all, b.number(-1)})});
  expect_same(graph, {random(shape, 1), random(shape, 2)}, 1);
}

TEST(ElementwiseRuns, PowersAreSquaresOnlyWhereTheOpSquares) {
  const Shape shape{2, 3, 17000};
  const auto net = [&](const Tensor& exponent) {
    Builder b;
    const int x = b.call(kAbs, {b.input("x", shape)});
    return b.finish({b.call(kMul, {b.call(kPow, {x, b.constant(exponent)}), b.number(3)})});
  };
  Graph square = net(Tensor::scalar(2));
  expect_same(square, {random(shape)}, 1);
  Graph mixed = net(Tensor::from({2, 3, 2}, {3, 1}));
  expect_same(mixed, {random(shape)}, 0);
}

TEST(ElementwiseRuns, StepsOfTheirOwnKindStay) {
  const Shape shape{4, 600};
  Builder b;
  const int x = b.input("x", shape);
  const int y = b.input("y", shape);
  Graph graph = b.finish({b.call(kRelu, {b.call(kAdd, {x, y})})});
  expect_same(graph, {random(shape, 1), random(shape, 2)}, 0);
}

TEST(ElementwiseRuns, TheTableSaysWhatIsFused) {
  const Shape shape{8, 25};
  Builder b;
  const int x = b.input("x", shape);
  const int gate = b.call(kSigmoid, {b.call(kAdd, {x, b.constant(random({25}))})});
  Graph graph = b.finish({b.call(kMul, {b.call(kDiv, {gate, b.number(3)}), x})});
  const Plan plan = compile(graph, {.threads = 1});
  ASSERT_EQ(plan.steps().size(), 1U);
  const PlanStep& step = plan.steps()[0];
  EXPECT_EQ(step.kernel, "elementwise");
  EXPECT_FALSE(step.slow);
  for (const char* op : {"add", "sigmoid", "div", "mul"})
    EXPECT_THAT(step.node, testing::HasSubstr(op));
  EXPECT_EQ(step.bytes, sizeof(float) * (200 + 25 + 1 + 200));
}

TEST(ElementwiseRuns, AnyBatch) {
  Builder b;
  const int x = b.input("x", test::batch_of({5, 4, 3}));
  const int scaled = b.call(kMul, {x, b.constant(random({5, 1, 1}))});
  Graph graph = b.finish({b.call(kAdd, {b.call(kTanh, {scaled}), x})});
  const NoGrad no_grad;
  const Plan plan = compile(graph, {.threads = 1});
  for (const std::int64_t batch : {1, 7, 100}) {
    const Tensors inputs{random({batch, 5, 4, 3})};
    EXPECT_TRUE(same(graph.run(inputs)[0], plan.run(inputs)[0]));
  }
}

TEST(ElementwiseRuns, SeveralCallersAtOnce) {
  const Shape shape{3, 5000};
  Builder b;
  const int x = b.input("x", shape);
  Graph graph = b.finish({b.call(kTanh, {b.call(kMul, {b.call(kSigmoid, {x}), b.number(0.75)})})});
  const NoGrad no_grad;
  const Plan plan = compile(graph, {.threads = 1});
  std::vector<std::thread> callers;
  std::array<bool, 3> right{};
  for (std::size_t k = 0; k < right.size(); ++k)
    callers.emplace_back([&, k] {
      const NoGrad quiet;
      const Tensor given = random(shape, k + 1);
      Tensor expected = tanh(sigmoid(given) * 0.75);
      right[k] = true;
      for (int i = 0; i < 5; ++i) right[k] = right[k] && same(expected, plan.run(given));
    });
  for (std::thread& caller : callers) caller.join();
  for (const bool one : right) EXPECT_TRUE(one);
}

/// Elementwise ops, poolings and concatenations of values drawn among those before.
Graph random_elementwise_net(std::uint64_t seed) {
  Builder b;
  Generator draw(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(draw.below(n)); };
  std::vector<int> values{b.input("x", {2, 8, 9, 5}), b.input("y", {2, 8, 9, 5})};
  const OpDef* const unary[] = {&kSigmoid, &kTanh, &kRelu, &kNeg, &kAbs, &kErf};
  const OpDef* const binary[] = {&kAdd, &kSub, &kMul, &kMaximum, &kMinimum};
  for (std::uint64_t k = 0; k < 24; ++k) {
    const int x = values[values.size() - 1 - below(std::min<std::size_t>(values.size(), 3))];
    const int y = values[below(values.size())];
    const OpDef& two = *binary[below(5)];
    switch (below(8)) {
      case 0:
        values.push_back(picture(b, x, true));
        break;
      case 1:
        values.push_back(b.call(two, {x, b.constant(draw.normal({8, 1, 1}))}));
        break;
      case 2:
        values.push_back(b.call(two, {b.constant(draw.normal({5})), y}));
        break;
      case 3:
      case 4:
        values.push_back(b.call(*unary[below(6)], {x}));
        break;
      default:
        values.push_back(b.call(two, {x, y}));
    }
  }
  std::vector<int> outputs;
  for (const int v : values)
    if (b.graph.readers(v).empty()) outputs.push_back(v);
  return b.finish(outputs);
}

TEST(ElementwiseRuns, RandomNets) {
  const NoGrad no_grad;
  int fused = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph = random_elementwise_net(seed);
    const Plan plan = compile(graph, {.threads = 1});
    fused += count(plan, "elementwise");
    const Tensors inputs{random({2, 8, 9, 5}, seed), random({2, 8, 9, 5}, seed + 100)};
    const Tensors expected = graph.run(inputs);
    const Tensors found = plan.run(inputs);
    for (std::size_t k = 0; k < expected.size(); ++k)
      EXPECT_TRUE(same(expected[k], found[k])) << plan.to_string();
  }
  EXPECT_GT(fused, 80);
}

}  // namespace
}  // namespace pare
