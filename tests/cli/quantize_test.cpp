// pare quantize on a small classifier: the same as the library's calls, and what it refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cli/classifier_test.h"

namespace pare::test {
namespace {

class QuantizeCommandTest : public ClassifierTest {
 protected:
  const std::string out_ = folder_.path("q.pare");
};

Tensor run_graph(const std::string& path, const Tensor& x) {
  ContextScope scope;
  scope->grad = false;
  return io::load_graph(path)(x);
}

TEST_F(QuantizeCommandTest, CalibratesAndConverts) {
  const std::string x = save("x.npy", pictures(16));
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--batch", "5"});
  EXPECT_TRUE(json["float"].empty()) << json;
  EXPECT_EQ(json["quantized"], json["layers"].size());
  EXPECT_EQ(json["bytes_before"], folder_.read("m.pare").size());
  EXPECT_EQ(json["bytes_after"], folder_.read("q.pare").size());
  EXPECT_EQ(json["isa"], to_string(isa_cap()));
  for (const auto& range : json["ranges"]) EXPECT_LE(range["min"], range["seen_min"]) << range;
  // What the library does with all samples at once: histograms do not depend on batches.
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  const Tensor expected = integer_classifier()(test);
  EXPECT_EQ(run_graph(out_, test).to_vector<float>(), expected.to_vector<float>());
}

TEST_F(QuantizeCommandTest, TakesConfigObserverAndExceptions) {
  const std::string x = save("x.npy", pictures(16));
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--config",
                               "portable", "--observer", "minmax", "--exclude", "f*"});
  EXPECT_EQ(json["isa"], "portable");
  ASSERT_FALSE(json["float"].empty());
  EXPECT_EQ(json["float"].back()["name"], "fc");
  EXPECT_EQ(json["float"].back()["op"], "linear");
  EXPECT_EQ(json["float"].back()["reason"], "excluded by name ('f*')");
  const auto full = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--isa",
                               "avx512_vnni", "--observer", "moving-average"});
  EXPECT_EQ(full["isa"], "avx512_vnni");
  for (const char* observer : {"percentile", "entropy", "mse", "mean-minmax"})
    EXPECT_EQ(pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--observer",
                         observer})["float"],
              full["float"])
        << observer;
}

TEST_F(QuantizeCommandTest, TakesFewerBits) {
  const std::string x = save("x.npy", pictures(16));
  pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--bits", "4", "--activation-bits",
             "5"});
  const Graph graph = io::load_graph(out_);
  int weights = 0, activations = 0;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.call.op == &kQuantizeLinear) {
      EXPECT_EQ(node.call.attributes.as<QuantizeAttributes>().qmax, 31) << node.name;
      ++activations;
    }
    if (node.call.op != &kDequantizeLinear || graph.value(node.inputs[0]).dtype != DType::i8)
      continue;
    const Tensor codes = graph.value(node.inputs[0]).tensor.to(DType::f32);
    EXPECT_EQ(max(abs(codes)).item(), 7) << node.name;
    ++weights;
  }
  EXPECT_GE(activations, 2);
  EXPECT_GE(weights, 2);
}

// Codes of 4 bits are packed where the opset that is asked for has them.
TEST_F(QuantizeCommandTest, PacksForTheOpset) {
  const std::string x = save("x.npy", pictures(16));
  const std::string plain = folder_.path("plain.onnx"), packed = folder_.path("packed.onnx");
  const std::string again = folder_.path("again.onnx"), bytes = folder_.path("bytes.onnx");
  const auto quantize = [&](const std::string& to, const std::vector<std::string>& more) {
    std::vector<std::string> words{"quantize", model_, "-o", to};
    words.insert(words.end(), more.begin(), more.end());
    return pare_json(words);
  };
  const double before =
      quantize(plain, {"--calibration", x, "--bits", "4"})["bytes_after"].get<double>();
  const double after =
      quantize(packed, {"--calibration", x, "--bits", "4", "--opset", "21"})["bytes_after"]
          .get<double>();
  constexpr double kCodes = 7 * 64 + 4 * 9;
  EXPECT_NEAR(before - after, kCodes / 2, 150);
  pare_json({"convert", plain, again, "--opset", "21"});
  EXPECT_LE(folder_.read("again.onnx").size(), folder_.read("packed.onnx").size());
  pare_json({"convert", packed, bytes});
  EXPECT_NEAR(static_cast<double>(folder_.read("bytes.onnx").size()),
              static_cast<double>(folder_.read("again.onnx").size()) + kCodes / 2, 150);
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  ContextScope scope;
  scope->grad = false;
  const auto expected = onnx::load(plain)(test).to_vector<float>();
  for (const std::string& file : {packed, again, bytes})
    EXPECT_EQ(onnx::load(file)(test).to_vector<float>(), expected) << file;
  EXPECT_FALSE(pare_json({"inspect", packed}).empty());
  const std::string labels = save("y.npy", pare::test::labels(16, 7));
  const auto trained = pare_json({"finetune", packed, "-o", folder_.path("trained.onnx"), "--input",
                                  x, "--labels", labels, "--opset", "21", "--lr", "1e-6"});
  EXPECT_TRUE(trained["untrained"].empty()) << trained;
  EXPECT_LT(folder_.read("trained.onnx").size(), folder_.read("plain.onnx").size() - 100);
  quantize(packed, {"--weight-only", "--group", "0", "--opset", "25"});
  quantize(packed, {"--dynamic", "--opset", "21"});
  for (const char* way : {"--weight-only", "--dynamic", "--equalize"})
    expect_failure(2, {"quantize", model_, "-o", out_, way, "--opset", "21"}, {"--opset", ".onnx"});
  expect_failure(
      2, {"finetune", model_, "-o", out_, "--input", x, "--labels", labels, "--opset", "21"},
      {"--opset", ".onnx"});
}

TEST_F(QuantizeCommandTest, FitsWeightsAndBiases) {
  const std::string x = save("x.npy", pictures(16));
  for (const bool weights : {true, false}) {
    const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x,
                                 weights ? "--adaround" : "--bias-correction"});
    ASSERT_FALSE(json["rounding"].empty());
    for (const auto& layer : json["rounding"]) {
      EXPECT_EQ(layer["fitted"], true) << layer;
      EXPECT_EQ(layer["largest_bias_shift"] == 0.0, weights) << layer;
      EXPECT_EQ(layer["changed"] == 0, !weights) << layer;
      EXPECT_GE(layer["sqnr_db_after"], layer["sqnr_db_before"]) << layer;
    }
    EXPECT_EQ(json["rounding"].back()["name"], "fc");
  }
  EXPECT_FALSE(
      pare_json({"quantize", model_, "-o", out_, "--calibration", x}).contains("rounding"));
  const auto relaxed = pare_json(
      {"quantize", model_, "-o", out_, "--calibration", x, "--adaround", "--adaround-steps", "20"});
  for (const auto& layer : relaxed["rounding"]) EXPECT_LE(layer["relaxed"], 1) << layer;
  expect_failure(2, {"quantize", model_, "-o", out_, "--calibration", x, "--adaround-steps", "20"},
                 {"--adaround"});
}

TEST_F(QuantizeCommandTest, WeightsAlone) {
  const auto json = pare_json({"quantize", model_, "-o", out_, "--weight-only", "--group", "4",
                               "--bits", "3", "--layer", "f*"});
  EXPECT_EQ(json["quantized"], 1) << json;
  EXPECT_EQ(json["bits"], 3);
  EXPECT_EQ(json["group"], 4);
  EXPECT_EQ(json["layers"][0]["name"], "fc");
  EXPECT_TRUE(json["layers"][0]["output_sqnr_db"].is_null());
  EXPECT_EQ(json["float"][0]["name"], "conv");
  EXPECT_EQ(json["float"][0]["op"], "conv2d");
  EXPECT_EQ(json["float"][0]["reason"], "not chosen by name");
  EXPECT_EQ(json["bytes_after"], folder_.read("q.pare").size());
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  const auto expected =
      quantize::weight_only(classifier(), {.bits = 3, .group_size = 4, .names = {"f*"}});
  Graph graph = expected.graph.copy();
  ContextScope scope;
  scope->grad = false;
  EXPECT_EQ(run_graph(out_, test).to_vector<float>(), graph(test).to_vector<float>());
  const std::string x = save("x.npy", pictures(16));
  const auto gptq =
      pare_json({"quantize", model_, "-o", out_, "--weight-only", "--gptq", "--calibration", x});
  for (const auto& layer : gptq["layers"]) {
    EXPECT_EQ(layer["gptq"], true) << layer;
    EXPECT_GE(layer["output_sqnr_db"], layer["nearest_sqnr_db"]) << layer;
  }
}

TEST_F(QuantizeCommandTest, AsItRuns) {
  for (const bool one_range : {false, true}) {
    std::vector<std::string> words{"quantize", model_, "-o", out_, "--dynamic"};
    if (one_range) words.emplace_back("--one-range");
    const auto json = pare_json(words);
    EXPECT_EQ(json["quantized"], 1) << json;
    EXPECT_EQ(json["layers"][0]["name"], "fc");
    EXPECT_EQ(json["layers"][0]["bits"], 8);
    EXPECT_EQ(json["float"][0]["name"], "conv");
    EXPECT_EQ(json["float"][0]["op"], "conv2d");
    EXPECT_EQ(json["bytes_after"], folder_.read("q.pare").size());
    const Tensor test = Generator(9).normal({6, 1, 8, 8});
    const auto expected = quantize::dynamic(classifier(), {.per_row = !one_range});
    Graph graph = expected.graph.copy();
    ContextScope scope;
    scope->grad = false;
    EXPECT_EQ(run_graph(out_, test).to_vector<float>(), graph(test).to_vector<float>());
  }
}

TEST_F(QuantizeCommandTest, WeightsInSixteenBitsAndMatMulNBits) {
  const auto halves =
      pare_json({"quantize", model_, "-o", out_, "--weight-only", "--weights", "bf16"});
  EXPECT_EQ(halves["weights"], "bf16");
  EXPECT_EQ(halves["layers"][0]["bits"], 16);
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  Graph graph =
      quantize::weight_only(classifier(), {.format = quantize::WeightFormat::bf16}).graph.copy();
  ContextScope scope;
  scope->grad = false;
  EXPECT_EQ(run_graph(out_, test).to_vector<float>(), graph(test).to_vector<float>());
  const std::string file = folder_.path("q.onnx");
  pare_json({"quantize", model_, "-o", file, "--weight-only", "--matmul-nbits"});
  EXPECT_NE(folder_.read("q.onnx").find("MatMulNBits"), std::string::npos);
  expect_failure(2, {"quantize", model_, "-o", out_, "--weight-only", "--matmul-nbits"},
                 {"--matmul-nbits", ".onnx"});
  expect_failure(2,
                 {"quantize", model_, "-o", file, "--weight-only", "--weights", "f16", "--gptq",
                  "--calibration", "x.npy"},
                 {"--gptq", "--weights codes"});
}

TEST_F(QuantizeCommandTest, EqualizesFirst) {
  const std::string x = save("x.npy", pictures(16));
  const auto json =
      pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--equalize"})["equalization"];
  ASSERT_EQ(json["pairs"].size(), 1U) << json;
  EXPECT_EQ(json["pairs"][0]["first"], "conv");
  EXPECT_EQ(json["pairs"][0]["second"], "fc");
  EXPECT_EQ(json["pairs"][0]["channels"], 4);
  EXPECT_GT(json["pairs"][0]["ratio_before"], 1.1);
  EXPECT_LT(json["pairs"][0]["ratio_after"], 1.0001);
  EXPECT_EQ(json["left"][0]["name"], "fc");
  EXPECT_EQ(json["converged"], true);
  // The same as the library's calls.
  Graph graph = classifier();
  quantize::equalize(graph);
  Graph prepared = quantize::prepare(graph);
  prepared(pictures(16));
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  EXPECT_EQ(run_graph(out_, test).to_vector<float>(),
            quantize::convert(prepared).graph(test).to_vector<float>());
  EXPECT_FALSE(
      pare_json({"quantize", model_, "-o", out_, "--calibration", x}).contains("equalization"));
  expect_failure(2, {"quantize", model_, "-o", out_, "--calibration", x, "--relu6-as-relu"},
                 {"--equalize"});
}

TEST_F(QuantizeCommandTest, AbsorbsBiasesOnTheCalibrationData) {
  const std::string x = save("x.npy", pictures(16));
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--equalize",
                               "--absorb-biases", "--batch", "5"});
  EXPECT_EQ(json["equalization"]["pairs"].size(), 1U);
  ASSERT_EQ(json["absorption"]["pairs"].size(), 1U) << json;
  EXPECT_EQ(json["absorption"]["pairs"][0]["first"], "conv");
  EXPECT_EQ(json["absorption"]["pairs"][0]["second"], "fc");
  EXPECT_EQ(json["absorption"]["left"][0]["name"], "fc");
  // The same as the library's calls.
  Graph graph = classifier();
  quantize::equalize(graph);
  const auto report = quantize::absorb_biases(
      graph, {.data = quantize::Batches(std::vector<Tensors>{{pictures(16)}})});
  EXPECT_EQ(json["absorption"]["pairs"][0]["channels"], report.pairs[0].channels);
  EXPECT_FALSE(
      pare_json({"quantize", model_, "-o", out_, "--calibration", x}).contains("absorption"));
}

TEST_F(QuantizeCommandTest, SmoothsOnTheCalibrationData) {
  const std::string x = save("x.npy", pictures(16));
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--smooth",
                               "0.6", "--batch", "5"})["smoothing"];
  ASSERT_EQ(json["places"].size(), 1U) << json;
  EXPECT_EQ(json["places"][0]["producer"], "conv");
  EXPECT_EQ(json["places"][0]["layers"][0], "fc");
  EXPECT_EQ(json["places"][0]["alpha"], 0.6);
  EXPECT_EQ(json["left"][0]["name"], "conv");
  // The same as the library's calls.
  Graph graph = classifier();
  quantize::smooth(graph, std::vector<Tensors>{{pictures(16)}}, {.alpha = 0.6});
  Graph prepared = quantize::prepare(graph);
  prepared(pictures(16));
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  EXPECT_EQ(run_graph(out_, test).to_vector<float>(),
            quantize::convert(prepared).graph(test).to_vector<float>());
  expect_failure(2, {"quantize", model_, "-o", out_, "--calibration", x, "--smooth", "1.5"},
                 {"--smooth"});
  expect_failure(2, {"quantize", model_, "-o", out_, "--calibration", x, "--smooth-steps", "4"},
                 {"--smooth"});
}

TEST_F(QuantizeCommandTest, CorrectsBiasesFromBatchNorms) {
  const std::string x = save("x.npy", pictures(16));
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x,
                               "--analytic-bias-correction", "--absorb-biases", "--equalize"});
  ASSERT_EQ(json["bias_correction"].size(), 2U) << json;
  EXPECT_EQ(json["bias_correction"][0]["corrected"], false);
  EXPECT_EQ(json["bias_correction"][0]["note"],
            "the mean of 'input' is not known: no batch norm before it");
  EXPECT_EQ(json["bias_correction"][1]["name"], "fc");
}

// All codes of a constant's range are one: a model that is good for nothing else, but no error.
TEST_F(QuantizeCommandTest, ConstantCalibrationDataGivesFiniteScales) {
  for (const float value : {0.0F, 0.7F}) {
    const std::string x = save("same.npy", Tensor::full({4, 1, 8, 8}, value));
    const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x});
    for (const auto& range : json["ranges"]) {
      EXPECT_GT(range["scale"], 0) << range;
      EXPECT_LE(range["min"], range["seen_min"]) << range;
    }
    const auto same = run_graph(out_, Tensor::full({2, 1, 8, 8}, value)).to_vector<float>();
    for (const float y : same) EXPECT_TRUE(std::isfinite(y)) << value;
  }
}

TEST_F(QuantizeCommandTest, FailuresWriteNothing) {
  const std::string x = save("x.npy", pictures(4));
  const auto expect = [&](int code, std::vector<std::string> more,
                          std::initializer_list<std::string> words) {
    std::vector<std::string> arguments{"quantize", model_, "-o", out_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_failure(code, arguments, words);
    EXPECT_FALSE(std::filesystem::exists(out_));
  };
  expect_failure(1, {"quantize", model_, "-o", out_ + ".no/m.pare", "--calibration", "none.npy"},
                 {"expected a folder to write it in, got none of the name"});
  Tensor bad = pictures(4).clone();
  bad.mutable_data<float>()[70] = std::numeric_limits<float>::quiet_NaN();
  expect(1, {"--calibration", save("nan.npy", bad)}, {"input_observer", "got nan at element 70"});
  bad.mutable_data<float>()[70] = std::numeric_limits<float>::infinity();
  expect(1, {"--calibration", save("inf.npy", bad)}, {"input_observer", "got inf at element 70"});
  expect(1, {"--calibration", save("wide.npy", Tensor::zeros({2, 1, 8, 9}))}, {"[2, 1, 8, 9]"});
  expect(1, {"--calibration", save("none.npy", Tensor::zeros({0, 1, 8, 8}))}, {"expected"});
  expect(1, {"--calibration", x, "--exclude", "convv"}, {"'convv'", "'conv'"});
  expect(1, {"--calibration", folder_.write("cut.npy", folder_.read("x.npy").substr(0, 300))},
         {"cut.npy"});
  expect(2, {}, {"--calibration"});
  expect(2, {"--calibration", x, "--observer", "median"}, {"histogram"});
  expect(2, {"--calibration", x, "--config", "portable", "--isa", "avx2"}, {"--isa"});
  expect(2, {"--weight-only", "--gptq"}, {"--calibration"});
  expect(2, {"--weight-only", "--bits", "9"}, {"--bits"});
  expect(2, {"--dynamic", "--bits", "4"}, {"--bits"});
  expect(2, {"--calibration", x, "--min-sqnr", "20", "--bits", "4"}, {"--weight-bits"});
  expect(2, {"--weight-only", "--calibration", x, "--adaround"}, {"--adaround"});
  expect(2, {"--weight-only", "--calibration", x, "--smooth", "0.5"}, {"--smooth"});
  expect(2, {"--dynamic", "--smooth", "0.5"}, {"--smooth"});
  expect(1, {"--weight-only", "--layer", "fcc"}, {"'fcc'", "'fc'"});
  expect(1, {"--dynamic", "--layer", "fcc"}, {"'fcc'", "'fc'"});
  expect(1, {"--dynamic", "--exclude", "fc"}, {"excluded by name"});
  expect(2, {"--dynamic", "--calibration", x}, {"--calibration"});
  expect(2, {"--dynamic", "--weight-only"}, {"--weight-only"});
  expect(2, {"--calibration", x, "--one-range"}, {"--dynamic"});
  expect(2, {"--calibration", x, "--layer", "fc"}, {"--dynamic"});
  // Twice.
  pare_json({"quantize", model_, "-o", folder_.path("once.pare"), "--calibration", x});
  expect_failure(1, {"quantize", folder_.path("once.pare"), "-o", out_, "--calibration", x},
                 {"quantized already"});
  EXPECT_FALSE(std::filesystem::exists(out_));
}

}  // namespace
}  // namespace pare::test
