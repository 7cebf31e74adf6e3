// From graphs to ONNX files and back: names, symbols, opsets, external data, refusals.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "expect_error.h"
#include "io/onnx/exporter.h"
#include "io/onnx/model_reader.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"
#include "pare/graph/trace.h"
#include "pare/io/onnx.h"
#include "pare/models/lenet5.h"
#include "temporary_folder.h"

namespace pare::onnx {
namespace {

/// y = relu(x · w + b), w masked.
Graph masked() {
  Generator g(3);
  Graph graph;
  Shape shape{0, 64};
  shape.set_symbol(0, "batch");
  const int x = graph.add_input("x", shape, DType::f32);
  const int w = graph.add_leaf(Graph::Kind::parameter, "fc.weight",
                               g.normal({32, 64}).set_requires_grad(), true);
  const int mask = graph.add_leaf(Graph::Kind::constant, "fc.mask", Tensor::ones({32, 64}));
  const int b =
      graph.add_leaf(Graph::Kind::parameter, "fc.bias", g.normal({32}).set_requires_grad(), true);
  const auto call = [&](const char* name, const OpDef& op, std::vector<int> in) {
    return graph
        .node(
            graph.add_node(name, {&op, op.defaults ? op.defaults() : Attributes()}, std::move(in)))
        .outputs[0];
  };
  const int weight = call("fc/masked", kMul, {w, mask});
  graph.set_outputs({call("relu", kRelu, {call("fc", kLinear, {x, weight, b})})});
  graph.metadata()["what"] = "masked";
  return graph;
}

Tensor run(Graph& graph, const Tensor& x) {
  ContextScope scope;
  scope->grad = false;
  scope->threads = 1;
  return graph.forward(x);
}

void expect_equal(Graph& a, Graph& b) {
  const Tensor x = Generator(9).normal({3, 64});
  EXPECT_EQ(run(a, x).to_vector<float>(), run(b, x).to_vector<float>());
}

TEST(OnnxExport, KeepsNamesKindsSymbolsAndMetadata) {
  const test::TemporaryFolder folder;
  Graph graph = masked();
  save(graph, folder.path("m.onnx"));
  Graph back = load(folder.path("m.onnx"));
  EXPECT_EQ(back.value(back.inputs()[0]).shape.to_string(), "[batch, 64]");
  EXPECT_EQ(back.value(back.find_value("fc.weight")).kind, Graph::Kind::parameter);
  EXPECT_EQ(back.value(back.find_value("fc.mask")).kind, Graph::Kind::constant);
  EXPECT_GE(back.find_node("fc/masked"), 0);
  EXPECT_GE(back.find_node("relu"), 0);
  EXPECT_EQ(back.metadata(), graph.metadata());
  expect_equal(graph, back);
  const ModelProto model = read_model_file(folder.path("m.onnx"));
  EXPECT_EQ(model.producer_name, "pare");
  EXPECT_EQ(model.opsets.at(""), 13);
  EXPECT_EQ(folder.files(), 1);
}

TEST(OnnxExport, WritingWhatWasReadGivesTheSameFile) {
  const test::TemporaryFolder folder;
  save(masked(), folder.path("a.onnx"));
  save(load(folder.path("a.onnx")), folder.path("b.onnx"));
  save(load(folder.path("b.onnx")), folder.path("c.onnx"));
  EXPECT_EQ(folder.read("b.onnx"), folder.read("c.onnx"));
}

TEST(OnnxExport, TracedNetsRoundTrip) {
  const test::TemporaryFolder folder;
  Generator generator(1);
  models::LeNet5 net;
  initialize(net, generator);
  const Tensor x = generator.normal({2, 1, 28, 28});
  Graph graph = trace(net, x);
  save(graph, folder.path("lenet.onnx"));
  Graph back = load(folder.path("lenet.onnx"));
  const auto a = run(graph, x).to_vector<float>();
  const auto b = run(back, x).to_vector<float>();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
  EXPECT_EQ(back.parameters().size(), graph.parameters().size());
}

TEST(OnnxExport, LargeTensorsGoBesideTheFile) {
  const test::TemporaryFolder folder;
  Graph graph = masked();
  save(graph, folder.path("m.onnx"), {.external_above = 10000});
  EXPECT_EQ(folder.files(), 2);
  // fc.weight and fc.mask at multiples of a page; the bias is small and stays.
  EXPECT_EQ(std::filesystem::file_size(folder.path("m.onnx.data")), 8192U + 8192U);
  EXPECT_LT(std::filesystem::file_size(folder.path("m.onnx")), 4000U);
  Graph back = load(folder.path("m.onnx"));
  expect_equal(graph, back);
  // The file of data cut short is an error.
  std::filesystem::resize_file(folder.path("m.onnx.data"), 9000);
  EXPECT_ERROR(load(folder.path("m.onnx")), corrupt_data, "m.onnx: initializer 'fc.mask'",
               "expected 8192 bytes at 8192 of 'm.onnx.data', got a file of 9000");
  // Elsewhere than in the current folder, and in it.
  std::filesystem::remove(folder.path("m.onnx.data"));
  EXPECT_ERROR(load(folder.path("m.onnx")), io_error,
               "expected external data in 'm.onnx.data', got 'No such file");
}

TEST(OnnxExport, TakesTheLowestOpsetThatHoldsTheGraph) {
  const test::TemporaryFolder folder;
  Graph graph = masked();
  const auto opset = [&](int asked) { return export_graph(graph, asked, "m.onnx").opsets.at(""); };
  EXPECT_EQ(opset(0), 13);
  EXPECT_EQ(opset(21), 21);
  const int id = graph.add_node("norm", {&kLayerNorm, Attributes::of(LayerNormAttributes{})},
                                {graph.outputs()[0]});
  graph.set_outputs({graph.node(id).outputs[0]});
  EXPECT_EQ(opset(0), 17);
  EXPECT_ERROR(opset(16), unsupported,
               "m.onnx: expected ops that opset 16 of ONNX can say, got 1 node that it cannot:",
               "'norm' (layer_norm): LayerNormalization needs opset 17");
  EXPECT_ERROR(opset(12), invalid_argument,
               "onnx::save: expected an opset of 13 to 25, or 0, got 12");
  EXPECT_ERROR(opset(26), invalid_argument, "got 26");
}

// Forms that changed later are written in the older words where those say the same.
TEST(OnnxExport, TakesTheLowestOpsetThatHoldsTheAttributes) {
  const auto opset = [](const Shape& x, Call call, std::vector<Tensor> constants = {}) {
    Graph graph;
    std::vector<int> inputs{graph.add_input("x", x, DType::f32)};
    for (const Tensor& tensor : constants)
      inputs.push_back(graph.add_leaf(Graph::Kind::constant, "c", tensor));
    graph.set_outputs({graph.node(graph.add_node("y", std::move(call), inputs)).outputs[0]});
    const test::TemporaryFolder folder;
    save(graph, folder.path("m.onnx"));
    Graph back = load(folder.path("m.onnx"));
    Shape sizes = x;
    if (x.symbolic(0)) sizes.set(0, 2);
    const Tensor values = Generator(4).normal(sizes);
    EXPECT_EQ(back.run({values})[0].to_vector<float>(), graph.run({values})[0].to_vector<float>());
    return read_model_file(folder.path("m.onnx")).opsets.at("");
  };
  Shape named{0, 2, 4, 6};
  named.set_symbol(0, "batch");
  const auto resize = [](ResizeAttributes a) {
    return Call{&kResize, Attributes::of(std::move(a))};
  };
  EXPECT_EQ(opset(named, resize({.scales = {2, 2}, .axes = {2, 3}})), 13);
  EXPECT_EQ(opset({1, 2, 4, 6}, resize({.sizes = {8, 3}, .axes = {2, 3}})), 13);
  EXPECT_EQ(opset(named, resize({.sizes = {8, 3}, .axes = {2, 3}})), 18);
  EXPECT_EQ(
      opset({1, 2, 4, 6},
            resize({.mode = "linear", .scales = {0.5, 0.5}, .antialias = true, .axes = {2, 3}})),
      18);
  const auto border = [](const char* mode) {
    return Call{&kPadBorder, Attributes::of(PadBorderAttributes{{0, 1}, {0, 1}, mode})};
  };
  EXPECT_EQ(opset({3, 4}, border("reflect")), 13);
  EXPECT_EQ(opset({3, 4}, border("circular")), 19);
  const auto scatter = [&](const char* reduction) {
    return opset({3, 4},
                 {&kScatterElements, Attributes::of(ScatterElementsAttributes{1, reduction})},
                 {Tensor::from<std::int64_t>({1}, {1, 1}), Tensor::from<float>({5}, {1, 1})});
  };
  EXPECT_EQ(scatter("none"), 13);
  EXPECT_EQ(scatter("add"), 16);
  EXPECT_EQ(scatter("max"), 18);
}

TEST(OnnxExport, RecurrentLayersNeedNoLaterOpset) {
  for (const char* direction : {"forward", "bidirectional"}) {
    Graph graph;
    std::vector<int> inputs{graph.add_input("x", {5, 2, 3}, DType::f32)};
    Generator generator(6);
    const bool two = std::string_view(direction) == "bidirectional";
    for (int d = 0; d < (two ? 2 : 1); ++d) {
      const auto leaf = [&](const Shape& shape) {
        inputs.push_back(graph.add_leaf(Graph::Kind::parameter, "w", generator.normal(shape)));
      };
      leaf({16, 3});
      leaf({16, 4});
      leaf({16});
      leaf({16});
    }
    LstmAttributes attributes;
    attributes.direction = direction;
    graph.set_outputs(
        {graph.node(graph.add_node("y", {&kLstm, Attributes::of(attributes)}, inputs)).outputs[0]});
    EXPECT_EQ(export_graph(graph, 0, "m.onnx").opsets.at(""), 13);
  }
}

TEST(OnnxExport, NamesAllThatHasNoForm) {
  const test::TemporaryFolder folder;
  Graph graph;
  const int x = graph.add_input("x", {4}, DType::f32);
  const int a =
      graph.node(graph.add_node("first", {&kCumprod, kCumprod.defaults()}, {x})).outputs[0];
  const int b =
      graph.node(graph.add_node("second", {&kCumprod, kCumprod.defaults()}, {a})).outputs[0];
  graph.set_outputs({b});
  std::ofstream(folder.path("m.onnx")) << "older";
  EXPECT_ERROR(save(graph, folder.path("m.onnx")), unsupported, "got 2 nodes that it cannot",
               "'first' (cumprod)", "'second' (cumprod)");
  EXPECT_EQ(folder.read("m.onnx"), "older");
  EXPECT_EQ(folder.files(), 1);
}

TEST(OnnxExport, OutputsThatNoNodeGives) {
  const test::TemporaryFolder folder;
  Graph graph;
  const int x = graph.add_input("x", {2}, DType::f32);
  const int y = graph.node(graph.add_node("y", {&kRelu, {}}, {x})).outputs[0];
  const int w = graph.add_leaf(Graph::Kind::constant, "w", Tensor::from({7}, {1}));
  graph.set_outputs({x, y, y, w});
  save(graph, folder.path("m.onnx"));
  Graph back = load(folder.path("m.onnx"));
  EXPECT_EQ(back.output_names(), (std::vector<std::string>{"x", "y", "y_1", "w"}));
  const Tensors outputs = back.run({Tensor::from({-1, 2}, {2})});
  ASSERT_EQ(outputs.size(), 4U);
  EXPECT_EQ(outputs[3].item(), 7);
  EXPECT_EQ(outputs[0].to_vector<float>(), (std::vector<float>{-1, 2}));
  EXPECT_EQ(outputs[2].to_vector<float>(), (std::vector<float>{0, 2}));
}

// A pass puts another value in the output's place; copies of inputs have names too.
TEST(OnnxExport, OutputsKeepTheirNames) {
  const test::TemporaryFolder folder;
  const auto names = [&](const Graph& graph) {
    save(graph, folder.path("m.onnx"));
    std::vector<std::string> all;
    for (const ValueInfo& output : read_model_file(folder.path("m.onnx")).graph.outputs)
      all.push_back(output.name);
    EXPECT_EQ(load(folder.path("m.onnx")).output_names(), all);
    return all;
  };
  Graph graph;
  const int x = graph.add_input("x", {2, 3, 4}, DType::f32);
  const auto add = [&](const char* name, const OpDef& op, Attributes attributes, int from) {
    return graph.node(graph.add_node(name, {&op, std::move(attributes)}, {from})).outputs[0];
  };
  const int y = add("y", kRelu, {}, x);
  const int turned = add("turned", kTranspose, Attributes::of(TransposeAttributes{{0, 2, 1}}), y);
  const int back = add("back", kTranspose, Attributes::of(TransposeAttributes{{0, 2, 1}}), turned);
  graph.set_outputs({back, x}, {"scores", "copy"});
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(graph), (Names{"scores", "copy"}));
  EXPECT_EQ(names(load(folder.path("m.onnx"))), (Names{"scores", "copy"}));
  const Graph simple = simplify_movement(graph).graph;
  EXPECT_EQ(simple.nodes().size(), 1U);
  EXPECT_EQ(names(simple), (Names{"scores", "copy"}));
  graph.set_outputs({back});
  EXPECT_EQ(names(simplify_movement(graph).graph), Names{"back"});
  // A name that another value bears.
  graph.set_outputs({back, turned}, {"turned", "back"});
  EXPECT_EQ(names(graph), (Names{"turned", "back"}));
}

TEST(OnnxExport, SaysWhereItCannotWrite) {
  const test::TemporaryFolder folder;
  EXPECT_ERROR(save(masked(), folder.path("none/m.onnx")), io_error, "none/m.onnx");
}

}  // namespace
}  // namespace pare::onnx
