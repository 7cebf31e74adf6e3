// Graph: copies, assignment, edits.
#include "graph/nets.h"

namespace pare::test {
namespace {

struct Copies : testing::Test {
  Copies() {
    fill(net);
    graph = trace(net, random(Shape{2, 3, 8, 8}));
  }
  ResidualNet net;
  Graph graph;
  Tensor x = random(Shape{3, 3, 8, 8}, 9);
};

TEST_F(Copies, OwnTheirTensors) {
  Graph copy = graph.copy();
  EXPECT_EQ(copy.to_string(), graph.to_string());
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    if (!graph.values()[v].is_leaf()) continue;
    EXPECT_NE(copy.values()[v].tensor.raw(), graph.values()[v].tensor.raw());
    EXPECT_EQ(copy.values()[v].tensor.requires_grad(), graph.values()[v].tensor.requires_grad());
  }
  const Tensor before = run_one(graph, x);
  expect_identical(run_one(copy, x), before);
  NoGrad no_grad;
  for (Tensor& parameter : copy.parameters()) parameter.fill(0);
  expect_identical(run_one(graph, x), before);
}

TEST_F(Copies, CloneASharedTensorOnce) {
  Graph tied;
  const int in = tied.add_input("x", Shape{2, 4}, DType::f32);
  const Tensor scale = random(Shape{4});
  const int a = tied.add_leaf(Graph::Kind::parameter, "a", scale, true);
  const int b = tied.add_leaf(Graph::Kind::parameter, "b", scale, true);
  const int first = tied.node(tied.add_node("mul", {&kMul, {}}, {in, a})).outputs[0];
  tied.set_outputs({tied.node(tied.add_node("mul", {&kMul, {}}, {first, b})).outputs[0]});
  const Graph copy = tied.copy();
  EXPECT_TRUE(copy.value(a).tensor.same_as(copy.value(b).tensor));
  EXPECT_FALSE(copy.value(a).tensor.same_as(scale));
}

TEST_F(Copies, OfSharingKindShare) {
  const Graph shared = graph.share();
  for (std::size_t v = 0; v < graph.values().size(); ++v)
    if (graph.values()[v].is_leaf()) {
      EXPECT_TRUE(shared.values()[v].tensor.same_as(graph.values()[v].tensor));
    }
}

TEST_F(Copies, AssignmentWritesInPlace) {
  Graph best = graph.copy();
  const Tensors handles = graph.parameters();
  const Tensor before = run_one(graph, x);
  {
    NoGrad no_grad;
    for (Tensor parameter : graph.parameters()) parameter.fill(0.01);
  }
  graph = best;
  expect_identical(run_one(graph, x), before);
  const Tensors after = graph.parameters();
  ASSERT_EQ(after.size(), handles.size());
  for (std::size_t i = 0; i < handles.size(); ++i) EXPECT_TRUE(after[i].same_as(handles[i]));
  Graph empty;
  empty = graph;
  expect_identical(run_one(empty, x), before);
  EXPECT_FALSE(empty.parameters()[0].same_as(handles[0]));
}

TEST_F(Copies, MovingKeepsTheTensors) {
  const Tensor first = graph.parameters()[0];
  Graph moved = std::move(graph);
  EXPECT_TRUE(moved.parameters()[0].same_as(first));
}

TEST_F(Copies, KeepTheMetadata) {
  graph.metadata()["quantize.isa"] = "avx2";
  Graph assigned;
  assigned = graph;
  EXPECT_EQ(graph.copy().metadata(), graph.metadata());
  EXPECT_EQ(graph.share().metadata(), graph.metadata());
  EXPECT_EQ(assigned.metadata(), graph.metadata());
}

TEST_F(Copies, BytesAreThoseOfTheLeaves) {
  std::size_t sum = 0;
  for (const auto& item : net.state()) sum += item.tensor.bytes();
  EXPECT_EQ(graph.bytes(), sum);
}

struct Editing : testing::Test {
  Graph graph;
  int x = graph.add_input("x", Shape{2, 4}, DType::f32);
  int scale = graph.add_leaf(Graph::Kind::parameter, "scale", Tensor::ones(Shape{4}), true);
  int product = output(graph.add_node("product", {&kMul, {}}, {x, scale}));
  int last = output(graph.add_node("last", {&kRelu, {}}, {product}));
  Editing() { graph.set_outputs({last}); }
  int output(int node) const { return graph.node(node).outputs[0]; }
};

TEST_F(Editing, NumbersStayUntilCompactPutsTheNodesInOrder) {
  const int added = output(graph.add_node("added", {&kTanh, {}}, {product}));
  graph.replace_uses(product, added, graph.value(added).producer);
  EXPECT_EQ(graph.value(product).name, "product");
  EXPECT_THROW(graph.verify(), Error);
  EXPECT_NE(caught([&] {
              graph.run({random(Shape{2, 4})});
            }).message.find("not in order"),
            std::string::npos);
  graph.compact();
  graph.verify();
  ASSERT_EQ(graph.nodes().size(), 3U);
  EXPECT_EQ(graph.node(0).name, "product");
  EXPECT_EQ(graph.node(1).name, "added");
  EXPECT_EQ(graph.node(2).name, "last");
  const Tensor in = random(Shape{2, 4});
  expect_identical(run_one(graph, in), relu(tanh(in)));
}

TEST_F(Editing, DeadValuesGo) {
  graph.set_outputs({x});
  EXPECT_TRUE(graph.parameters().empty());
  graph.compact();
  EXPECT_TRUE(graph.nodes().empty());
  EXPECT_EQ(graph.values().size(), 1U);
  graph.verify();
}

TEST_F(Editing, UnusedInputsStay) {
  graph.add_input("y", Shape{2}, DType::f32);
  graph.compact();
  EXPECT_EQ(graph.inputs().size(), 2U);
  graph.verify();
}

TEST_F(Editing, NamesAreMadeUnique) {
  EXPECT_EQ(graph.node(graph.add_node("last", {&kRelu, {}}, {last})).name, "last_1");
  EXPECT_EQ(graph.value(graph.add_input("scale", Shape{1}, DType::f32)).name, "scale_1");
  EXPECT_EQ(graph.unique_name("fresh"), "fresh");
}

TEST_F(Editing, CompactRefusesACycle) {
  graph.edit_node(graph.value(product).producer).inputs[0] = last;
  const auto error = caught([&] { graph.compact(); });
  EXPECT_EQ(error.code, ErrorCode::internal);
  EXPECT_NE(error.message.find("cycle"), std::string::npos);
  EXPECT_EQ(graph.nodes().size(), 2U);
}

TEST_F(Editing, CompactsADeepGraphWithoutRecursion) {
  // Back to front: each node's producer comes after it.
  std::vector<int> nodes;
  for (int i = 0; i < 2000; ++i) nodes.push_back(graph.add_node("r", {&kRelu, {}}, {product}));
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i)
    graph.edit_node(nodes[i]).inputs[0] = output(nodes[i + 1]);
  const int v = output(nodes[0]);
  graph.replace_uses(last, v);
  graph.compact();
  graph.verify();
  EXPECT_EQ(graph.nodes().size(), 2001U);
}

TEST_F(Editing, InferShapesFollowsLeavesAndInputs) {
  graph.edit_value(scale).tensor = Tensor::ones(Shape{3, 1, 4});
  graph.infer_shapes();
  EXPECT_EQ(graph.value(last).shape, (Shape{3, 2, 4}));
  graph.verify();
}

TEST_F(Editing, RefusesWhatDoesNotFit) {
  const int odd = graph.add_leaf(Graph::Kind::constant, "odd", Tensor::ones(Shape{3}));
  const auto error = caught([&] { graph.add_node("sum", {&kAdd, {}}, {product, odd}); });
  EXPECT_EQ(error.code, ErrorCode::shape_mismatch);
  EXPECT_EQ(error.message.rfind("sum: add: ", 0), 0U) << error.message;
  EXPECT_EQ(caught([&] {
              graph.add_node("sum", {&kAdd, {}}, {product, 99});
            }).code,
            ErrorCode::out_of_range);
  EXPECT_EQ(caught([&] { graph.add_leaf(Graph::Kind::result, "r", Tensor::ones(Shape{3})); }).code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(caught([&] { graph.add_leaf(Graph::Kind::constant, "r", Tensor()); }).code,
            ErrorCode::invalid_argument);
}

TEST_F(Editing, RefusesNumbersThatAreNone) {
  const int none = graph.find_value("typo");
  EXPECT_EQ(caught([&] { graph.value(none); }).code, ErrorCode::out_of_range);
  EXPECT_EQ(caught([&] { graph.edit_value(none); }).code, ErrorCode::out_of_range);
  EXPECT_EQ(caught([&] { graph.node(99); }).code, ErrorCode::out_of_range);
  EXPECT_EQ(caught([&] { graph.edit_node(-1); }).message,
            "Graph: expected the number of a node, below 2, got -1");
}

TEST_F(Editing, ReadersAreListedOnce) {
  const int twice = graph.add_node("twice", {&kMul, {}}, {product, product});
  EXPECT_EQ(graph.readers(product), (std::vector<int>{1, twice}));
  EXPECT_TRUE(graph.is_output(last));
  EXPECT_EQ(graph.find_node("none"), -1);
  EXPECT_EQ(graph.find_value("none"), -1);
}

}  // namespace
}  // namespace pare::test
