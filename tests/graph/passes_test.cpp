// Passes: the folded graph computes what the graph did, and the graph itself is untouched.
#include "graph/nets.h"

namespace pare::test {
namespace {

bool has(const std::vector<PassReport::Line>& lines, const std::string& node,
         const std::string& text) {
  for (const PassReport::Line& line : lines)
    if (line.node == node && line.text.find(text) != std::string::npos) return true;
  return false;
}

int count(const Graph& graph, const OpDef& op) {
  int found = 0;
  for (const Graph::Node& node : graph.nodes()) found += node.call.op == &op;
  return found;
}

const Graph::Value& weight_of(const Graph& graph, const char* node) {
  return graph.value(graph.node(graph.find_node(node)).inputs[1]);
}

template <class Net> class Fold : public testing::Test {
 public:
  Fold() {
    fill(net);
    graph = trace(net, random(Shape{2, 3, 8, 8}));
    graph = fold_constants(graph, {.parameters = false, .buffers = false}).graph;
  }
  Net net;
  Graph graph;
  Tensor x = random(Shape{3, 3, 8, 8}, 9);
};
using Nets = testing::Types<ResidualNet, ConcatNet>;
TYPED_TEST_SUITE(Fold, Nets);

TYPED_TEST(Fold, OfBatchNormEqualsTheGraph) {
  const std::string text = this->graph.to_string();
  const Tensor wanted = run_one(this->graph, this->x);
  auto [folded, report] = fold_batch_norm(this->graph);
  EXPECT_EQ(count(folded, kBatchNorm), 0);
  EXPECT_EQ(report.done.size(), 2U);
  EXPECT_TRUE(report.left.empty());
  EXPECT_LT(difference(run_one(folded, this->x), wanted), 1e-5);
  EXPECT_EQ(this->graph.to_string(), text);
  NoGrad no_grad;
  for (Tensor& parameter : folded.parameters()) parameter.fill(0);
  expect_identical(run_one(this->graph, this->x), wanted);
}

TYPED_TEST(Fold, OfBatchNormStillTrains) {
  Graph folded = fold_batch_norm(this->graph).graph;
  const auto gradients = [&](Graph& graph) {
    const Tensor y = graph.run({this->x}).at(0);
    sum(y * y).backward();
    std::map<std::string, Tensor> found;
    for (const auto& item : graph.named_parameters()) found[item.name] = item.tensor.grad();
    return found;
  };
  Graph original = this->graph.copy();
  const auto wanted = gradients(original);
  const auto got = gradients(folded);
  ASSERT_EQ(got.size(), wanted.size());
  for (const auto& [name, gradient] : wanted)
    EXPECT_LT(difference(got.at(name), gradient), 1e-4) << name;
}

TYPED_TEST(Fold, OfConstantsLeavesOneWeightPerLayer) {
  const Tensor wanted = run_one(this->graph, this->x);
  Graph calls = fold_batch_norm(this->graph).graph;
  auto [folded, report] = fold_constants(calls);
  EXPECT_EQ(count(folded, kSqrt), 0);
  EXPECT_FALSE(report.done.empty());
  expect_identical(run_one(folded, this->x), run_one(calls, this->x));
  EXPECT_LT(difference(run_one(folded, this->x), wanted), 1e-5);
  for (const Graph::Node& node : folded.nodes()) {
    if (node.call.op != &kConv2d) continue;
    EXPECT_TRUE(folded.value(node.inputs[1]).is_leaf());
    EXPECT_TRUE(folded.value(node.inputs[2]).is_leaf());
  }
}

TYPED_TEST(Fold, OfIdentitiesEqualsTheGraphInInference) {
  auto [folded, report] = remove_identities(this->graph);
  EXPECT_EQ(count(folded, kDropout), 0);
  expect_identical(run_one(folded, this->x), run_one(this->graph, this->x));
  if (std::is_same_v<TypeParam, ConcatNet>) {
    EXPECT_TRUE(has(report.done, "dropout", "inference"));
  }
}

TEST(FoldBatchNorm, KeepsMasksAsCalls) {
  ResidualNet net;
  fill(net);
  mask(net.conv1.weight, Generator(4).bernoulli(Shape{8, 3, 3, 3}, 0.5F));
  const Tensor x = random(Shape{2, 3, 8, 8});
  Graph graph = trace(net, x);
  Graph folded = fold_batch_norm(graph).graph;
  EXPECT_LT(difference(run_one(folded, x), run_one(graph, x)), 1e-5);
  EXPECT_GE(folded.find_value("conv1.weight_mask"), 0);
  Graph constant = fold_constants(folded).graph;
  const auto weight = weight_of(constant, "conv1").tensor.to_vector<float>();
  const auto masked = net.conv1.weight.value().to_vector<float>();
  for (std::size_t i = 0; i < weight.size(); ++i) EXPECT_EQ(weight[i] == 0, masked[i] == 0) << i;
}

TEST(FoldBatchNorm, LeavesAnotherConvolutionItsSharedWeight) {
  struct Tied : nn::Module {
    nn::Conv2d conv{{.in = 4, .out = 4, .kernel = 3, .padding = 1}};
    nn::BatchNorm2d norm{{.features = 4}};
    void members(nn::Members& m) override { m("conv", conv)("norm", norm); }
    Tensor forward(const Tensor& x) override { return conv(relu(norm(conv(x)))); }
  } net;
  fill(net);
  const Tensor x = random(Shape{2, 4, 6, 6});
  Graph graph = trace(net, x);
  auto [folded, report] = fold_batch_norm(graph);
  EXPECT_TRUE(has(report.done, "norm", "folded into conv"));
  EXPECT_LT(difference(run_one(folded, x), run_one(graph, x)), 1e-5);
  EXPECT_TRUE(weight_of(folded, "conv_1").is_leaf());
}

/// conv → fake_quantize'd weight → batch norm, with one scale or one per channel.
Graph fake_quantized_layer(bool per_channel, std::int64_t qmin = -127, std::int32_t zero = 0) {
  Graph graph;
  Shape shape{1, 3, 6, 6};
  shape.set_symbol(0, "batch");
  Generator generator(5);
  const auto leaf = [&](Graph::Kind kind, const char* name, const Tensor& tensor) {
    return graph.add_leaf(kind, name, tensor, kind == Graph::Kind::parameter);
  };
  const auto value = [&](int node) { return graph.node(node).outputs[0]; };
  const int x = graph.add_input("x", shape, DType::f32);
  const int w = leaf(Graph::Kind::parameter, "w", generator.uniform(Shape{4, 3, 3, 3}, -1, 1));
  const Shape scales = per_channel ? Shape{4} : Shape{};
  // Negative factors turn the codes round, so the range is symmetric. One factor is 0.
  const Tensor gamma = Tensor::from({1.5F, -0.5F, 0.0F, 2.0F}, Shape{4});
  const int s = leaf(Graph::Kind::constant, "s", Tensor::full(scales, 1.0 / 127));
  const int z = leaf(Graph::Kind::constant, "z", Tensor::full(scales, zero, DType::i32));
  const FakeQuantizeAttributes attributes{.qmin = qmin, .qmax = 127, .axis = per_channel ? 0 : -1};
  const int q =
      graph.add_node("w.quantized", {&kFakeQuantize, Attributes::of(attributes)}, {w, s, z});
  const int conv =
      graph.add_node("conv", {&kConv2d, Attributes::of(Conv2dAttributes{})}, {x, value(q)});
  const int norm =
      graph.add_node("bn", {&kBatchNorm, Attributes::of(BatchNormAttributes{})},
                     {value(conv), leaf(Graph::Kind::parameter, "gamma", gamma),
                      leaf(Graph::Kind::parameter, "beta", generator.normal(Shape{4})),
                      leaf(Graph::Kind::buffer, "mean", generator.normal(Shape{4})),
                      leaf(Graph::Kind::buffer, "variance", generator.uniform(Shape{4}, 0.5F, 2))});
  graph.set_outputs({value(norm)});
  graph.verify();
  return graph;
}

TEST(FoldBatchNorm, GoesBelowAFakeQuantizeWithOneScalePerChannel) {
  Graph graph = fake_quantized_layer(true);
  const Tensor x = random(Shape{2, 3, 6, 6});
  auto [folded, report] = fold_batch_norm(graph);
  EXPECT_EQ(count(folded, kBatchNorm), 0);
  EXPECT_EQ(folded.node(weight_of(folded, "conv").producer).call.op, &kFakeQuantize);
  // A weight next to a tie may round to the other side: half a step of 1/127 of the largest.
  EXPECT_LT(difference(run_one(folded, x), run_one(graph, x)), 5e-3);
}

TEST(FoldBatchNorm, LeavesWhatItCannotFoldAndSaysWhy) {
  const auto single = fold_batch_norm(fake_quantized_layer(false));
  EXPECT_EQ(count(single.graph, kBatchNorm), 1);
  EXPECT_TRUE(has(single.report.left, "bn", "one scale for all channels"));
  // A negative factor turns the codes round, which such ranges do not allow.
  const auto lopsided = fold_batch_norm(fake_quantized_layer(true, -128));
  EXPECT_EQ(count(lopsided.graph, kBatchNorm), 1);
  EXPECT_TRUE(has(lopsided.report.left, "bn", "not the same on both sides of zero"));
  const auto shifted = fold_batch_norm(fake_quantized_layer(true, -127, 3));
  EXPECT_EQ(count(shifted.graph, kBatchNorm), 1);
  EXPECT_TRUE(has(shifted.report.left, "bn", "zero points that are not known to be 0"));

  Graph shared = fake_quantized_layer(true);
  shared.set_outputs({shared.outputs()[0], shared.node(shared.find_node("conv")).outputs[0]});
  EXPECT_TRUE(has(fold_batch_norm(shared).report.left, "bn", "'conv' is also read elsewhere"));

  struct Alone : nn::Module {
    nn::BatchNorm1d norm{{.features = 6}};
    nn::Linear fc{{.in = 4, .out = 4}};
    nn::BatchNorm1d after{{.features = 6}};
    void members(nn::Members& m) override { m("norm", norm)("fc", fc)("after", after); }
    Tensor forward(const Tensor& x) override { return after(fc(norm(x))); }
  } net;
  fill(net);
  const auto lone = fold_batch_norm(trace(net, random(Shape{2, 6, 4})).copy());
  EXPECT_TRUE(has(lone.report.left, "norm", "no convolution's"));
  EXPECT_TRUE(has(lone.report.left, "after", "not axis 1"));
  EXPECT_NE(lone.report.to_string().find("norm: left: "), std::string::npos);
}

TEST(FoldConstants, TakesWhatTheOptionsAllow) {
  ResidualNet net;
  fill(net);
  mask(net.fc.weight, Tensor::ones(Shape{5, 16}));
  const Graph graph = trace(net, random(Shape{2, 3, 8, 8}));
  const Graph kept = fold_constants(graph, {.parameters = false}).graph;
  EXPECT_EQ(kept.to_string(), graph.to_string());
  const auto folded = fold_constants(graph);
  EXPECT_TRUE(has(folded.report.done, "fc.weight.mul", "mul evaluated"));
  EXPECT_EQ(weight_of(folded.graph, "fc").kind, Graph::Kind::constant);
}

TEST(FoldConstants, KeepsTheFormOfAQuantizedWeight) {
  Graph graph;
  const int w = graph.add_leaf(Graph::Kind::parameter, "w", random(Shape{4, 4}), true);
  const int s = graph.add_leaf(Graph::Kind::constant, "s", Tensor::scalar(0.02));
  const int z = graph.add_leaf(Graph::Kind::constant, "z", Tensor::scalar(0, DType::i32));
  const QuantizeAttributes to{.dtype = DType::i8, .qmin = -127, .qmax = 127};
  const int q = graph.add_node("q", {&kQuantizeLinear, Attributes::of(to)}, {w, s, z});
  const int dq = graph.add_node("dq", {&kDequantizeLinear, Attributes::of(DequantizeAttributes{})},
                                {graph.node(q).outputs[0], s, z});
  graph.set_outputs(graph.node(dq).outputs);
  const Graph folded = fold_constants(graph).graph;
  ASSERT_EQ(folded.nodes().size(), 1U);
  EXPECT_EQ(folded.node(0).call.op, &kDequantizeLinear);
  EXPECT_EQ(folded.value(folded.node(0).inputs[0]).dtype, DType::i8);
}

TEST(FoldConstants, AnErrorLeavesTheGraphUntouched) {
  Graph graph;
  const std::vector<std::int64_t> wrong{1, 9};
  const int table = graph.add_leaf(Graph::Kind::constant, "table", random(Shape{5, 3}));
  const int index = graph.add_leaf(Graph::Kind::buffer, "index", Tensor::from(wrong, Shape{2}));
  const int node =
      graph.add_node("lookup", {&kGather, Attributes::of(GatherAttributes{})}, {table, index});
  graph.set_outputs(graph.node(node).outputs);
  const std::string text = graph.to_string();
  const Caught error = caught([&] { fold_constants(graph); });
  EXPECT_EQ(error.code, ErrorCode::out_of_range);
  EXPECT_EQ(error.message.rfind("lookup: ", 0), 0U) << error.message;
  EXPECT_EQ(graph.to_string(), text);
  graph.verify();
}

TEST(RemoveIdentities, TakesRowsOfThemAndKeepsTheRest) {
  Graph graph;
  const auto value = [&](int node) { return graph.node(node).outputs[0]; };
  const int x = graph.add_input("x", Shape{2, 3}, DType::f32);
  int v = value(graph.add_node("drop", {&kDropout, Attributes::of(DropoutAttributes{})}, {x}));
  v = value(graph.add_node("same", {&kReshape, Attributes::of(ReshapeAttributes{{0, -1}})}, {v}));
  v = value(graph.add_node("cast", {&kCast, Attributes::of(CastAttributes{})}, {v}));
  v = value(
      graph.add_node("order", {&kTranspose, Attributes::of(TransposeAttributes{{0, 1}})}, {v}));
  v = value(
      graph.add_node("turn", {&kTranspose, Attributes::of(TransposeAttributes{{1, 0}})}, {v}));
  v = value(graph.add_node("detach", {&kDetach, {}}, {v}));
  graph.set_outputs({v});
  auto [folded, report] = remove_identities(graph);
  ASSERT_EQ(folded.nodes().size(), 1U);
  EXPECT_EQ(folded.node(0).name, "turn");
  EXPECT_EQ(report.done.size(), 5U);
  const Tensor in = random(Shape{2, 3});
  expect_identical(run_one(folded, in), run_one(graph, in));
}

}  // namespace
}  // namespace pare::test
