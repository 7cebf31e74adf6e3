// inspect, run, bench, evaluate, compare and convert on small models.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/models.h"
#include "cli/run_command.h"

namespace pare::test {
namespace {

class ModelCommandsTest : public testing::Test {
 protected:
  std::string save(const std::string& name, const Graph& graph) const {
    io::save_graph(graph, folder_.path(name));
    return folder_.path(name);
  }
  std::string save(const std::string& name, const Tensor& tensor) const {
    io::save_npy(folder_.path(name), tensor);
    return folder_.path(name);
  }
  TemporaryFolder folder_;
};

TEST_F(ModelCommandsTest, InspectCountsParametersMacsAndBytes) {
  const auto json = pare_json({"inspect", save("m.pare", classifier())});
  // 36 + 4 of the convolution, 8 of the batch norm, 448 + 7 of the dense layer.
  EXPECT_EQ(json["parameters"], 503);
  EXPECT_EQ(json["nonzero"], 503 - 4);  // the batch norm's shift is 0 at first
  EXPECT_EQ(json["macs"], 64 * 36 + 448);
  EXPECT_EQ(json["bytes"], 4 * (503 + 8));
  EXPECT_EQ(json["quantized"], 0);
  const auto& conv = json["nodes"][0];
  EXPECT_EQ(conv["name"], "conv");
  EXPECT_EQ(conv["op"], "conv2d");
  EXPECT_EQ(conv["shape"], nlohmann::json({"batch", 4, 8, 8}));
  EXPECT_EQ(conv["parameters"], 40);
  EXPECT_EQ(conv["macs"], 64 * 36);
  EXPECT_EQ(conv["bytes"], 160);
  EXPECT_EQ(json["inputs"][0]["shape"], nlohmann::json({"batch", 1, 8, 8}));
  const auto four = pare_json({"inspect", folder_.path("m.pare"), "--shape", "4,1,8,8"});
  EXPECT_EQ(four["macs"], 4 * (64 * 36 + 448));
}

TEST_F(ModelCommandsTest, InspectTellsWhatIsQuantizedPrunedAndShared) {
  const auto integer = pare_json({"inspect", save("int8.pare", integer_classifier())});
  EXPECT_EQ(integer["quantized"], 2);
  EXPECT_EQ(integer["parameters"], 495);  // the batch norm is folded
  EXPECT_LT(integer["bytes"], 1000);
  EXPECT_EQ(integer["macs"], 64 * 36 + 448);

  Generator generator(1);
  Classifier net;
  nn::initialize(net, generator);
  prune::l1_unstructured(net.fc, "weight", 0.5);
  const auto pruned = pare_json({"inspect", save("p.pare", trace(net, pictures(2)).copy())});
  EXPECT_EQ(pruned["parameters"], 503);
  EXPECT_EQ(pruned["nonzero"], 503 - 4 - 224);

  Graph shared = two_inputs();
  const Tensor weight = Tensor::ones({3});
  const int w = shared.add_leaf(Graph::Kind::parameter, "w", weight);
  for (int i = 0; i < 2; ++i) {
    const int n = shared.add_node("scaled", {&kMul, kMul.defaults ? kMul.defaults() : Attributes()},
                                  {shared.outputs()[0], w});
    shared.set_outputs({shared.node(n).outputs[0], shared.outputs()[1]});
  }
  shared.compact();
  const auto twice = pare_json({"inspect", save("s.pare", shared)});
  EXPECT_EQ(twice["parameters"], 3);
  EXPECT_EQ(twice["shared"], 1);
  EXPECT_EQ(twice["bytes"], 12);
}

TEST_F(ModelCommandsTest, RunWritesWhatTheGraphGives) {
  Graph graph = classifier();
  const Tensor x = pictures(7);
  const Tensor expected = graph(x);
  const std::string model = save("m.pare", graph), input = save("x.npy", x);
  for (const std::string batch : {"1", "3", "7", "32"})
    for (const bool reference : {false, true}) {
      SCOPED_TRACE(batch);
      std::vector<std::string> arguments{
          "run", model, "--input", input, "--output", folder_.path("out"), "--batch", batch};
      if (reference) arguments.push_back("--reference");
      const auto json = pare_json(arguments);
      ASSERT_EQ(json["outputs"].size(), 1U);
      EXPECT_EQ(json["outputs"][0]["shape"], nlohmann::json({7, 7}));
      EXPECT_EQ(json["outputs"][0]["dtype"], "f32");
      const Tensor y = io::load_npy(json["outputs"][0]["file"].get<std::string>());
      ASSERT_EQ(y.shape(), expected.shape());
      const auto a = y.to_vector<float>(), b = expected.to_vector<float>();
      for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4);
    }
}

TEST_F(ModelCommandsTest, RunTakesSeveralInputsByNameAndFixedBatches) {
  Graph graph = two_inputs();
  const Tensor a = Generator(1).normal({5, 3}), b = Generator(2).normal({5, 3});
  const std::string in_a = "a=" + save("a.npy", a), in_b = "b=" + save("b.npy", b);
  const auto check = [&](const std::string& model) {
    const auto json = pare_json({"run", model, "--input", in_b, "--input", in_a, "--output",
                                 folder_.path("out"), "--batch", "2"});
    ASSERT_EQ(json["outputs"].size(), 2U);
    EXPECT_EQ(json["outputs"][0]["name"], "/head/sum");
    const Tensor sum = io::load_npy(folder_.path("out/_head_sum.npy"));
    const Tensor product = io::load_npy(folder_.path("out/product.npy"));
    EXPECT_EQ(sum.to_vector<float>(), (a + b).to_vector<float>());
    EXPECT_EQ(product.to_vector<float>(), (a * b).to_vector<float>());
  };
  check(save("m.pare", graph));
  // A model for two samples at a time: the fifth one runs twice.
  for (const int v : graph.inputs()) graph.edit_value(v).shape = {2, 3};
  graph.infer_shapes();
  check(save("fixed.pare", graph));
}

TEST_F(ModelCommandsTest, RunConvertsElementTypesThatFit) {
  const Tensor a = Tensor::from<std::int64_t>({1, 2, 3}, {1, 3});
  const std::string model = save("m.pare", two_inputs());
  const std::string b = "b=" + save("b.npy", Tensor::ones({1, 3}));
  for (const DType dtype : {DType::i64, DType::f64, DType::f16, DType::u8, DType::boolean}) {
    pare_json({"run", model, "--input", "a=" + save("a.npy", a.to(dtype)), "--input", b, "--output",
               folder_.path("out")});
    EXPECT_EQ(io::load_npy(folder_.path("out/product.npy")).to_vector<float>(),
              a.to(dtype).to(DType::f32).to_vector<float>());
  }
}

TEST_F(ModelCommandsTest, FailedRunsWriteNothing) {
  const std::string model = save("m.pare", classifier()), out = folder_.path("out");
  const auto expect = [&](const Tensor& x, std::initializer_list<std::string> words) {
    expect_failure(1, {"run", model, "--input", save("x.npy", x), "--output", out}, words);
    EXPECT_FALSE(std::filesystem::exists(out));
  };
  expect(Tensor::zeros({2, 1, 8, 9}), {"[batch, 1, 8, 8]", "[2, 1, 8, 9]"});
  expect(Tensor::scalar(1), {"x.npy"});
  expect_failure(
      1, {"run", model, "--input", folder_.write("bad.npy", "no array at all"), "--output", out},
      {"bad.npy", "NUMPY"});
  expect_failure(
      1,
      {"run", save("two.pare", two_inputs()), "--input", "a=" + save("a.npy", Tensor::ones({2, 3})),
       "--input", "b=" + save("b.npy", Tensor::ones({40, 3})), "--output", out},
      {"expected"});
  EXPECT_FALSE(std::filesystem::exists(out));
  // A file where the folder should be.
  folder_.write("out", "mine");
  expect_failure(1, {"run", model, "--input", save("x.npy", pictures(2)), "--output", out},
                 {"out"});
  EXPECT_EQ(folder_.read("out"), "mine");
}

TEST_F(ModelCommandsTest, WrongNamesAndKindsAreToldAtOnce) {
  const std::string model = save("m.pare", classifier());
  const std::string x = save("x.npy", pictures(2));
  expect_failure(2, {"run", model, "--input", "foo=" + x, "--output", folder_.path("out")},
                 {"model's inputs", "foo="});
  expect_failure(2, {"inspect", model, "--shape", "foo=1,3"}, {"model's inputs", "foo="});
  expect_failure(1, {"inspect", x}, {"x.npy", "expected an ONNX file, got an array of NumPy's"});
}

TEST_F(ModelCommandsTest, BenchSaysWhichSizesItTookForOne) {
  Graph graph;
  Shape shape{1, 2};
  shape.append_symbol("height");
  shape.append_symbol("width");
  const int x = graph.add_input("x", shape, DType::f32);
  const int pool = graph.add_node("pool", {&kMaxPool2d, kMaxPool2d.defaults()}, {x});
  graph.set_outputs({graph.node(pool).outputs[0]});
  const std::string model = save("m.pare", graph);
  expect_failure(1, {"bench", model}, {"'height', 'width'", "--shape"});
  pare_json({"bench", model, "--shape", "1,2,6,4", "--seconds", "0.01", "--threads", "1"});
}

TEST_F(ModelCommandsTest, BenchMeasuresAndNamesItsSteps) {
  const std::string model = save("m.pare", classifier());
  const auto json = pare_json({"bench", model, "--seconds", "0.05", "--threads", "1"});
  EXPECT_GE(json["runs"], 10);
  EXPECT_GT(json["median_ms"], 0);
  EXPECT_LE(json["min_ms"], json["median_ms"]);
  EXPECT_LE(json["median_ms"], json["p90_ms"]);
  EXPECT_EQ(json["threads"], 1);
  EXPECT_EQ(json["isa"], to_string(isa_cap()));
  EXPECT_GT(json["weight_bytes"], 0);
  ASSERT_GE(json["steps"].size(), 3U);
  std::string names;
  for (const auto& step : json["steps"]) {
    names += step["name"].get<std::string>() + " ";
    EXPECT_GE(step["ms"], 0);
    EXPECT_FALSE(step["kernel"].get<std::string>().empty());
  }
  EXPECT_NE(names.find("conv"), std::string::npos) << names;
  const auto sixteen =
      pare_json({"bench", model, "--seconds", "0", "--shape", "16,1,8,8", "--threads", "1"});
  EXPECT_GT(sixteen["arena_bytes"], json["arena_bytes"]);
  pare_json({"bench", model, "--seconds", "0", "--input", save("x.npy", pictures(3))});
  const CommandResult table = pare({"bench", model, "--seconds", "0", "--steps"});
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out.find("all steps"), std::string::npos) << table.out;
}

TEST_F(ModelCommandsTest, EvaluateScoresAsTheGraphDoes) {
  Graph graph = classifier();
  const Tensor x = pictures(40), y = labels(40, 7);
  const Tensor logits = graph(x);
  const double loss = cross_entropy(logits, y).item();
  const double top1 = static_cast<double>(train::count_correct(logits, y)) / 40;
  const double top5 = static_cast<double>(train::count_top_k(logits, y, 5)) / 40;
  const std::string model = save("m.pare", graph), input = save("x.npy", x);
  const auto check = [&](const std::vector<std::string>& arguments) {
    std::vector<std::string> all{"evaluate", model, "--input", input, "--batch", "16"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const auto json = pare_json(all);
    EXPECT_EQ(json["top1"], top1);
    EXPECT_EQ(json["top5"], top5);
    EXPECT_NEAR(json["loss"].get<double>(), loss, 1e-5);
    EXPECT_EQ(json["samples"], 40);
  };
  check({"--labels", save("y.npy", y)});
  check({"--labels", save("u8.npy", y.to(DType::u8)), "--reference"});
  check({"--labels", save("more.npy", (y + Tensor::full({40}, 3, DType::i64)).clone()),
         "--label-offset", "-3"});
}

TEST_F(ModelCommandsTest, EvaluateTakesLabelsPerTokenAndProbabilities) {
  // [N, T, C] through a softmax: the loss is of the probabilities as they are.
  Graph graph;
  Shape shape;
  shape.append_symbol("n");
  shape.append(4);
  shape.append(6);
  const int x = graph.add_input("x", shape, DType::f32);
  const int p = graph.add_node("p", {&kSoftmax, kSoftmax.defaults()}, {x});
  graph.set_outputs({graph.node(p).outputs[0]});
  const Tensor logits = Generator(3).normal({5, 4, 6});
  const Tensor y = reshape(labels(20, 6), {5, 4});
  const auto json = pare_json({"evaluate", save("m.pare", graph), "--input", save("x.npy", logits),
                               "--labels", save("y.npy", y), "--batch", "2"});
  const Tensor flat = reshape(logits, {20, 6}), flat_y = reshape(y, {20});
  EXPECT_NEAR(json["loss"].get<double>(), cross_entropy(flat, flat_y).item(), 1e-5);
  EXPECT_EQ(json["top1"], static_cast<double>(train::count_correct(flat, flat_y)) / 20);
  EXPECT_EQ(json["samples"], 5);
  EXPECT_EQ(json["labels"], 20);
}

TEST_F(ModelCommandsTest, EvaluateRefusesLabelsThatDoNotFit) {
  const std::string model = save("m.pare", classifier()), input = save("x.npy", pictures(4));
  const auto expect = [&](const Tensor& y, std::initializer_list<std::string> words) {
    expect_failure(1, {"evaluate", model, "--input", input, "--labels", save("y.npy", y)}, words);
  };
  expect(labels(5, 7), {"y.npy", "4 samples"});
  expect(Tensor::zeros({4}), {"y.npy", "whole numbers"});
  expect(Tensor::full({4}, 7, DType::i64), {"y.npy", "7"});
  expect(Tensor::zeros({4, 3}, DType::i64), {"logits"});
}

TEST_F(ModelCommandsTest, CompareMeasuresEveryValueAndTheOutputs) {
  const std::string a = save("a.pare", classifier()), b = save("b.pare", integer_classifier());
  const std::string x = save("x.npy", pictures(20));
  const auto same = pare_json({"compare", a, a, "--input", x, "--batch", "8"});
  ASSERT_EQ(same["outputs"].size(), 1U);
  EXPECT_TRUE(same["outputs"][0]["sqnr_db"].is_null());
  EXPECT_EQ(same["outputs"][0]["max_abs"], 0);
  EXPECT_NEAR(same["outputs"][0]["cosine"].get<double>(), 1, 1e-12);
  EXPECT_GE(same["layers"].size(), 5U);
  const auto other = pare_json({"compare", a, b, "--input", x, "--batch", "8"});
  const double sqnr = other["outputs"][0]["sqnr_db"];
  EXPECT_GT(sqnr, 20);
  EXPECT_LT(sqnr, 80);
  EXPECT_GE(other["layers"].size(), 1U);
  EXPECT_FALSE(other["layers"][0].contains("isolated"));
  EXPECT_FALSE(other["layers"][0].contains("histogram"));
  const auto more = pare_json(
      {"compare", a, b, "--input", x, "--batch", "8", "--isolated", "--histograms", "10"});
  ASSERT_EQ(more["layers"].size(), other["layers"].size());
  for (const auto& layer : more["layers"]) {
    EXPECT_TRUE(layer["isolated"].contains("sqnr_db")) << layer;
    EXPECT_EQ(layer["histogram"]["edges"].size(), 11U);
    for (const char* net : {"a", "b"}) EXPECT_EQ(layer["histogram"][net].size(), 10U);
  }
  ASSERT_EQ(more["weights"].size(), 2U) << more["weights"];
  EXPECT_EQ(more["weights"][1]["name"], "fc");
  EXPECT_GT(more["weights"][1]["sqnr_db"], 30);
  EXPECT_EQ(more["weights"][1]["histogram"]["b"].size(), 10U);
  expect_failure(2, {"compare", a, b, "--input", x, "--histograms", "0"}, {"--histograms"});
  expect_failure(1, {"compare", a, save("two.pare", two_inputs()), "--input", x}, {"inputs"});
}

TEST_F(ModelCommandsTest, ConvertKeepsTheGraph) {
  const std::string a = save("a.pare", integer_classifier());
  const auto json = pare_json({"convert", a, folder_.path("b.pare")});
  EXPECT_EQ(folder_.read("a.pare"), folder_.read("b.pare"));
  EXPECT_EQ(json["bytes_before"], folder_.read("a.pare").size());
  EXPECT_EQ(json["bytes_after"], folder_.read("b.pare").size());
  // By content, whatever the name.
  std::filesystem::rename(folder_.path("a.pare"), folder_.path("a.onnx"));
  pare_json({"inspect", folder_.path("a.onnx")});
}

}  // namespace
}  // namespace pare::test
