// From ONNX files to graphs: order, names, branches, functions, and every way to be wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "io/onnx_file.h"
#include "pare/core/ops.h"
#include "pare/io/onnx.h"

namespace pare::onnx {
namespace {

using test::onnx_bool;
using test::onnx_branch;
using test::onnx_floats;
using test::onnx_model;
using test::onnx_node;
using test::onnx_output;
using test::onnx_value;
using test::OnnxGraph;
using test::Proto;

Graph read(const OnnxGraph& graph) { return parse(onnx_model(graph.proto).span()); }

/// x [batch, 2] and the output y; the nodes are to come.
OnnxGraph x_to_y() {
  return OnnxGraph().input(onnx_value("x", {"batch", "2"})).output(onnx_output("y"));
}
const Tensor kX = Tensor::from({1, -2}, {1, 2});

std::vector<float> result(Graph graph) { return graph.forward(kX).to_vector<float>(); }

TEST(OnnxImport, KeepsNamesSymbolsAndMetadata) {
  OnnxGraph g = x_to_y();
  g.initializer(onnx_floats("fc.bias", {2}, {10, 20}))
      .initializer(onnx_floats("eps", {}, {0.5F}))
      .node(onnx_node("Add", {"x", "fc.bias"}, {"sum"}, "add1"))
      .node(onnx_node("Mul", {"sum", "eps"}, {"y"}));
  const Graph graph = parse(onnx_model(g.proto)
                                .text(2, "maker")
                                .text(3, "1.0")
                                .message(14, Proto().text(1, "who").text(2, "me"))
                                .span());
  const int bias = graph.find_value("fc.bias");
  ASSERT_GE(bias, 0);
  EXPECT_EQ(graph.value(bias).kind, Graph::Kind::parameter);
  EXPECT_TRUE(graph.value(bias).trainable && graph.value(bias).tensor.requires_grad());
  EXPECT_EQ(graph.value(graph.find_value("eps")).kind, Graph::Kind::constant);
  EXPECT_EQ(graph.value(graph.inputs()[0]).shape.to_string(), "[batch, 2]");
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "y");
  EXPECT_GE(graph.find_value("sum"), 0);
  EXPECT_GE(graph.find_node("add1"), 0);
  EXPECT_GE(graph.find_node("y"), 0) << "a node without a name has that of its output";
  EXPECT_EQ(graph.metadata().at("who"), "me");
  EXPECT_EQ(graph.metadata().at("onnx.producer"), "maker 1.0");
  EXPECT_EQ(result(graph), (std::vector<float>{5.5F, 9}));
}

TEST(OnnxImport, GivesUnknownAxesSymbolsOfTheirOwn) {
  OnnxGraph g;
  g.input(onnx_value("in.a", {"", "", "in_a_0"}))
      .output(onnx_output("y"))
      .node(onnx_node("Relu", {"in.a"}, {"y"}));
  EXPECT_EQ(read(g).value(0).shape.to_string(), "[in_a_0_, in_a_1, in_a_0]");
}

TEST(OnnxImport, PutsNodesInOrder) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("Neg", {"a"}, {"y"}))
      .node(onnx_node("Neg", {"x"}, {"b"}))
      .node(onnx_node("Relu", {"b"}, {"a"}));
  EXPECT_EQ(result(read(g)), (std::vector<float>{0, -2}));
}

TEST(OnnxImport, InputsWithInitializersAreNoInputs) {
  OnnxGraph g = x_to_y();
  g.input(onnx_value("w", {"2"}))
      .initializer(onnx_floats("w", {2}, {3, 4}))
      .node(onnx_node("Mul", {"x", "w"}, {"y"}));
  const Graph graph = read(g);
  EXPECT_EQ(graph.inputs().size(), 1U);
  EXPECT_EQ(result(graph), (std::vector<float>{3, -8}));
}

TEST(OnnxImport, FoldsConstants) {
  OnnxGraph g = x_to_y();
  g.initializer(onnx_floats("two", {}, {2}))
      .node(onnx_node("Mul", {"two", "two"}, {"four"}))
      .node(onnx_node("Add", {"four", "two"}, {"six"}))
      .node(onnx_node("Mul", {"x", "six"}, {"y"}));
  const Graph graph = read(g);
  EXPECT_EQ(graph.nodes().size(), 1U);
  EXPECT_EQ(graph.value(graph.find_value("six")).kind, Graph::Kind::constant);
  EXPECT_EQ(result(graph), (std::vector<float>{6, -12}));
}

OnnxGraph with_if(bool condition) {
  OnnxGraph then_branch, else_branch;
  then_branch.node(onnx_node("Relu", {"x"}, {"r"})).output(onnx_output("r"));
  else_branch.node(onnx_node("Neg", {"before"}, {"r"})).output(onnx_output("r"));
  OnnxGraph g = x_to_y();
  // What a branch reads orders the nodes too.
  g.initializer(onnx_bool("c", condition))
      .node(onnx_node("If", {"c"}, {"y"}, "choice")
                .message(5, onnx_branch("then_branch", then_branch.proto))
                .message(5, onnx_branch("else_branch", else_branch.proto)))
      .node(onnx_node("Abs", {"x"}, {"before"}));
  return g;
}

TEST(OnnxImport, TakesTheBranchOfAConstantCondition) {
  EXPECT_EQ(result(read(with_if(true))), (std::vector<float>{1, 0}));
  EXPECT_EQ(result(read(with_if(false))), (std::vector<float>{-1, -2}));
}

// A branch's own value may have the name of what the If gives.
TEST(OnnxImport, BranchesHaveNamesOfTheirOwn) {
  OnnxGraph branch, deeper;
  deeper.node(onnx_node("Neg", {"x"}, {"t"})).output(onnx_output("t"));
  branch
      .node(onnx_node("If", {"flag"}, {"t"}, "inner")
                .message(5, onnx_branch("then_branch", deeper.proto))
                .message(5, onnx_branch("else_branch", deeper.proto)))
      .output(onnx_output("t"));
  OnnxGraph g = x_to_y();
  g.initializer(onnx_bool("flag", true))
      .node(onnx_node("Relu", {"t"}, {"y"}))
      .node(onnx_node("If", {"flag"}, {"t"}, "outer")
                .message(5, onnx_branch("then_branch", branch.proto))
                .message(5, onnx_branch("else_branch", branch.proto)));
  Graph graph = parse(onnx_model(g.proto).span());
  EXPECT_EQ(graph.nodes().size(), 2U) << graph.to_string();
  EXPECT_EQ(result(graph), (std::vector<float>{0, 2}));
}

/// twice(a, b) = a + a (+ b), of the domain "own"; its attribute goes to an inner node.
Proto with_function(const Proto& graph, const Proto& function) {
  return onnx_model(graph).message(8, Proto().text(1, "own").integer(2, 1)).message(25, function);
}
Proto function_of(const std::vector<Proto>& nodes) {
  Proto f = Proto().text(1, "twice").text(4, "a").text(5, "out").text(10, "own");
  for (const Proto& node : nodes) f.message(7, node);
  return f.message(9, Proto().integer(2, 17));
}

TEST(OnnxImport, InlinesFunctionsAndTheirAttributes) {
  const Proto slope = Proto().text(1, "alpha").text(21, "slope").integer(20, 1);
  const Proto f = function_of({onnx_node("Add", {"a", "a"}, {"t"}, "add"),
                               onnx_node("LeakyRelu", {"t"}, {"out"}).message(5, slope)})
                      .text(6, "slope");
  OnnxGraph g = x_to_y();
  g.node(onnx_node("twice", {"x"}, {"m"}, "f1", "own")
             .message(5, Proto().text(1, "slope").real(2, 0.5F).integer(20, 1)))
      .node(onnx_node("twice", {"m"}, {"y"}, "f2", "own")
                .message(5, Proto().text(1, "slope").real(2, 0.25F).integer(20, 1)));
  Graph graph = parse(with_function(g.proto, f).span());
  EXPECT_EQ(result(graph), (std::vector<float>{4, -1}));
  EXPECT_GE(graph.find_node("f1/add"), 0);
  EXPECT_GE(graph.find_value("m"), 0);
}

TEST(OnnxImport, RefusesFunctionsInThemselves) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("twice", {"x"}, {"y"}, "f1", "own"));
  const Proto f = function_of({onnx_node("twice", {"a"}, {"out"}, "again", "own")});
  EXPECT_ERROR(parse(with_function(g.proto, f).span()), corrupt_data,
               "onnx::parse: 'again' (own.twice)",
               "expected functions without recursion, got 'twice' in itself");
}

TEST(OnnxImport, RefusesFunctionsThatExpandWithoutEnd) {
  // Each calls the next one eight times: 8^12 nodes.
  Proto model;
  std::vector<Proto> functions;
  for (int k = 0; k < 12; ++k) {
    Proto f = Proto().text(1, "f" + std::to_string(k)).text(4, "a").text(5, "v8").text(10, "own");
    for (int i = 0; i < 8; ++i) {
      const std::string from = i == 0 ? "a" : "v" + std::to_string(i);
      const std::string to = "v" + std::to_string(i + 1);
      f.message(7, k == 11 ? onnx_node("Identity", {from}, {to})
                           : onnx_node("f" + std::to_string(k + 1), {from}, {to}, "", "own"));
    }
    functions.push_back(f.message(9, Proto().integer(2, 17)));
  }
  OnnxGraph g = x_to_y();
  g.node(onnx_node("f0", {"x"}, {"y"}, "", "own"));
  model = onnx_model(g.proto).message(8, Proto().text(1, "own").integer(2, 1));
  for (const Proto& f : functions) model.message(25, f);
  EXPECT_ERROR(parse(model.span()), corrupt_data, "functions written out, got more");
}

TEST(OnnxImport, RefusesSizesThatNoMemoryHolds) {
  for (const std::string size : {"9223372036854775807", "1152921504606846976"}) {
    OnnxGraph g;
    g.input(onnx_value("x", {size, "4", "batch", "0"}))
        .node(onnx_node("Relu", {"x"}, {"y"}))
        .output(onnx_output("y"));
    EXPECT_ERROR(parse(onnx_model(g.proto).span()), corrupt_data, "onnx::parse: input 'x'",
                 "expected sizes of a tensor that memory can hold, got [" + size + ", 4, -1, 0]");
  }
}

TEST(OnnxImport, RefusesInputsThatTheOpHasNot) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("Relu", {"x", "", "x"}, {"y"}, "act"));
  EXPECT_ERROR(parse(onnx_model(g.proto).span()), unsupported,
               "'act' (Relu): its input 2 ('x') is not read");
}

TEST(OnnxImport, NamesAllThatItRefusesAtOnce) {
  OnnxGraph body;
  body.output(onnx_output("r"));
  OnnxGraph g = x_to_y();
  g.input(onnx_value("s", {"2"}, 8))
      .input(onnx_value("flag", {}, 9))
      .node(onnx_node("Loop", {"", "", "x"}, {"l"}, "loop1")
                .message(5, onnx_branch("body", body.proto)))
      .node(onnx_node("StringNormalizer", {"s"}, {"t"}, "text"))
      .node(onnx_node("SequenceConstruct", {"x"}, {"q"}, "seq"))
      .node(onnx_node("LinearRegressor", {"x"}, {"lr"}, "reg", "ai.onnx.ml"))
      .node(onnx_node("NoSuchOp", {"x"}, {"n"}))
      .node(onnx_node("OtherOp", {"n"}, {"o"}, "after"))
      .node(onnx_node("If", {"flag"}, {"i"}, "choice"))
      .node(onnx_node("Relu", {"o"}, {"y"}, "relu"));
  EXPECT_ERROR(
      read(g), unsupported, "onnx::parse: expected a model of ops that pare has, got 8 nodes",
      "\n  input 's': expected elements of a type that pare has, got STRING",
      "\n  'loop1' (Loop): control flow is not read",
      "\n  'text' (StringNormalizer): strings are not read",
      "\n  'seq' (SequenceConstruct): sequences are not read",
      "\n  'reg' (ai.onnx.ml.LinearRegressor): classical machine learning is not read",
      "\n  node 4 (NoSuchOp): pare has no such op", "\n  'after' (OtherOp): pare has no such op",
      "\n  'choice' (If): control flow is not read: its condition is no constant");
}

TEST(OnnxImport, RefusesAttributesThatNobodyReads) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("Relu", {"x"}, {"y"}, "r")
             .message(5, Proto().text(1, "novelty").integer(3, 1).integer(20, 2)));
  EXPECT_ERROR(read(g), unsupported, "'r' (Relu): its attribute 'novelty' is not read");
}

TEST(OnnxImport, RefusesWhatContradictsItself) {
  OnnxGraph cycle = x_to_y();
  cycle.node(onnx_node("Add", {"x", "y"}, {"a"}, "one"))
      .node(onnx_node("Neg", {"a"}, {"y"}, "two"));
  EXPECT_ERROR(
      read(cycle), corrupt_data,
      "onnx::parse: expected nodes that can be put in order, got a cycle before 'one' (Add)");

  OnnxGraph missing = x_to_y();
  missing.node(onnx_node("Add", {"x", "w"}, {"y"}, "add"));
  EXPECT_ERROR(
      read(missing), corrupt_data,
      "'add' (Add): expected 'w' to be an input, an initializer or given by a node, got none");

  OnnxGraph twice = x_to_y();
  twice.node(onnx_node("Neg", {"x"}, {"y"}, "one")).node(onnx_node("Abs", {"x"}, {"y"}, "two"));
  EXPECT_ERROR(read(twice), corrupt_data,
               "expected one node that gives 'y', got 'one' (Neg) and 'two' (Abs)");

  OnnxGraph input = x_to_y();
  input.node(onnx_node("Neg", {"x"}, {"x"})).node(onnx_node("Neg", {"x"}, {"y"}));
  EXPECT_ERROR(read(input), corrupt_data);

  OnnxGraph inputs = x_to_y();
  inputs.input(onnx_value("x", {"2"})).node(onnx_node("Neg", {"x"}, {"y"}));
  EXPECT_ERROR(read(inputs), corrupt_data, "expected one value 'x', got two");

  OnnxGraph initializers = x_to_y();
  initializers.initializer(onnx_floats("w", {1}, {1})).initializer(onnx_floats("w", {1}, {1}));
  EXPECT_ERROR(read(initializers), corrupt_data, "expected one value 'w', got two");

  OnnxGraph shapes = x_to_y();
  shapes.initializer(onnx_floats("w", {3}, {1, 2, 3}))
      .node(onnx_node("Add", {"x", "w"}, {"y"}, "add"));
  EXPECT_ERROR(read(shapes), corrupt_data, "expected a model whose shapes fit together, got 1 node",
               "'add' (Add): ");

  OnnxGraph output;
  output.input(onnx_value("x", {"batch", "2"}))
      .output(onnx_value("y", {"batch", "3"}))
      .node(onnx_node("Neg", {"x"}, {"y"}));
  EXPECT_ERROR(read(output), corrupt_data,
               "output 'y': expected [batch, 3] as the file says, got [batch, 2]");

  OnnxGraph data = x_to_y();
  data.initializer(onnx_floats("w", {2}, {1})).node(onnx_node("Neg", {"x"}, {"y"}));
  EXPECT_ERROR(
      read(data), corrupt_data,
      "onnx::parse: initializer 'w': expected 2 elements of FLOAT as dims say, got 1 numbers");

  OnnxGraph nothing = x_to_y();
  EXPECT_ERROR(read(nothing), corrupt_data,
               "output 'y': expected a value that a node gives, got none");
  EXPECT_ERROR(read(OnnxGraph()), corrupt_data, "expected outputs of the graph, got none");

  OnnxGraph types = x_to_y();
  types.node(onnx_node("LeakyRelu", {"x"}, {"y"}, "r")
                 .message(5, Proto().text(1, "alpha").integer(3, 1).integer(20, 2)));
  EXPECT_ERROR(read(types), corrupt_data, "'r' (LeakyRelu)",
               "expected a float in 'alpha', got an integer");
}

TEST(OnnxImport, RefusesOtherOpsets) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("Relu", {"x"}, {"y"}));
  EXPECT_ERROR(parse(onnx_model(g.proto, 5).span()), unsupported, "expected opset 6 to 25, got 5");
  EXPECT_ERROR(parse(onnx_model(g.proto, 26).span()), unsupported,
               "expected opset 6 to 25, got 26");
  EXPECT_ERROR(parse(Proto().integer(1, 8).message(7, g.proto).span()), corrupt_data,
               "expected the opset of the model, got none");
}

TEST(OnnxImport, RefusesExternalDataInMemory) {
  OnnxGraph g = x_to_y();
  g.initializer(Proto().integer(1, 2).integer(2, 1).text(8, "w").integer(14, 1).message(
                    13, Proto().text(1, "location").text(2, "w.data")))
      .node(onnx_node("Add", {"x", "w"}, {"y"}));
  EXPECT_ERROR(read(g), unsupported,
               "initializer 'w': expected the data in the file, got external data in 'w.data'");
}

// A constant that is said in ten bytes and would take all memory is not made.
TEST(OnnxImport, FoldsNothingBeyondItsMeans) {
  OnnxGraph g = x_to_y();
  Proto sizes = Proto().integer(1, 3).integer(2, 7).text(8, "sizes");
  for (int i = 0; i < 3; ++i) sizes.integer(7, 100000);
  g.initializer(sizes)
      .node(onnx_node("ConstantOfShape", {"sizes"}, {"huge"}))
      .node(onnx_node("Add", {"x", "huge"}, {"y"}));
  try {
    read(g);
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::internal) << error.what();
  }
}

// Graphs with names that meet: values and nodes may be called alike in a file.
TEST(OnnxImport, ValuesAndNodesMayHaveOneName) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("Neg", {"x"}, {"b"}, "a"))
      .node(onnx_node("Abs", {"b"}, {"a"}, "b"))
      .node(onnx_node("Neg", {"a"}, {"y"}, "y"));
  const Graph graph = read(g);
  EXPECT_EQ(graph.node(graph.find_node("a")).call.op, &kNeg);
  EXPECT_EQ(graph.value(graph.find_value("a")).producer, graph.find_node("b"));
}

TEST(OnnxImport, OutputsMayBeInputsAndStandTwice) {
  OnnxGraph g = x_to_y();
  g.node(onnx_node("Identity", {"x"}, {"same"}))
      .node(onnx_node("Relu", {"x"}, {"y"}))
      .node(onnx_node("Identity", {"y"}, {"again"}))
      .output(onnx_output("same"))
      .output(onnx_output("again"));
  Graph graph = read(g);
  const Tensors outputs = graph.run({kX});
  ASSERT_EQ(outputs.size(), 3U);
  EXPECT_EQ(outputs[1].to_vector<float>(), (std::vector<float>{1, -2}));
  EXPECT_EQ(outputs[2].to_vector<float>(), (std::vector<float>{1, 0}));
}

}  // namespace
}  // namespace pare::onnx
