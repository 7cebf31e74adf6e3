// Dynamically quantized recurrent layers: plans and the interpreter, PyTorch, ONNX, files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>

#include "golden_noise.h"
#include "io/onnx_file.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/io/graph_file.h"
#include "pare/io/onnx.h"
#include "pare/nn/init.h"
#include "pare/nn/recurrent.h"
#include "pare/quantize/dynamic.h"
#include "pare/runtime/compile.h"
#include "quantize/golden_dynamic_recurrent.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

namespace golden = golden_dynamic_recurrent;
using test::noise;

class DynamicRecurrent : public testing::Test {
 protected:
  void SetUp() override {
    scope_->threads = 1;
    scope_->grad = scope_->observing = false;
  }

 private:
  ContextScope scope_;
};

Graph quantized(const Graph& graph) { return dynamic(graph, {.weight_qmax = 127}).graph; }

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>();
  const std::vector<float> y = b.to_vector<float>();
  double most = x.size() == y.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    most = std::max(most, std::fabs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  return most;
}

/// Signal to noise of b against a, in dB.
double sqnr(std::span<const double> a, std::span<const double> b) {
  double signal = 0;
  double noise = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    signal += a[i] * a[i];
    noise += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return 10 * std::log10(signal / noise);
}

template <class Net> Graph graph_of(Net& net, const Tensor& x) { return trace(net, x).copy(); }

/// Every step of the plan of a net that is nothing but recurrent layers multiplies integers.
void expect_integers(const Plan& plan) {
  EXPECT_TRUE(plan.report().left.empty()) << plan.report().to_string();
  int layers = 0;
  for (const PlanStep& step : plan.steps()) {
    if (step.macs == 0) continue;
    ++layers;
    EXPECT_FALSE(step.slow);
    EXPECT_NE(step.kernel, "gemm");
    EXPECT_NE(step.kernel, "reference");
  }
  EXPECT_GT(layers, 0);
}

/// The plan's results are the interpreter's; a sum that is rounded otherwise may turn a code of h.
template <class Net> void expect_plan(Net&& net, const Shape& shape) {
  Generator g(7);
  initialize(net, g);
  const Tensor x = g.normal(shape);
  Graph int8 = quantized(graph_of(net, x));
  const Plan plan = compile(int8, {.threads = 1});
  expect_integers(plan);
  const Tensors expected = int8.run({x});
  const Tensors found = plan.run(Tensors{x});
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t o = 0; o < found.size(); ++o)
    EXPECT_LE(largest_difference(found[o], expected[o]), 2e-3) << o;
}

TEST_F(DynamicRecurrent, PlansMultiplyIntegers) {
  expect_plan(nn::LSTM({.input_size = 9, .hidden_size = 17, .num_layers = 2}), {5, 3, 9});
  expect_plan(nn::LSTM({.input_size = 9, .hidden_size = 6, .bidirectional = true, .proj_size = 5}),
              {4, 2, 9});
  expect_plan(nn::GRU({.input_size = 70, .hidden_size = 33, .batch_first = true}), {2, 6, 70});
  expect_plan(nn::GRU({.input_size = 3, .hidden_size = 4, .bias = false, .bidirectional = true}),
              {7, 1, 3});
  expect_plan(nn::RNN({{.input_size = 5, .hidden_size = 8}}), {6, 2, 5});
}

// A product of the plan is exact: what one step makes of codes that hold the numbers exactly is
// what float arithmetic makes of them.
TEST_F(DynamicRecurrent, SumsAreExact) {
  constexpr std::int64_t kIn = 300, kHidden = 40;
  Generator g(8);
  nn::LSTM net({.input_size = kIn, .hidden_size = kHidden, .bias = false});
  initialize(net, g);
  std::vector<float> whole;
  for (std::int64_t k = 0; k < kIn; ++k) whole.push_back(static_cast<float>(k % 256));
  whole[1] = 255;
  const Tensor x = Tensor::from(whole, {1, 1, kIn});
  for (const nn::NamedTensor& weight : net.named_parameters()) {
    Tensor w = weight.tensor;
    float* to = w.mutable_data<float>();
    // Rows whose largest weight is 127 / 4096 have whole codes.
    for (std::int64_t i = 0; i < w.elements(); ++i)
      to[i] = static_cast<float>(i * 37 % 255 - 127) / 4096;
  }
  Graph graph = graph_of(net, x);
  const Plan plan = compile(quantized(graph), {.threads = 1});
  expect_integers(plan);
  EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], graph.run({x})[0]), 1e-6);
}

TEST_F(DynamicRecurrent, FloatWeightsAreNamed) {
  Generator g(9);
  nn::GRU net({.input_size = 5, .hidden_size = 4});
  initialize(net, g);
  const Tensor x = g.normal({3, 2, 5});
  Graph graph = graph_of(net, x);
  Graph int8 = quantized(graph);
  const int layer = int8.find_node("gru");
  int8.edit_node(layer).inputs[2] = int8.add_leaf(Graph::Kind::constant, "w", g.normal({12, 4}));
  int8.compact();
  const Plan plan = compile(int8, {.threads = 1});
  ASSERT_EQ(plan.report().left.size(), 1U);
  EXPECT_EQ(plan.report().left[0].text, "multiplies rounded rows in f32: its weights are floats");
  EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], int8.run({x})[0]), 2e-3);
}

TEST_F(DynamicRecurrent, OtherBatchesShareThePackedWeights) {
  Generator g(10);
  nn::LSTM net({.input_size = 12, .hidden_size = 16, .batch_first = true});
  initialize(net, g);
  Graph int8 = quantized(graph_of(net, g.normal({2, 4, 12})));
  const Plan plan = compile(int8, {.threads = 1});
  const std::size_t packed = plan.memory().weights;
  EXPECT_GT(packed, 0U);
  for (const std::int64_t batch : {1, 5}) {
    const Tensor x = g.normal({batch, 4, 12});
    EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], int8.run({x})[0]), 2e-3);
  }
  EXPECT_EQ(plan.memory().weights, packed);
}

// ONNX has the layers with dequantized weights; that rows are rounded, the metadata say.
TEST_F(DynamicRecurrent, FilesAreSmallAndComeBack) {
  Generator g(11);
  nn::LSTM net({.input_size = 128, .hidden_size = 256});
  initialize(net, g);
  const Tensor x = g.normal({3, 1, 128});
  Graph graph = graph_of(net, x);
  Graph int8 = quantized(graph);
  const test::TemporaryFolder folder;
  onnx::save(graph, folder.path("float.onnx"));
  onnx::save(int8, folder.path("int8.onnx"));
  io::save_graph(int8, folder.path("int8.pare"));
  const auto in_float = static_cast<double>(std::filesystem::file_size(folder.path("float.onnx")));
  const Tensors expected = int8.run({x});
  for (const char* name : {"int8.onnx", "int8.pare"}) {
    EXPECT_LE(static_cast<double>(std::filesystem::file_size(folder.path(name))), 0.3 * in_float);
    Graph back = name == std::string("int8.onnx") ? onnx::load(folder.path(name))
                                                  : io::load_graph(folder.path(name));
    EXPECT_EQ(largest_difference(back.run({x})[0], expected[0]), 0) << name;
    const Plan plan = compile(back, {.threads = 1});
    expect_integers(plan);
    EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], expected[0]), 2e-3) << name;
  }
}

// Both directions in one weight of ONNX, in another order of the gates.
TEST_F(DynamicRecurrent, DirectionsComeBackAsCodes) {
  Generator g(12);
  nn::GRU net({.input_size = 6, .hidden_size = 5, .bidirectional = true});
  initialize(net, g);
  const Tensor x = g.normal({4, 2, 6});
  Graph int8 = quantized(graph_of(net, x));
  const test::TemporaryFolder folder;
  onnx::save(int8, folder.path("int8.onnx"));
  Graph back = onnx::load(folder.path("int8.onnx"));
  const Plan plan = compile(back, {.threads = 1});
  expect_integers(plan);
  EXPECT_LE(largest_difference(plan.run(Tensors{x})[0], int8.run({x})[0]), 2e-3);
}

template <class Net>
void expect_near_torch(Net&& net, std::span<const double> in_float,
                       std::span<const double> dynamic) {
  Generator g(1);
  initialize(net, g);
  std::uint32_t number = 1;
  for (nn::NamedTensor& parameter : net.named_parameters())
    parameter.tensor.copy_from(noise(number++, parameter.tensor.shape()));
  const Tensor unit = noise(0, {golden::kSteps, golden::kBatch, golden::kInput});
  const Tensor x = mul(unit, Tensor::scalar(4.0F));
  Graph graph = graph_of(net, x);
  const Plan plan = compile(quantized(graph), {.threads = 1});
  const std::vector<double> own = plan.run(Tensors{x})[0].to(DType::f64).to_vector<double>();
  ASSERT_EQ(own.size(), in_float.size());
  const double torch = sqnr(in_float, dynamic);
  // A scale per row of a weight and all 8 bits of activations lose less than PyTorch's one scale
  // and 7 bits.
  EXPECT_GT(sqnr(in_float, own), torch + 3) << torch;
  EXPECT_GT(sqnr(dynamic, own), torch - 3);
}

TEST_F(DynamicRecurrent, CloserToFloatThanPyTorch) {
  const nn::RecurrentOptions options{.input_size = golden::kInput,
                                     .hidden_size = golden::kHidden,
                                     .num_layers = 2,
                                     .bidirectional = true};
  expect_near_torch(nn::LSTM(options), golden::kLSTMFloat, golden::kLSTMDynamic);
  expect_near_torch(nn::GRU(options), golden::kGRUFloat, golden::kGRUDynamic);
}

/// The model that make_golden_dynamic_recurrent.py runs.
struct RuntimeModel {
  bool with_sign = true, by_columns = false, zero_points = false;

  test::Proto file() const {
    constexpr std::int64_t kIn = golden::kInput, kUnits = golden::kHidden;
    const std::vector<std::int64_t> scales =
        by_columns ? std::vector<std::int64_t>{2, 4 * kUnits} : std::vector<std::int64_t>{2};
    const int middle = with_sign ? 0 : 128;
    const Tensor zeros = Tensor::full(Shape(std::span(scales)), middle + (zero_points ? 5 : 0));
    test::OnnxGraph g;
    g.node(test::onnx_node("DynamicQuantizeLSTM",
                           {"x", "W", "R", "B", "", "", "", "", "Ws", "Wz", "Rs", "Rz"}, {"y"},
                           "layer", "com.microsoft")
               .message(5, test::Proto().text(1, "hidden_size").integer(3, kUnits).integer(20, 2))
               .message(
                   5, test::Proto().text(1, "direction").text(4, "bidirectional").integer(20, 3)));
    g.initializer(codes("W", spread(noise(1, {2, kIn, 4 * kUnits}))))
        .initializer(codes("R", spread(noise(2, {2, kUnits, 4 * kUnits}))))
        .initializer(floats("Ws", scaled(noise(3, Shape(std::span(scales))))))
        .initializer(floats("Rs", scaled(noise(4, Shape(std::span(scales))))))
        .initializer(codes("Wz", zeros))
        .initializer(codes("Rz", zeros))
        .initializer(floats("B", noise(5, {2, 8 * kUnits})));
    g.input(test::onnx_value("x", {std::to_string(golden::kSteps), "1", std::to_string(kIn)}));
    g.output(test::onnx_output("y"));
    return test::onnx_model(g.proto).message(8,
                                             test::Proto().text(1, "com.microsoft").integer(2, 1));
  }

 private:
  /// noise of 240 codes.
  Tensor spread(const Tensor& noise) const {
    Tensor out = noise.clone();
    float* to = out.mutable_data<float>();
    for (std::int64_t i = 0; i < out.elements(); ++i)
      to[i] = std::nearbyint((to[i] + 0.5F) * 240 + (with_sign ? -120.0F : 8.0F));
    return out;
  }
  static Tensor scaled(const Tensor& noise) {
    return add(mul(noise, Tensor::scalar(0.002F)), Tensor::scalar(0.004F));
  }
  static test::Proto floats(const char* name, const Tensor& t) {
    return test::onnx_floats(name, t.shape().to_vector(), t.to_vector<float>());
  }
  test::Proto codes(const char* name, const Tensor& t) const {
    test::Proto tensor;
    for (const std::int64_t d : t.shape().to_vector()) tensor.integer(1, d);
    std::string raw;
    for (const float v : t.to_vector<float>())
      raw.push_back(static_cast<char>(static_cast<unsigned char>(static_cast<int>(v))));
    return tensor.integer(2, with_sign ? 3 : 2).text(8, name).text(9, raw);
  }
};

/// ONNX Runtime has one scale for all rows of x; h has one row here.
void expect_near_runtime(const RuntimeModel& model, std::span<const double> expected) {
  Graph graph = onnx::parse(model.file().span());
  const Tensor x = mul(noise(0, {golden::kSteps, 1, golden::kInput}), Tensor::scalar(4.0F));
  const Plan plan = compile(graph, {.threads = 1});
  expect_integers(plan);
  for (const Tensor& y : {plan.run(Tensors{x})[0], graph.run({x})[0]}) {
    ASSERT_EQ(y.shape(), Shape({golden::kSteps, 2, 1, golden::kHidden}));
    EXPECT_GT(sqnr(expected, y.to(DType::f64).to_vector<double>()), 38);
  }
}

TEST_F(DynamicRecurrent, ReadsDynamicQuantizeLstm) {
  expect_near_runtime({}, golden::kOnnxSigned);
  expect_near_runtime({.by_columns = true}, golden::kOnnxByColumns);
  expect_near_runtime({.with_sign = false}, golden::kOnnxUnsigned);
  expect_near_runtime({.zero_points = true}, golden::kOnnxZeroPoints);
}

}  // namespace
}  // namespace pare::quantize
