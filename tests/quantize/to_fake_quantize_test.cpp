// to_fake_quantize: the codes come back through convert, and the graph trains; files of others.
#include "pare/quantize/to_fake_quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::infer_with;

Graph quantized(Graph graph, const Shape& shape, const QConfig& config) {
  Graph prepared = prepare(graph, config);
  Generator g(7);
  const NoGrad no_grad;
  for (int i = 0; i < 3; ++i) prepared(g.normal(shape));
  return convert(prepared).graph;
}

/// Codes of all layers, by node: weight, then bias.
std::map<std::string, std::vector<std::int64_t>> codes_of_layers(const Graph& graph) {
  std::map<std::string, std::vector<std::int64_t>> all;
  for (const Graph::Node& node : graph.nodes()) {
    const QuantizationFact& fact = node.call.op->quantization;
    for (const int i : {fact.weight_input, fact.bias_input}) {
      if (i < 0 || i >= static_cast<int>(node.inputs.size())) continue;
      const int v = node.inputs[static_cast<std::size_t>(i)];
      const int producer = v < 0 ? -1 : graph.value(v).producer;
      if (producer < 0 || graph.node(producer).call.op != &kDequantizeLinear) continue;
      const Graph::Value& codes = graph.value(graph.node(producer).inputs[0]);
      if (!codes.is_leaf()) continue;
      const auto values = codes.tensor.to(DType::i64).to_vector<std::int64_t>();
      // u8 comes back as i8.
      for (const std::int64_t q : values)
        all[node.name].push_back(codes.dtype == DType::u8 ? q - 128 : q);
    }
  }
  return all;
}

void expect_same_bits(const Tensor& a, const Tensor& b, const std::string& what) {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  ASSERT_EQ(a.dtype(), b.dtype()) << what;
  const Tensor x = a.to(MemoryFormat::row_major), y = b.to(MemoryFormat::row_major);
  EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0) << what;
}

/// Unchanged, the graph converts to the integers that it came from.
void expect_law(Graph& integers, const Tensors& inputs, const std::string& what) {
  FakeQuantized fake = to_fake_quantize(integers);
  Graph back = convert(fake.graph).graph;
  // Where the file rounds float weights and has float biases, convert makes codes of them.
  const bool floats = std::any_of(
      fake.report.done.begin(), fake.report.done.end(),
      [](const auto& line) { return line.text.find("float bias") != std::string::npos; });
  if (!floats) {
    EXPECT_EQ(codes_of_layers(back), codes_of_layers(integers)) << what;
  }
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  scope->threads = 1;
  const Tensors a = integers.run(inputs), b = back.run(inputs);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t o = 0; o < a.size(); ++o) {
    if (!floats) {
      expect_same_bits(a[o], b[o], what);
      continue;
    }
    const std::vector<float> x = a[o].to_vector<float>(), y = b[o].to_vector<float>();
    float most = 0;
    for (const float v : x) most = std::max(most, std::fabs(v));
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 0.02F * most) << what;
  }
}

TEST(ToFakeQuantize, ConvertGivesTheSameCodesAndOutputs) {
  Generator g(3);
  const Shape shape{4, 3, 8, 8};
  Branchy net;
  const Graph graph = test::graph_of(net, g.normal(shape));
  QConfig tensorwise = QConfig::qnnpack();
  QConfig affine = QConfig::x86();
  affine.symmetric_weights = false;
  QConfig few = QConfig::portable();
  few.weight_qmax = few.depthwise_weight_qmax = 7;
  const std::pair<const char*, QConfig> configs[] = {{"x86", QConfig::x86()},
                                                     {"portable", QConfig::portable()},
                                                     {"fbgemm", QConfig::fbgemm()},
                                                     {"qnnpack", tensorwise},
                                                     {"affine", affine},
                                                     {"four bits", few}};
  for (const auto& [name, config] : configs) {
    Graph integers = quantized(graph.copy(), shape, config);
    expect_law(integers, {g.normal(shape)}, name);
  }
  test::Scores scores;
  const Graph products = test::graph_of(scores, g.normal({2, 6, 8}));
  Graph integers = quantized(products.copy(), {2, 6, 8}, QConfig::x86());
  expect_law(integers, {g.normal({2, 6, 8})}, "products of activations");
}

TEST(ToFakeQuantize, TheInputIsUnchangedAndPartsAreNamed) {
  Generator g(4);
  const Shape shape{2, 3, 8, 8};
  Branchy net;
  const Graph graph = test::graph_of(net, g.normal(shape));
  Graph integers = quantized(graph.copy(), shape, QConfig::x86());
  const std::string before = integers.to_string();
  const FakeQuantized fake = to_fake_quantize(integers);
  EXPECT_EQ(integers.to_string(), before);
  EXPECT_GE(fake.graph.find_value("stem.weight"), 0);
  EXPECT_EQ(fake.graph.value(fake.graph.find_value("stem.weight")).kind, Graph::Kind::parameter);
  for (const PassReport::Line& line : fake.report.left) ADD_FAILURE() << line.node << line.text;
  EXPECT_EQ(std::ranges::count_if(fake.report.done,
                                  [](const auto& l) { return l.text == "weight trainable"; }),
            5);
}

TEST(ToFakeQuantize, ItTrainsAndConvertsAgain) {
  Generator g(5);
  const Shape shape{16, 3, 8, 8};
  Branchy net;
  const Tensor x = g.normal(shape);
  const Graph graph = test::graph_of(net, x);
  Graph integers = quantized(graph.copy(), shape, QConfig::x86());
  const Tensor labels = argmax(slice(reshape(x, {16, 192}), 1, 0, 5), 1);
  for (const bool moving : {false, true}) {
    FakeQuantized fake = to_fake_quantize(integers, {.moving_ranges = moving});
    const auto codes = codes_of_layers(convert(fake.graph).graph);
    optim::Adam optimizer(fake.graph.parameters(), {.lr = 1e-2});
    float first = 0, last = 0;
    {
      ContextScope scope;
      scope->training = true;
      scope->threads = 1;
      Generator dropout(1);
      scope->generator = &dropout;
      for (int step = 0; step < 120; ++step) {
        const Tensor loss = cross_entropy(fake.graph(x), labels);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        last = static_cast<float>(loss.item());
        if (step == 0) first = last;
      }
    }
    EXPECT_LT(last, 0.8F * first) << moving;
    Graph trained = convert(fake.graph).graph;
    EXPECT_NE(codes_of_layers(trained), codes) << moving;
    // What was evaluated is what the integers compute.
    const Tensor a = infer_with(fake.graph, x), b = infer_with(trained, x);
    EXPECT_EQ(argmax(a, 1).to_vector<std::int64_t>(), argmax(b, 1).to_vector<std::int64_t>());
  }
}

// Codes that ops move, between quantization and dequantization, become moved numbers.
TEST(ToFakeQuantize, MovementOfCodes) {
  Generator g(6);
  Graph graph;
  const auto call = [&](const char* name, const Call& c, std::vector<int> inputs) {
    return graph.node(graph.add_node(name, c, std::move(inputs))).outputs[0];
  };
  const auto scalar = [&](const char* name, const Tensor& t) {
    return graph.add_leaf(Graph::Kind::constant, name, t);
  };
  const int x = graph.add_input("x", {2, 3, 4, 4}, DType::f32);
  const int scale = scalar("s", Tensor::scalar(0.03F));
  const int zero = scalar("z", Tensor::scalar(100, DType::i32));
  const QuantizeAttributes to_u8{.dtype = DType::u8, .axis = -1, .qmin = 0, .qmax = 255};
  const int q = call("q", {&kQuantizeLinear, Attributes::of(to_u8)}, {x, scale, zero});
  const int moved = call("move", {&kReshape, Attributes::of(ReshapeAttributes{{2, 48}})}, {q});
  const int d =
      call("d", {&kDequantizeLinear, Attributes::of(DequantizeAttributes{})}, {moved, scale, zero});
  std::vector<std::int32_t> codes;
  for (int i = 0; i < 240; ++i) codes.push_back(static_cast<std::int32_t>(g.below(255)) - 127);
  const int w = call(
      "wd", {&kDequantizeLinear, Attributes::of(DequantizeAttributes{.axis = 0})},
      {scalar("w", Tensor::from(codes, {5, 48}).to(DType::i8)),
       scalar("ws", g.uniform({5}, 0.01F, 0.02F)), scalar("wz", Tensor::zeros({5}, DType::i32))});
  graph.set_outputs({call("fc", {&kLinear, {}}, {d, w})});
  graph.compact();
  const FakeQuantized fake = to_fake_quantize(graph);
  for (const Graph::Node& node : fake.graph.nodes()) {
    EXPECT_NE(node.call.op, &kQuantizeLinear);
    EXPECT_NE(node.call.op, &kDequantizeLinear);
  }
  expect_law(graph, {g.normal({2, 3, 4, 4})}, "moved");
}

TEST(ToFakeQuantize, RefusesWhatHasNoCodesOrTrainsAlready) {
  Generator g(8);
  const Shape shape{2, 3, 8, 8};
  Branchy net;
  const Graph graph = test::graph_of(net, g.normal(shape));
  test::expect_error(ErrorCode::invalid_state, {"to_fake_quantize", "got a float one"},
                     [&] { to_fake_quantize(graph); });
  test::expect_error(ErrorCode::invalid_state, {"to_fake_quantize", "prepared already"},
                     [&] { to_fake_quantize(prepare_qat(graph)); });
  Graph integers = quantized(graph.copy(), shape, QConfig::x86());
  test::expect_error(ErrorCode::invalid_argument, {"averaging", "got 0"},
                     [&] { to_fake_quantize(integers, {.moving_ranges = true, .averaging = 0}); });
  test::expect_error(ErrorCode::invalid_state, {"to_fake_quantize"},
                     [&] { to_fake_quantize(to_fake_quantize(integers).graph); });
}

// check_quantized_files.py gives files of ONNX Runtime's quantizer, PyTorch and others.
TEST(ToFakeQuantize, FilesOfOthers) {
  const char* files = std::getenv("PARE_QUANTIZED_FILES");
  if (!files) GTEST_SKIP() << "set PARE_QUANTIZED_FILES, as check_quantized_files.py does";
  std::istringstream list{std::string(files)};
  for (std::string file; std::getline(list, file, ':');) {
    SCOPED_TRACE(file);
    Graph integers = onnx::load(file);
    Generator g(9);
    Tensors inputs;
    for (const int v : integers.inputs()) {
      Shape shape;
      for (int a = 0; a < integers.value(v).shape.rank(); ++a)
        shape.append(integers.value(v).shape.symbolic(a) ? 2 : integers.value(v).shape[a]);
      inputs.push_back(g.uniform(shape, -1, 1).to(integers.value(v).dtype));
    }
    const FakeQuantized fake = to_fake_quantize(integers);
    const auto trainable = std::ranges::count_if(
        fake.report.done, [](const auto& l) { return l.text.starts_with("weight trainable"); });
    EXPECT_GT(trainable, 0);
    std::string left;
    for (const PassReport::Line& line : fake.report.left)
      left += "\n  " + line.node + ": " + line.text;
    RecordProperty("trainable", static_cast<int>(trainable));
    expect_law(integers, inputs, file + left);
  }
}

}  // namespace
}  // namespace pare::quantize
