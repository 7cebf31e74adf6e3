// Differences between graphs, and statistics of their nodes.
#include "pare/graph/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "pare/graph/statistics.h"

namespace pare::test {
namespace {

Call call(const OpDef& op) { return {&op, op.defaults ? op.defaults() : Attributes()}; }

// y = x · factor, z = relu(y).
Graph scaled(float factor) {
  Graph graph;
  Shape shape;
  shape.append_symbol("n");
  shape.append(2);
  const int x = graph.add_input("x", shape, DType::f32);
  const int w = graph.add_leaf(Graph::Kind::parameter, "w", Tensor::full({2}, factor));
  const int y = graph.node(graph.add_node("y", call(kMul), {x, w})).outputs[0];
  const int z = graph.node(graph.add_node("z", call(kRelu), {y})).outputs[0];
  graph.set_outputs({z});
  graph.compact();
  return graph;
}

TEST(GraphComparisonTest, MeasuresNoiseOverAllBatches) {
  GraphComparison comparison(scaled(1), scaled(0.9F));
  comparison.add({Tensor::from({1, -2}, {1, 2})});
  comparison.add({Tensor::from({3, 4, -5, 0}, {2, 2})});
  const GraphDifference all = comparison.result();
  ASSERT_EQ(all.layers.size(), 2U);
  EXPECT_EQ(all.layers[0].name, "y");
  EXPECT_NEAR(all.layers[0].sqnr_db, 20, 1e-4);
  EXPECT_NEAR(all.layers[0].cosine, 1, 1e-6);
  EXPECT_NEAR(all.layers[0].max_abs, 0.5, 1e-6);
  EXPECT_EQ(all.layers[0].elements, 6);
  ASSERT_EQ(all.outputs.size(), 1U);
  EXPECT_EQ(all.outputs[0].name, "z");
  EXPECT_NEAR(all.outputs[0].max_abs, 0.4, 1e-6);
}

TEST(GraphComparisonTest, EqualAndUndefinedValues) {
  DifferenceMeter meter;
  const float inf = std::numeric_limits<float>::infinity();
  meter.add(Tensor::from({1, 0}, {2}), Tensor::from({1, 0}, {2}));
  EXPECT_EQ(meter.result("a").sqnr_db, std::numeric_limits<double>::infinity());
  EXPECT_EQ(meter.result("a").max_abs, 0);
  meter.add(Tensor::from({1, inf}, {2}), Tensor::from({2, inf}, {2}));
  EXPECT_EQ(meter.result("a").max_abs, 1);
  meter.add(Tensor::from({NAN, 5}, {2}), Tensor::from({2, 0}, {2}));
  EXPECT_TRUE(std::isnan(meter.result("a").max_abs));
  EXPECT_EQ(meter.result("a").elements, 6);
  EXPECT_EQ(DifferenceMeter().result("none").cosine, 1);
  EXPECT_ERROR(meter.add(Tensor::zeros({2}), Tensor::zeros({3})), shape_mismatch, "[2] and [3]");
  EXPECT_ERROR(meter.add(Tensor::zeros({2}), Tensor::zeros({2}, DType::i8)), dtype_mismatch, "i8");
}

TEST(GraphComparisonTest, OtherGraphsAreRefused) {
  Graph two = scaled(1);
  two.set_outputs({two.outputs()[0], two.outputs()[0]});
  EXPECT_ERROR(GraphComparison(scaled(1), two), invalid_argument, "outputs", "1 and 2");
  EXPECT_ERROR(GraphComparison(scaled(1), Graph()), invalid_argument, "inputs", "1 and 0");
}

TEST(StatisticsTest, SymbolsCountAsTheOptionsSay) {
  Graph graph;
  Shape shape;
  shape.append_symbol("n");
  shape.append_symbol("t");
  shape.append(3);
  const int x = graph.add_input("x", shape, DType::f32);
  const int w = graph.add_leaf(Graph::Kind::parameter, "w", Tensor::ones({3, 4}));
  const int m = graph.add_node("m", call(kMatmul), {x, w});
  graph.set_outputs(graph.node(m).outputs);
  graph.compact();
  EXPECT_EQ(statistics(graph).nodes[0].macs, -1);  // t is not known
  const GraphStatistics all = statistics(graph, {.symbols = {{"n", 2}, {"t", 5}}});
  EXPECT_EQ(all.macs, 2 * 5 * 3 * 4);
  EXPECT_EQ(all.parameters, 12);
  EXPECT_EQ(all.bytes, 48U);
  EXPECT_EQ(all.nodes[0].shape, graph.value(graph.outputs()[0]).shape);
}

}  // namespace
}  // namespace pare::test
