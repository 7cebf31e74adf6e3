// Static and trained graphs of few bits in ONNX files whose opset has INT4 and INT2: smaller, and
// back to the same integers, kernels and training.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "core/packed_codes.h"
#include "io/onnx/exporter.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/plan_layers.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

using onnx::ElementType;
using test::Branchy;
using test::infer_with;

QConfig of_bits(int weight_bits, int activation_bits, Granularity granularity) {
  QConfig config = QConfig::portable();
  config.weight_qmax = config.depthwise_weight_qmax = (std::int64_t{1} << (weight_bits - 1)) - 1;
  config.activation_bits = activation_bits;
  config.weight_granularity = granularity;
  return config;
}

Graph quantized(const Graph& graph, const Shape& shape, const QConfig& config) {
  Graph prepared = prepare(graph, config);
  Generator g(7);
  ContextScope scope;
  scope->grad = false;
  scope->threads = 1;
  for (int i = 0; i < 2; ++i) prepared(g.normal(shape));
  return convert(prepared).graph;
}

const Graph& branchy() {
  static const Graph graph = [] {
    Branchy net;
    return test::graph_of(net, Generator(13).normal({4, 3, 8, 8}));
  }();
  return graph;
}

/// The types of the file's initializers of two axes or more, by name.
std::map<std::string, ElementType> stored(const Graph& graph, int opset) {
  std::map<std::string, ElementType> types;
  for (const onnx::TensorProto& tensor :
       onnx::export_graph(graph, opset, "test").graph.initializers)
    if (tensor.dims.size() >= 2) types.emplace(tensor.name, tensor.type);
  return types;
}

void expect_all(const std::map<std::string, ElementType>& types, ElementType type,
                const std::string& what) {
  EXPECT_EQ(types.size(), 5U) << what;
  for (const auto& [name, its] : types) EXPECT_EQ(its, type) << what << ' ' << name;
}

/// The constant codes that dequantize_linear nodes read, by their names.
std::map<std::string, std::vector<std::int8_t>> codes_of(const Graph& graph) {
  std::map<std::string, std::vector<std::int8_t>> all;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.call.op != &kDequantizeLinear) continue;
    const Graph::Value& codes = graph.value(node.inputs[0]);
    if (codes.is_leaf() && codes.dtype == DType::i8)
      all[codes.name] = codes.tensor.to_vector<std::int8_t>();
  }
  return all;
}

std::vector<std::string> left(const Plan& plan) {
  std::vector<std::string> lines;
  for (const PassReport::Line& line : plan.report().left)
    lines.push_back(line.node + ": " + line.text);
  return lines;
}

void expect_same_bits(const Tensor& a, const Tensor& b, const std::string& what) {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  EXPECT_EQ(a.to_vector<float>(), b.to_vector<float>()) << what;
}

/// The file gives the same integers: to the interpreter, to plans, and to training.
void expect_comes_back(Graph& integers, const Tensor& x, int opset, const std::string& what) {
  const test::TemporaryFolder folder;
  onnx::save(integers, folder.path("net.onnx"), {.opset = opset});
  Graph loaded = onnx::load(folder.path("net.onnx"));
  for (const Graph::Node& node : loaded.nodes())
    EXPECT_NE(node.call.op, &kDequantizeWeight) << what << ' ' << node.name;
  EXPECT_EQ(codes_of(loaded), codes_of(integers)) << what;
  ContextScope scope;
  scope->threads = 1;
  expect_same_bits(infer_with(loaded, x), infer_with(integers, x), what);
  const Plan before = compile(integers.share(), {.threads = 1});
  const Plan after = compile(loaded.share(), {.threads = 1});
  EXPECT_EQ(left(after), left(before)) << what;
  expect_same_bits(after.run(x), before.run(x), what);
  FakeQuantized fake = to_fake_quantize(loaded);
  EXPECT_TRUE(fake.report.left.empty()) << what << fake.report.to_string();
  EXPECT_GE(fake.graph.find_value("stem.weight"), 0) << what;
  Graph back = convert(fake.graph).graph;
  EXPECT_EQ(codes_of(back), codes_of(integers)) << what;
  expect_same_bits(infer_with(back, x), infer_with(integers, x), what);
}

TEST(PackedFile, StaticGraphsComeBack) {
  const Shape shape{4, 3, 8, 8};
  const Tensor x = Generator(14).normal(shape);
  struct Case {
    int weight_bits, activation_bits;
    ElementType by_21, by_25;
  };
  for (const Case& c :
       {Case{4, 4, ElementType::i4, ElementType::i4}, Case{3, 8, ElementType::i4, ElementType::i4},
        Case{2, 2, ElementType::i4, ElementType::i2}, Case{5, 5, ElementType::i8, ElementType::i8}})
    for (const Granularity granularity : {Granularity::per_channel, Granularity::per_tensor}) {
      Graph integers =
          quantized(branchy(), shape, of_bits(c.weight_bits, c.activation_bits, granularity));
      const std::string what = std::to_string(c.weight_bits) + " bits";
      for (const int opset : {0, 13, 20})
        expect_all(stored(integers, opset), ElementType::i8, what);
      expect_all(stored(integers, 21), c.by_21, what);
      expect_all(stored(integers, 24), c.by_21, what);
      expect_all(stored(integers, 25), c.by_25, what);
      for (const int opset : {21, 25}) expect_comes_back(integers, x, opset, what);
    }
}

TEST(PackedFile, TrainedGraphsComeBack) {
  const Shape shape{4, 3, 8, 8};
  const Tensor x = Generator(15).normal(shape);
  for (const int bits : {4, 2}) {
    Graph qat = prepare_qat(branchy(), of_bits(bits, bits, Granularity::per_channel),
                            {.method = TrainingMethod::lsq});
    optim::SGD optimizer(qat.parameters(), {.lr = 1e-3});
    ContextScope scope;
    scope->training = true;
    scope->threads = 1;
    Generator dropout(1);
    scope->generator = &dropout;
    for (int step = 0; step < 2; ++step) {
      optimizer.zero_grad();
      mean(square(qat(x))).backward();
      optimizer.step();
    }
    scope->training = false;
    scope->generator = nullptr;
    Graph integers = convert(qat).graph;
    const std::string what = std::to_string(bits) + " trained bits";
    expect_all(stored(integers, 21), ElementType::i4, what);
    expect_all(stored(integers, 25), bits == 4 ? ElementType::i4 : ElementType::i2, what);
    for (const int opset : {21, 25}) expect_comes_back(integers, x, opset, what);
  }
}

struct Wide : nn::Module {
  nn::Linear fc{{.in = 256, .out = 256, .bias = false}};
  void members(nn::Members& m) override { m("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(x); }
};

TEST(PackedFile, WeightsTakeTheBytesOfTheirBits) {
  Wide net;
  const Shape shape{4, 256};
  const Graph graph = test::graph_of(net, Generator(2).normal(shape));
  const test::TemporaryFolder folder;
  const auto bytes = [&](int bits, int opset) {
    const Graph integers = quantized(graph, shape, of_bits(bits, 8, Granularity::per_tensor));
    onnx::save(integers, folder.path("net.onnx"), {.opset = opset});
    return static_cast<double>(std::filesystem::file_size(folder.path("net.onnx")));
  };
  constexpr double kCodes = 256 * 256, kRest = 1024;  // bytes; one byte each
  for (const int bits : {2, 4, 8}) EXPECT_NEAR(bytes(bits, 0), kCodes, kRest) << bits;
  EXPECT_NEAR(bytes(4, 21), kCodes / 2, kRest);
  EXPECT_NEAR(bytes(3, 25), kCodes / 2, kRest);
  EXPECT_NEAR(bytes(2, 21), kCodes / 2, kRest);
  EXPECT_NEAR(bytes(2, 25), kCodes / 4, kRest);
  EXPECT_NEAR(bytes(8, 25), kCodes, kRest);
}

/// dequantize_linear of codes [2, 3] with these zero points, one for each row.
Graph dequantizer(const std::vector<std::int32_t>& codes, DType dtype,
                  const std::vector<std::int32_t>& zeros) {
  Graph graph;
  const Tensor q = Tensor::from(codes, {2, 3}).to(dtype);
  const int values[] = {
      graph.add_leaf(Graph::Kind::constant, "codes", q),
      graph.add_leaf(Graph::Kind::constant, "scale", Tensor::from({0.5F, 0.25F}, {2})),
      graph.add_leaf(Graph::Kind::constant, "zeros", Tensor::from(zeros, {2}))};
  const Call call{&kDequantizeLinear, Attributes::of(DequantizeAttributes{.axis = 0})};
  const int weight =
      graph.node(graph.add_node("weight", call, {values[0], values[1], values[2]})).outputs[0];
  const int x = graph.add_input("x", {5, 3}, DType::f32);
  const int layer = graph.add_node("fc", {&kLinear, {}}, {x, weight});
  graph.set_outputs({graph.node(layer).outputs[0]});
  return graph;
}

TEST(PackedFile, CodesAndZeroPointsDecide) {
  struct Case {
    std::vector<std::int32_t> codes;
    DType dtype;
    std::vector<std::int32_t> zeros;
    ElementType by_21, by_25;
  };
  const Case cases[] = {
      {{-8, 0, 7, 1, 2, 3}, DType::i8, {0, 0}, ElementType::i4, ElementType::i4},
      {{-8, 0, 8, 1, 2, 3}, DType::i8, {0, 0}, ElementType::i8, ElementType::i8},
      {{-2, 1, 0, 0, 0, 0}, DType::i8, {1, -2}, ElementType::i4, ElementType::i2},
      {{-2, 1, 0, 0, 0, 0}, DType::i8, {0, 2}, ElementType::i4, ElementType::i4},
      {{-2, 1, 0, 0, 0, 0}, DType::i8, {0, -9}, ElementType::i8, ElementType::i8},
      {{0, 15, 3, 4, 9, 1}, DType::u8, {8, 15}, ElementType::u4, ElementType::u4},
      {{0, 3, 3, 2, 1, 1}, DType::u8, {2, 0}, ElementType::u4, ElementType::u2},
      {{0, 15, 3, 4, 9, 1}, DType::u8, {8, 16}, ElementType::u8, ElementType::u8},
      {{0, 16, 3, 4, 9, 1}, DType::u8, {8, 8}, ElementType::u8, ElementType::u8},
  };
  const Tensor x = Generator(3).normal({5, 3});
  const test::TemporaryFolder folder;
  int number = 0;
  for (const Case& c : cases) {
    Graph graph = dequantizer(c.codes, c.dtype, c.zeros);
    const std::string what = "case " + std::to_string(number++);
    EXPECT_EQ(stored(graph, 21).at("codes"), c.by_21) << what;
    EXPECT_EQ(stored(graph, 25).at("codes"), c.by_25) << what;
    for (const int opset : {21, 25}) {
      onnx::save(graph, folder.path("net.onnx"), {.opset = opset});
      Graph loaded = onnx::load(folder.path("net.onnx"));
      expect_same_bits(infer_with(loaded, x), infer_with(graph, x), what);
    }
  }
}

/// x [6, 6], quantized or not, times a weight of codes [6, 6], turned or not.
Graph stored_product(bool quantizes, bool turned, bool has_zeros, DType dtype,
                     const OpDef& reader) {
  Graph graph;
  const auto leaf = [&](const char* name, const Tensor& t) {
    return graph.add_leaf(Graph::Kind::constant, name, t);
  };
  const auto node = [&](const char* name, Call call, std::vector<int> inputs) {
    return graph.node(graph.add_node(name, std::move(call), std::move(inputs))).outputs[0];
  };
  int x = graph.add_input("x", {6, 6}, DType::f32);
  if (quantizes) {
    const int scale = leaf("x_scale", Tensor::scalar(0.05F));
    std::vector<int> by{x, scale};
    if (has_zeros) by.push_back(leaf("x_zero", Tensor::scalar(128, DType::i32)));
    const QuantizeAttributes to{.dtype = DType::u8, .axis = -1, .qmin = 0, .qmax = 255};
    x = node("q", {&kQuantizeLinear, Attributes::of(to)}, by);
    by[0] = x;
    x = node("dq", {&kDequantizeLinear, Attributes::of(DequantizeAttributes{})}, by);
  }
  std::vector<std::int32_t> codes;
  for (int i = 0; i < 36; ++i) codes.push_back(i * 7 % 16 - 8);
  std::vector<int> weight{leaf("w", codes_of(codes, {6, 6}, dtype)),
                          leaf("w_scale", Generator(5).uniform({6}, 0.1F, 0.3F))};
  if (has_zeros) weight.push_back(leaf("w_zero", codes_of(std::vector(6, 0), {6}, dtype)));
  const DequantizeWeightAttributes by{.axis = turned ? 0 : 1};
  int w = node("w_dequantize", {&kDequantizeWeight, Attributes::of(by)}, weight);
  if (turned)
    w = node("turn", {&kTranspose, Attributes::of(TransposeAttributes{.permutation = {1, 0}})},
             {w});
  graph.set_outputs({node("layer", {&reader, {}}, {x, w})});
  return graph;
}

// What the file does not say, the layer does: its weight is bytes where it multiplies codes.
class WeightReaders : public testing::TestWithParam<std::tuple<bool, bool, bool, bool, DType>> {};

TEST_P(WeightReaders, DecideHowWeightsAreKept) {
  const auto [quantizes, turned, has_zeros, says_alone, dtype] = GetParam();
  const test::TemporaryFolder folder;
  const Tensor x = Generator(6).normal({6, 6});
  for (const OpDef* reader : {&kMatmul, &kAdd}) {
    Graph graph = stored_product(quantizes, turned, has_zeros, dtype, *reader);
    if (says_alone) graph.metadata()[kWeightOnlyKey] = "4 bits";
    onnx::save(graph, folder.path("net.onnx"));
    Graph loaded = onnx::load(folder.path("net.onnx"));
    const auto y = infer_with(loaded, x).to_vector<float>();
    const auto expected = infer_with(graph, x).to_vector<float>();
    // A layer of codes sums integers.
    for (std::size_t k = 0; k < y.size(); ++k)
      EXPECT_NEAR(y[k], expected[k], quantizes ? 1e-5 : 0) << reader->name;
    const int w = loaded.find_value("w");
    ASSERT_GE(w, 0) << reader->name;
    const bool bytes = quantizes || reader == &kAdd;
    EXPECT_EQ(loaded.value(w).dtype, bytes ? DType::i8 : dtype) << reader->name;
    if (quantizes && reader == &kMatmul)
      test::expect_no_silent_float(compile(loaded, {.threads = 1}), {"layer"});
  }
}

INSTANTIATE_TEST_SUITE_P(PackedFile, WeightReaders,
                         testing::Combine(testing::Bool(), testing::Bool(), testing::Bool(),
                                          testing::Bool(), testing::Values(DType::i4, DType::i8)));

}  // namespace
}  // namespace pare::quantize
