// Dynamic quantization: plan and interpreter to the bit, what is shared, closeness, bad input.
#include "pare/quantize/dynamic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "nets.h"
#include "pare/pare.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

using test::expect_error;
using test::sqnr;

Tensor infer(const Graph& graph, const Tensor& x) {
  Graph copy = graph.share();
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  scope->threads = 1;
  return copy.run({x})[0];
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(a.to_vector<float>(), b.to_vector<float>());
}

int count(const Graph& graph, const OpDef& op) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes(), [&](const Graph::Node& node) { return node.call.op == &op; }));
}

int steps_of(const Plan& plan, const std::string& kernel) {
  return static_cast<int>(std::ranges::count_if(
      plan.steps(), [&](const PlanStep& step) { return step.kernel.find(kernel) == 0; }));
}

Graph scores_graph(Generator& g) {
  test::Scores net;
  initialize(net, g);
  return trace(net, g.normal({2, 6, 8})).copy();
}

/// x [5, K] → linear with bias → relu → a product with a matrix, its bias, x again → gelu.
Graph residual_graph(Generator& g) {
  Graph graph;
  const auto leaf = [&](const char* name, const Shape& shape) {
    return graph.add_leaf(Graph::Kind::parameter, name, g.normal(shape, 0, 0.4F), true);
  };
  const auto node = [&](const char* name, const OpDef& op, std::vector<int> inputs) {
    const Call call{&op, op.defaults ? op.defaults() : Attributes()};
    return graph.node(graph.add_node(name, call, std::move(inputs))).outputs[0];
  };
  const int x = graph.add_input("x", {2, 5, 37}, DType::f32);
  const int h = node("up", kLinear, {x, leaf("up.weight", {50, 37}), leaf("up.bias", {50})});
  const int y = node("down", kMatmul, {node("relu", kRelu, {h}), leaf("down.weight", {50, 37})});
  const int sum = node("sum", kAdd, {x, node("biased", kAdd, {y, leaf("down.bias", {37})})});
  graph.set_outputs({node("gelu", kGelu, {sum})});
  graph.compact();
  return graph;
}

TEST(Dynamic, PlanEqualsInterpreter) {
  Generator g(5);
  for (const bool per_row : {true, false})
    for (const std::int64_t qmax : {127, 63})
      for (const Granularity granularity : {Granularity::per_channel, Granularity::per_tensor})
        for (const Graph& net : {scores_graph(g), residual_graph(g)}) {
          const auto [graph, report] =
              dynamic(net, {.per_row = per_row, .granularity = granularity, .weight_qmax = qmax});
          const bool scores = net.find_node("down") < 0;
          const Tensor x = g.normal(scores ? Shape{2, 6, 8} : Shape{2, 5, 37});
          const Tensor reference = infer(graph, x);
          const Plan plan = compile(graph.copy(), {.threads = 1});
          EXPECT_EQ(steps_of(plan, per_row ? "quantize rows" : "quantize by range"), 2)
              << plan.to_string();
          EXPECT_GT(sqnr(plan.run(x), reference), 100);
          const double level = sqnr(infer(net, x), reference);
          EXPECT_GT(level, qmax == 63 || !per_row ? 22 : 30);
          EXPECT_LT(level, 60);
        }
}

// Without float ops around them the products themselves: to the bit.
TEST(Dynamic, ProductsEqualTheReferenceToTheBit) {
  Generator g(6);
  for (const std::int64_t rows : {1, 3, 70})
    for (const bool per_row : {true, false}) {
      nn::Linear layer{{.in = 45, .out = 33}};
      initialize(layer, g);
      const Tensor x = g.normal({rows, 45}, 0.5F, 2.0F);
      const auto [graph, report] = dynamic(trace(layer, x).copy(), {.per_row = per_row});
      const Plan plan = compile(graph.copy(), {.threads = 1});
      EXPECT_EQ(plan.steps().size(), 2U) << plan.to_string();
      expect_same(plan.run(x), infer(graph, x));
    }
}

// y = s_x · s_w · Σ (q_x − z)·q_w by the formulas, in double.
TEST(Dynamic, IsTheFormula) {
  const Tensor weight = Tensor::from(std::vector<float>{1.27F, -0.635F, 0.02F, 2.54F}, {2, 2});
  Graph net;
  const int x = net.add_input("x", {2, 2}, DType::f32);
  const int w = net.add_leaf(Graph::Kind::parameter, "w", weight, true);
  net.set_outputs(
      {net.node(net.add_node("fc", {&kLinear, kLinear.defaults ? kLinear.defaults() : Attributes()},
                             {x, w}))
           .outputs[0]});
  net.compact();
  const Tensor rows = Tensor::from(std::vector<float>{-1, 1.55F, 5.1F, 0.02F}, {2, 2});
  const auto [graph, report] = dynamic(net, {.weight_qmax = 127});
  // Row 0: scale 0.01, zero point 100, codes 0 and 255; row 1: scale 0.02, zero point 0, 255 and 1.
  // Weights: scale 0.01, codes 127 and −64 (63.5 to even); scale 0.02, codes 1 and 127.
  const std::vector<double> wanted{
      0.01 * 0.01 * (-100 * 127 + 155 * -64), 0.01 * 0.02 * (-100 * 1 + 155 * 127),
      0.02 * 0.01 * (255 * 127 + 1 * -64), 0.02 * 0.02 * (255 * 1 + 1 * 127)};
  const std::vector<float> found = infer(graph, rows).to_vector<float>();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], wanted[i], 1e-5) << i;
  ASSERT_EQ(report.layers.size(), 1U);
  EXPECT_EQ(report.layers[0].weights, 4);
  EXPECT_EQ(report.layers[0].scales, 2);
  EXPECT_EQ(report.layers[0].bytes_before, 16U);
  EXPECT_EQ(report.layers[0].bytes_after, 4U + 8U + 2U);
}

// The plan is made for each size anew, from the packed weights.
TEST(Dynamic, OtherBatches) {
  Generator g(14);
  const Graph graph = dynamic(scores_graph(g)).graph;
  const Plan plan = compile(graph.copy(), {.threads = 1});
  for (const std::int64_t batch : {2, 1, 5, 2}) {
    const Tensor x = g.normal({batch, 6, 8});
    EXPECT_GT(sqnr(infer(graph, x), plan.run(x)), 100) << batch;
  }
  // What is left float, in bf16 where the CPU has it.
  const Plan narrow = compile(graph.copy(), {.threads = 1, .precision = Precision::bf16});
  const Tensor x = g.normal({3, 6, 8});
  EXPECT_GT(sqnr(infer(graph, x), narrow.run(x)), 25);
}

// Query, key and value read the same codes; the head reads others.
TEST(Dynamic, InputsAreQuantizedOnce) {
  Generator g(7);
  const auto [graph, report] = dynamic(scores_graph(g));
  EXPECT_EQ(count(graph, kDynamicQuantizeLinear), 2);
  EXPECT_EQ(report.layers.size(), 4U);
  ASSERT_EQ(report.left.size(), 2U);  // the products of activations
  EXPECT_EQ(report.left[0].text, "both its factors are activations");
  EXPECT_NE(to_string(report).find("stays float: both its factors"), std::string::npos);
}

// A row's result does not depend on the rows beside it.
TEST(Dynamic, RowsStandAlone) {
  Generator g(8);
  const Graph net = residual_graph(g);
  const Graph graph = dynamic(net).graph;
  Tensor x = g.normal({2, 5, 37});
  const Tensor before = infer(graph, x);
  float* last = x.mutable_data<float>() + 9 * 37;
  for (int k = 0; k < 37; ++k) last[k] *= 1000;
  const Tensor after = infer(graph, x);
  for (int i = 0; i < 9 * 37; ++i) ASSERT_EQ(before.data<float>()[i], after.data<float>()[i]);
}

TEST(Dynamic, TablesAndTiedWeights) {
  Generator g(9);
  Graph net;
  const auto node = [&](const char* name, const OpDef& op, std::vector<int> inputs) {
    const Call call{&op, op.defaults ? op.defaults() : Attributes()};
    return net.node(net.add_node(name, call, std::move(inputs))).outputs[0];
  };
  const int ids = net.add_input("ids", {2, 5}, DType::i64);
  const int table = net.add_leaf(Graph::Kind::parameter, "table", g.normal({11, 24}), true);
  const int other = net.add_leaf(Graph::Kind::parameter, "other", g.normal({11, 24}), true);
  const int x = node("embed", kEmbedding, {ids, table});
  const int y = node("sum", kAdd, {x, node("position", kEmbedding, {ids, other})});
  net.set_outputs({node("head", kLinear, {y, table})});
  net.compact();
  const auto [graph, report] = dynamic(net, {.embedding_bits = 4});
  ASSERT_EQ(report.layers.size(), 3U);
  EXPECT_EQ(report.layers[0].name, "embed");
  EXPECT_EQ(report.layers[0].note, "reads the codes of 'head'");
  EXPECT_EQ(report.layers[1].bits, 4);
  EXPECT_EQ(report.layers[1].bytes_after, 11U * 12 + 11 * 4);
  EXPECT_EQ(report.layers[2].bits, 8);
  const Tensor tokens = g.uniform({2, 5}, 0, 10.99F).to(DType::i64);
  const Plan plan = compile(graph.copy(), {.threads = 1});
  EXPECT_GT(sqnr(infer(graph, tokens), plan.run(tokens)), 100);
  const auto [whole, kept] = dynamic(net, {.embedding_bits = 0});
  EXPECT_EQ(kept.layers.size(), 1U);
  EXPECT_EQ(kept.left.size(), 2U);
}

TEST(Dynamic, FilesKeepIt) {
  Generator g(10);
  const test::TemporaryFolder folder;
  const Graph net = residual_graph(g);
  const Graph graph = dynamic(net).graph;
  const Tensor x = g.normal({2, 5, 37});
  const std::string file = folder.path("net.pare");
  io::save(graph, file);
  expect_same(infer(io::load_graph(file), x), infer(graph, x));
}

TEST(Dynamic, NaNAndInfinityShow) {
  Generator g(11);
  for (const bool per_row : {true, false})
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      nn::Linear layer{{.in = 20, .out = 9}};
      initialize(layer, g);
      Tensor x = g.normal({3, 20});
      const Graph graph = dynamic(trace(layer, x).copy(), {.per_row = per_row}).graph;
      x.mutable_data<float>()[27] = bad;
      const Plan plan = compile(graph.copy(), {.threads = 1});
      for (const Tensor& y : {infer(graph, x), plan.run(x)})
        for (int i = 0; i < 27; ++i)
          EXPECT_EQ(std::isnan(y.data<float>()[i]), !per_row || i / 9 == 1) << i;
    }
}

TEST(Dynamic, FallBacksAreSeen) {
  Generator g(12);
  Graph graph = dynamic(residual_graph(g)).graph;
  // A scale that is not one for each output: the product runs in f32 on what the codes stand for.
  const int n = graph.find_node("up.weight_dequantize");
  ASSERT_GE(n, 0);
  graph.edit_node(n).call.attributes = Attributes::of(DequantizeAttributes{.axis = 1});
  for (const int v : {1, 2})
    graph.edit_value(graph.node(n).inputs[static_cast<std::size_t>(v)]).tensor =
        v == 1 ? Tensor::full({37}, 0.01) : Tensor::zeros({37}, DType::i8);
  graph.infer_shapes();
  const Plan plan = compile(graph.copy(), {.threads = 1});
  EXPECT_NE(plan.report().to_string().find("up: left: runs in f32"), std::string::npos)
      << plan.report().to_string();
  const Tensor x = g.normal({2, 5, 37});
  EXPECT_GT(sqnr(infer(graph, x), plan.run(x)), 60);
}

TEST(Dynamic, SaysWhatIsWrong) {
  Generator g(13);
  const Graph net = residual_graph(g);
  expect_error(ErrorCode::invalid_argument, {"'upp'", "'up'"},
               [&] { dynamic(net, {.names = {"upp"}}); });
  expect_error(ErrorCode::invalid_argument, {"linear"}, [&] { dynamic(net, {.ops = {"conv2d"}}); });
  expect_error(ErrorCode::invalid_argument, {"exclude"},
               [&] { dynamic(net, {.exclude = {"z*"}}); });
  expect_error(ErrorCode::invalid_argument, {"200"}, [&] { dynamic(net, {.weight_qmax = 200}); });
  expect_error(ErrorCode::invalid_argument, {"embedding"},
               [&] { dynamic(net, {.embedding_bits = 1}); });
  expect_error(ErrorCode::unsupported, {"excluded by name"},
               [&] { dynamic(net, {.exclude = {"*"}}); });
  expect_error(ErrorCode::invalid_state, {"quantized already"},
               [&] { dynamic(dynamic(net).graph); });
  const auto [half, report] = dynamic(net, {.exclude = {"up"}});
  EXPECT_EQ(report.layers.size(), 1U);
  EXPECT_EQ(count(half, kDynamicQuantizeLinear), 1);

  Graph broken = net.copy();
  Tensor weight = broken.value(broken.find_value("down.weight")).tensor.clone();
  weight.mutable_data<float>()[3] = std::nanf("");
  broken.edit_value(broken.find_value("down.weight")).tensor = weight;
  expect_error(ErrorCode::invalid_argument, {"down"}, [&] { dynamic(broken); });
}

}  // namespace
}  // namespace pare::quantize
