// Dynamically quantized recurrent layers in files: ONNX's LSTM and ONNX Runtime's, a denoiser of
// speech.
#include <filesystem>

#include "golden_noise.h"
#include "io/onnx_file.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/data/audio.h"
#include "pare/io/graph_file.h"
#include "pare/io/onnx.h"
#include "pare/nn/init.h"
#include "pare/nn/recurrent.h"
#include "quantize/dynamic_recurrent.h"
#include "quantize/golden_dynamic_recurrent.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

namespace golden = golden_dynamic_recurrent;
using test::noise;

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
    EXPECT_EQ(largest_difference(plan.run(Tensors{x})[0], expected[0]), 0) << name;
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
  EXPECT_EQ(largest_difference(plan.run(Tensors{x})[0], int8.run({x})[0]), 0);
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

/// Frames of 512 samples, 128 apart, as DTLN sees them; or their magnitudes at 257 frequencies.
Tensors frames_of(const Tensor& samples, std::int64_t count, bool magnitudes) {
  constexpr std::int64_t kFrame = 512, kHop = 128;
  std::vector<float> cosine;
  for (std::int64_t i = 0; i < kFrame; ++i)
    cosine.push_back(
        static_cast<float>(std::cos(2 * 3.14159265358979 * static_cast<double>(i) / kFrame)));
  Tensors frames;
  for (std::int64_t f = 0; f < count; ++f) {
    const float* from = samples.data<float>() + 16000 + f * kHop;
    std::vector<float> values(from, from + kFrame);
    for (std::int64_t k = 0; magnitudes && k <= kFrame / 2; ++k) {
      float re = 0;
      float im = 0;
      for (std::int64_t n = 0; n < kFrame; ++n) {
        re += from[n] * cosine[static_cast<std::size_t>(k * n % kFrame)];
        im += from[n] * cosine[static_cast<std::size_t>((k * n + 3 * kFrame / 4) % kFrame)];
      }
      values[static_cast<std::size_t>(k)] = std::hypot(re, im);
    }
    if (magnitudes) values.resize(kFrame / 2 + 1);
    const auto size = static_cast<std::int64_t>(values.size());
    frames.push_back(Tensor::from(values, {1, 1, size}));
  }
  return frames;
}

std::int64_t layers_of(const Dynamic& result, const std::string& op) {
  return std::ranges::count(result.report.layers, op, &DynamicReport::Layer::op);
}

// In the second net the steps of the LSTMs are written out.
TEST_F(DynamicRecurrent, StepsThatAreWrittenOutAreLayers) {
  const char* given = std::getenv("PARE_DATA_DIR");
  const std::filesystem::path data = given ? given : PARE_DATA_DIR;
  if (!std::filesystem::exists(data / "models")) GTEST_SKIP() << "needs PARE_DATA_DIR with models/";
  const Graph graph = onnx::load(data / "models" / "dtln_2.onnx");
  EXPECT_EQ(layers_of(dynamic(graph), "lstm"), 2);
  EXPECT_EQ(layers_of(dynamic(graph, {.ops = {"lstm"}}), "matmul"), 0);
  // What is named stays a node of its own.
  const Dynamic apart = dynamic(graph, {.exclude = {"model_2/lstm_6/MatMul_1_add"}});
  EXPECT_EQ(layers_of(apart, "lstm"), 0);
  EXPECT_EQ(layers_of(apart, "matmul"), 4);
}

// Each net goes on from its own state.
TEST_F(DynamicRecurrent, SpeechDenoiserStaysClose) {
  const char* given = std::getenv("PARE_DATA_DIR");
  const std::filesystem::path data = given ? given : PARE_DATA_DIR;
  if (!std::filesystem::exists(data / "speech")) GTEST_SKIP() << "needs PARE_DATA_DIR with speech/";
  const Tensor samples = data::read_wav(data / "speech" / "speech_16k_60s.wav").samples;
  constexpr std::int64_t kFrames = 250;
  for (const bool first : {true, false}) {
    const Graph graph = onnx::load(data / "models" / (first ? "dtln_1.onnx" : "dtln_2.onnx"));
    const Plan in_float = compile(graph, {.threads = 1});
    const Plan plan = compile(quantized(graph), {.threads = 1});
    Tensor state = Tensor::zeros({1, 2, 128, 2});
    Tensor own_state = state;
    std::vector<double> wanted, found;
    for (const Tensor& x : frames_of(samples, kFrames, first)) {
      const Tensors a = in_float.run(Tensors{x, state});
      const Tensors b = plan.run(Tensors{x, own_state});
      state = a[1];
      own_state = b[1];
      for (const float v : a[0].to_vector<float>()) wanted.push_back(static_cast<double>(v));
      for (const float v : b[0].to_vector<float>()) found.push_back(static_cast<double>(v));
    }
    RecordProperty(first ? "dtln_1" : "dtln_2", std::to_string(sqnr(wanted, found)));
    EXPECT_GT(sqnr(wanted, found), 25) << (first ? "dtln_1" : "dtln_2");
  }
}

}  // namespace
}  // namespace pare::quantize
