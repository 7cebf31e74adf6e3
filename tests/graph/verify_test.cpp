// Graph::verify: each kind of broken graph is caught.
#include "graph/nets.h"

namespace pare::test {
namespace {

struct Verify : testing::Test {
  Graph graph;
  int x = graph.add_input("x", Shape{2, 4}, DType::f32);
  int scale = graph.add_leaf(Graph::Kind::parameter, "scale", Tensor::ones(Shape{4}), true);
  int mean = graph.add_leaf(Graph::Kind::buffer, "mean", Tensor::zeros(Shape{4}));
  int variance = graph.add_leaf(Graph::Kind::buffer, "variance", Tensor::ones(Shape{4}));
  int mul = graph.add_node("mul", {&kMul, {}}, {x, scale});
  int norm = graph.add_node("norm", {&kBatchNorm, Attributes::of(BatchNormAttributes{})},
                            {value(mul), scale, scale, mean, variance});
  int last = graph.add_node("last", {&kRelu, {}}, {value(norm)});
  Verify() { graph.set_outputs({value(last)}); }

  int value(int node) const { return graph.node(node).outputs[0]; }
  void expect_broken(const std::string& part, ErrorCode code = ErrorCode::internal) {
    const Caught error = caught([&] { graph.verify(); });
    EXPECT_EQ(error.code, code) << error.message;
    EXPECT_NE(error.message.find(part), std::string::npos) << error.message;
  }
};

TEST_F(Verify, ALegalGraphPasses) { EXPECT_NO_THROW(graph.verify()); }

TEST_F(Verify, OrderOfNodes) {
  graph.edit_node(mul).inputs[0] = value(norm);
  expect_broken("'norm' to be produced before 'mul'");
}

TEST_F(Verify, OneProducerOfAValue) {
  graph.edit_node(last).outputs[0] = value(norm);
  expect_broken("only producer of 'norm'");
}

TEST_F(Verify, AProducerOfEveryResult) {
  graph.edit_value(scale).kind = Graph::Kind::result;
  expect_broken("'scale' to be produced before");
}

TEST_F(Verify, NoProducerOfALeaf) {
  graph.edit_value(scale).producer = mul;
  expect_broken("no producer of 'scale'");
}

TEST_F(Verify, NumberOfInputs) {
  graph.edit_node(mul).inputs.push_back(scale);
  expect_broken("2 to 2 inputs of 'mul'");
}

TEST_F(Verify, NeededInputs) {
  graph.edit_node(mul).inputs[1] = -1;
  expect_broken("an input of 'mul'");
}

TEST_F(Verify, NumbersOfValues) {
  graph.edit_node(mul).inputs[1] = 77;
  expect_broken("got 77");
}

TEST_F(Verify, NumberOfOutputs) {
  graph.edit_node(last).outputs.clear();
  expect_broken("1 outputs of 'last'");
}

TEST_F(Verify, Shapes) {
  graph.edit_value(value(mul)).shape = Shape{2, 5};
  expect_broken("[2, 4] of 'mul' as inferred");
}

TEST_F(Verify, DTypes) {
  graph.edit_value(value(mul)).dtype = DType::f64;
  expect_broken("as inferred");
}

TEST_F(Verify, WhatInferThrows) {
  graph.edit_value(x).shape = Shape{2, 5};
  expect_broken("mul: ", ErrorCode::shape_mismatch);
}

TEST_F(Verify, NamesOfNodes) {
  graph.edit_node(last).name = "mul";
  expect_broken("'mul' twice");
}

TEST_F(Verify, NamesOfValues) {
  graph.edit_value(mean).name = "scale";
  expect_broken("'scale' twice");
}

TEST_F(Verify, TensorsOfLeaves) {
  graph.edit_value(scale).tensor = Tensor();
  expect_broken("a tensor in 'scale'");
}

TEST_F(Verify, ShapesOfLeaves) {
  graph.edit_value(scale).tensor = Tensor::ones(Shape{5});
  expect_broken("in 'scale', got f32[5]");
}

TEST_F(Verify, OnlyParametersAreTrained) {
  graph.edit_value(mean).trainable = true;
  expect_broken("only parameters");
}

TEST_F(Verify, StateIsABuffer) {
  graph.edit_value(mean).kind = Graph::Kind::constant;
  expect_broken("a buffer or parameter for the state of 'norm'");
}

TEST_F(Verify, OutputsExist) {
  graph.set_outputs({-1});
  expect_broken("an output of the graph");
}

TEST_F(Verify, InputsAreInputs) {
  graph.edit_value(x).kind = Graph::Kind::constant;
  graph.edit_value(x).tensor = Tensor::ones(Shape{2, 4});
  expect_broken("of kind input");
}

TEST_F(Verify, AnOpInEveryNode) {
  graph.edit_node(mul).call.op = nullptr;
  expect_broken("an op in 'mul'");
}

}  // namespace
}  // namespace pare::test
