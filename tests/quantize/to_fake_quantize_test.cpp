// to_fake_quantize: the codes come back through convert, and the graph trains; files of others.
#include "pare/quantize/to_fake_quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/plan_layers.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::infer_with;

Graph quantized(Graph graph, const Shape& shape, const QConfig& config) {
  Graph prepared = prepare(graph, config);
  Generator g(7);
  ContextScope scope;
  scope->grad = false;
  scope->threads = 1;
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
  FakeQuantized fake = to_fake_quantize(integers, {.real_outputs = false});
  Graph back = convert(fake.graph).graph;
  // A product and the sum with its bias become one layer.
  Graph layers = recognize(integers.copy()).graph;
  // Where the file rounds float weights and has float biases, convert makes codes of them.
  const bool floats = std::any_of(
      fake.report.done.begin(), fake.report.done.end(),
      [](const auto& line) { return line.text.find("float bias") != std::string::npos; });
  if (!floats) {
    EXPECT_EQ(codes_of_layers(back), codes_of_layers(layers)) << what;
  }
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  scope->threads = 1;
  const Tensors a = layers.run(inputs), b = back.run(inputs);
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

// ONNX has 8 bits and a Clip for these.
TEST(ToFakeQuantize, FilesOfFewBitsGiveTheSameCodes) {
  Generator g(13);
  const Shape shape{4, 3, 8, 8};
  Branchy net;
  const Graph graph = test::graph_of(net, g.normal(shape));
  const Tensor x = g.normal(shape);
  const test::TemporaryFolder folder;
  const std::string file = folder.path("net.onnx");
  for (const int bits : {7, 4, 2}) {
    QConfig config = QConfig::portable();
    config.activation_bits = bits;
    const std::string what = std::to_string(bits) + " bits";
    Graph integers = quantized(graph.copy(), shape, config);
    const auto steps = [](const Graph& of) {
      std::multiset<std::int64_t> all;
      for (const Graph::Node& node : of.nodes())
        if (node.call.op == &kQuantizeLinear) {
          const auto& a = node.call.attributes.as<QuantizeAttributes>();
          all.insert(a.qmax - a.qmin);
        }
      return all;
    };
    onnx::save(integers, file);
    Graph loaded = onnx::load(file);
    ASSERT_NE(steps(loaded), steps(integers)) << "no Clip in the file: " << what;
    FakeQuantized fake = to_fake_quantize(loaded);
    EXPECT_TRUE(fake.report.left.empty()) << what << fake.report.to_string();
    EXPECT_EQ(fake.graph.parameters().size(), to_fake_quantize(integers).graph.parameters().size());
    Graph back = convert(fake.graph).graph;
    EXPECT_EQ(steps(back), steps(integers)) << what;
    EXPECT_EQ(codes_of_layers(back), codes_of_layers(integers)) << what;
    expect_same_bits(infer_with(back, x), infer_with(integers, x), what);
    expect_law(loaded, {x}, what);
  }
  onnx::save(quantized(graph.copy(), shape, QConfig::fbgemm()), file);
  Graph loaded = onnx::load(file);
  EXPECT_TRUE(to_fake_quantize(loaded).report.left.empty());
  expect_law(loaded, {x}, "fbgemm");
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

TEST(ToFakeQuantize, NamesWeightsWhoseInputsAreFloats) {
  Generator g(14);
  Branchy net;
  const Graph graph = test::graph_of(net, g.normal({2, 3, 8, 8}));
  const auto reason = [](const FakeQuantized& fake, const std::string& layer) {
    for (const PassReport::Line& line : fake.report.left)
      if (line.node == layer) return line.text;
    return std::string();
  };
  const WeightOnly stored = weight_only(graph);
  const FakeQuantized of_stored = to_fake_quantize(stored.graph);
  ASSERT_FALSE(stored.report.layers.empty());
  for (const auto& layer : stored.report.layers)
    EXPECT_EQ(reason(of_stored, layer.name), "its input has no codes: its weight stays integers");
  EXPECT_TRUE(of_stored.report.done.empty());
  const Dynamic moving = dynamic(graph);
  const FakeQuantized of_moving = to_fake_quantize(moving.graph);
  ASSERT_FALSE(moving.report.layers.empty());
  for (const auto& layer : moving.report.layers)
    EXPECT_EQ(reason(of_moving, layer.name), "its input has no codes: its weight stays integers");
  const auto gradients = std::ranges::count_if(of_moving.report.left, [](const auto& line) {
    return line.text.find("get no gradient") != std::string::npos;
  });
  EXPECT_GT(gradients, 0);
  for (const PassReport::Line& line : of_moving.report.left)
    EXPECT_NE(line.text, "constant codes that are no layer's weight or bias") << line.node;
}

/// A dense layer as converters from TFLite write it: codes · matrix, and the sum with its bias.
Graph product_and_sum(Generator& g, const Shape& shape, bool codes_leave) {
  Graph graph;
  const auto call = [&](const char* name, const Call& c, std::vector<int> inputs) {
    return graph.node(graph.add_node(name, c, std::move(inputs))).outputs[0];
  };
  const auto leaf = [&](const char* name, const Tensor& t) {
    return graph.add_leaf(Graph::Kind::constant, name, t);
  };
  const auto dequantize = [&](const char* name, int codes, int scale, int zero, std::int64_t axis) {
    return call(name, {&kDequantizeLinear, Attributes::of(DequantizeAttributes{.axis = axis})},
                {codes, scale, zero});
  };
  const QuantizeAttributes to_i8{.dtype = DType::i8, .axis = -1, .qmin = -128, .qmax = 127};
  const std::int64_t inner = shape[shape.rank() - 1], columns = 5;
  const int x = graph.add_input("x", shape, DType::f32);
  const Tensor x_scale = Tensor::scalar(0.03F);
  const Tensor scales = g.uniform({columns}, 0.01F, 0.02F);
  const int s = leaf("s", x_scale), z = leaf("z", Tensor::scalar(-3, DType::i32));
  const int q = call("q", {&kQuantizeLinear, Attributes::of(to_i8)}, {x, s, z});
  std::vector<std::int32_t> codes, biases;
  for (std::int64_t i = 0; i < inner * columns; ++i)
    codes.push_back(static_cast<std::int32_t>(g.below(255)) - 127);
  for (std::int64_t i = 0; i < columns; ++i)
    biases.push_back(static_cast<std::int32_t>(g.below(2000)) - 1000);
  const int zeros = leaf("zeros", Tensor::zeros({columns}, DType::i32));
  const int w =
      dequantize("w_dequant", leaf("w", Tensor::from(codes, {inner, columns}).to(DType::i8)),
                 leaf("w_scale", scales), zeros, 1);
  const int b = dequantize("b_dequant", leaf("b", Tensor::from(biases, {columns})),
                           leaf("b_scale", scales * 0.03F), zeros, 0);
  const int product = call("product", {&kMatmul, {}}, {dequantize("d", q, s, z, -1), w});
  const int sum = call("fc", {&kAdd, {}}, {product, b});
  const int s2 = leaf("s2", Tensor::scalar(0.1F)), z2 = leaf("z2", Tensor::scalar(4, DType::i32));
  const int y = call("y", {&kQuantizeLinear, Attributes::of(to_i8)}, {sum, s2, z2});
  graph.set_outputs({codes_leave ? y : dequantize("y_dequant", y, s2, z2, -1)});
  graph.compact();
  return graph;
}

TEST(ToFakeQuantize, ProductAndSumAreOneTrainableLayer) {
  for (const Shape& shape : {Shape{3, 8}, Shape{2, 3, 8}}) {
    Generator g(10);
    Graph graph = product_and_sum(g, shape, false);
    FakeQuantized fake = to_fake_quantize(graph);
    EXPECT_TRUE(fake.report.left.empty()) << fake.report.to_string();
    EXPECT_EQ(fake.graph.parameters().size(), 2U);
    const int layer = fake.graph.find_node("fc");
    ASSERT_GE(layer, 0);
    EXPECT_EQ(fake.graph.node(layer).call.op, &kLinear);
    expect_law(graph, {g.normal(shape)}, "product and sum");
    // The plan runs it on integers, its bias among them.
    const Plan plan = compile(graph.copy());
    test::expect_no_silent_float(plan, {"fc"});
    // So it does when it was trained, written and read.
    const test::TemporaryFolder folder;
    const std::string file = folder.path("trained.onnx");
    onnx::save(convert(fake.graph).graph, file);
    test::expect_no_silent_float(compile(onnx::load(file)), {"fc"});
  }
}

TEST(ToFakeQuantize, CodesThatLeaveBecomeNumbers) {
  Generator g(11);
  Graph graph = product_and_sum(g, {3, 8}, true);
  const Tensor x = g.normal({3, 8});
  FakeQuantized fake = to_fake_quantize(graph);
  EXPECT_EQ(fake.graph.output_names(), graph.output_names());
  Graph back = convert(fake.graph).graph;
  const Tensor codes = infer_with(graph, x);
  ASSERT_EQ(codes.dtype(), DType::i8);
  const Tensor numbers =
      dequantize_linear(codes, Tensor::scalar(0.1F), Tensor::scalar(4, DType::i32));
  expect_same_bits(infer_with(back, x), numbers, "converted");
  const FakeQuantized kept = to_fake_quantize(graph, {.real_outputs = false});
  ASSERT_EQ(kept.report.left.size(), 1U);
  EXPECT_EQ(kept.report.left[0].text, "its codes leave the graph");
}

/// Names of the layers with constant codes as weights; of those only that plans have integer
/// kernels for: i8 without zero points.
std::vector<std::string> weighted_layers(const Graph& graph, bool with_kernel) {
  std::vector<std::string> names;
  for (const auto& [name, codes] : codes_of_layers(graph)) {
    const Graph::Node& layer = graph.node(graph.find_node(name));
    const auto input = static_cast<std::size_t>(layer.call.op->quantization.weight_input);
    const Graph::Node& weight = graph.node(graph.value(layer.inputs[input]).producer);
    const auto zeros =
        graph.value(weight.inputs[2]).tensor.to(DType::i32).to_vector<std::int32_t>();
    if (!with_kernel || (graph.value(weight.inputs[0]).dtype == DType::i8 &&
                         std::ranges::all_of(zeros, [](std::int32_t z) { return z == 0; })))
      names.push_back(name);
  }
  return names;
}

void expect_trains(Graph graph, const Tensors& inputs, bool all) {
  ContextScope scope;
  scope->training = true;
  scope->threads = 1;
  Generator g(12);
  scope->generator = &g;
  optim::Adam optimizer(graph.parameters(), {.lr = 3e-3});
  Tensor target;
  float first = 0, last = 0;
  for (int step = 0; step < 30; ++step) {
    const Tensor y = graph.run(inputs)[0];
    if (!target.defined()) target = (y + g.normal(y.shape()) * 0.1F).detach();
    const Tensor loss = mse(y, target);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    last = static_cast<float>(loss.item());
    if (step == 0) first = last;
  }
  EXPECT_LT(last, 0.9F * first);
  // What was trained becomes integers, layer by layer.
  if (!all) return;
  const Report report = convert(graph).report;
  for (const auto& row : report.nodes)
    if (row.op == "conv2d" || row.op == "linear" || row.op == "matmul") {
      EXPECT_TRUE(row.quantized) << row.name << ": " << row.note;
    }
}

/// Results of the interpreter and the plan beside those of a peer: classes, and errors of a few
/// steps (a code next to a tie turns, and others behind it).
void expect_like_peer(const Graph& integers, const Tensor& x, const Tensor& expected) {
  Graph graph = integers.copy();
  const Tensor interpreted = infer_with(graph, x);
  const Tensor planned = compile(integers.copy()).run(x);
  const std::vector<float> y = expected.to(DType::f32).to_vector<float>();
  const auto [least, most] = std::ranges::minmax(y);
  for (const Tensor& result : {interpreted, planned}) {
    ASSERT_EQ(result.shape(), expected.shape());
    ASSERT_EQ(result.dtype(), expected.dtype());
    const std::vector<float> z = result.to(DType::f32).to_vector<float>();
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(z[i], y[i], 0.05F * (most - least));
  }
}

// check_quantized_files.py gives files of ONNX Runtime's quantizer, PyTorch and others, with inputs
// and ONNX Runtime's results beside them.
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
      const bool codes = !is_floating(integers.value(v).dtype);
      inputs.push_back(
          (g.uniform(shape, 0, 1) * (codes ? 100.0F : 1.0F)).to(integers.value(v).dtype));
    }
    const FakeQuantized fake = to_fake_quantize(integers);
    const auto trainable = std::ranges::count_if(
        fake.report.done, [](const auto& l) { return l.text.starts_with("weight trainable"); });
    const Graph recognized = recognize(integers.copy()).graph;
    EXPECT_GE(trainable, std::ssize(weighted_layers(recognized, false))) << fake.report.to_string();
    EXPECT_GT(trainable, 0);
    for (const PassReport::Line& line : fake.report.left)
      EXPECT_EQ(line.text, "its input has no codes: its weight stays integers") << line.node;
    expect_law(integers, inputs, file);
    expect_trains(fake.graph.copy(), inputs, fake.report.left.empty());
    if (std::filesystem::exists(file + ".x.npy"))
      expect_like_peer(integers, io::load_npy(file + ".x.npy"), io::load_npy(file + ".y.npy"));
    // No layer computes in float in silence.
    test::expect_no_silent_float(compile(integers.copy()), weighted_layers(recognized, true));
  }
}

}  // namespace
}  // namespace pare::quantize
