// pare finetune on a small classifier: it learns, alone, beside a teacher and to int8.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "cli/classifier_test.h"

namespace pare::test {
namespace {

class FinetuneCommandTest : public ClassifierTest {
 protected:
  // Samples whose label is where they are brightest: something to learn.
  void SetUp() override {
    ClassifierTest::SetUp();
    Tensor x = Generator(8).normal({210, 1, 8, 8}, 0, 0.3F);
    std::vector<std::int64_t> y(210);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = static_cast<std::int64_t>(i) % 7;
      for (std::int64_t c = 0; c < 8; ++c)
        x.mutable_data<float>()[(static_cast<std::int64_t>(i) * 8 + y[i]) * 8 + c] += 1.5F;
    }
    x_ = save("x.npy", x);
    y_ = save("y.npy", Tensor::from(y, {210}));
  }
  std::vector<std::string> arguments(const std::vector<std::string>& more) const {
    std::vector<std::string> all{"finetune",  model_, "-o",      out_, "--input", x_,
                                 "--labels",  y_,     "--batch", "30", "--lr",    "0.05",
                                 "--threads", "1",    "--seed",  "3",  "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  double top1(const std::string& model) const {
    return pare_json({"evaluate", model, "--input", x_, "--labels", y_})["top1"];
  }

  std::string x_, y_;
  const std::string out_ = folder_.path("out.pare");
};

TEST_F(FinetuneCommandTest, LearnsAndKeepsTheBestEpoch) {
  const auto json =
      pare_json(arguments({"--epochs", "6", "--validation-input", x_, "--validation-labels", y_}));
  ASSERT_EQ(json["epochs"].size(), 6U);
  double best = 0;
  for (const auto& epoch : json["epochs"]) {
    EXPECT_GT(epoch["loss"], 0) << epoch;
    EXPECT_GT(epoch["seconds"], 0) << epoch;
    best = std::max<double>(best, epoch["top1"]);
  }
  EXPECT_GT(best, 0.9);
  EXPECT_EQ(json["epochs"][json["best"].get<std::size_t>() - 1]["top1"], best);
  EXPECT_NEAR(top1(out_), best, 1e-9);
  EXPECT_LT(top1(model_), 0.5);
}

TEST_F(FinetuneCommandTest, TrainsToInt8) {
  for (const char* method : {"moving-average", "lsq"}) {
    const auto json = pare_json(arguments({"--epochs", "6", "--qat", "--method", method}));
    EXPECT_TRUE(json["float"].empty()) << json;
    EXPECT_EQ(json["best"], 6);
    EXPECT_GT(top1(out_), 0.9) << method;
    bool integers = false;
    const Graph written = io::load_graph(out_);
    for (const Graph::Node& node : written.nodes())
      integers = integers || node.call.op == &kQuantizeLinear;
    EXPECT_TRUE(integers);
  }
  const auto narrow =
      pare_json(arguments({"--epochs", "6", "--qat", "--method", "lsq", "--weight-bits", "4"}));
  EXPECT_EQ(narrow["epochs"].size(), 6U);
  const Graph written = io::load_graph(out_);
  for (const std::int8_t code : quantize::int_repr(written, "fc.weight").to_vector<std::int8_t>())
    EXPECT_LE(std::abs(code), 8);
}

TEST_F(FinetuneCommandTest, LearnsFromATeacher) {
  pare_json(arguments({"--epochs", "8"}));
  const std::string teacher = folder_.path("teacher.pare");
  io::save_graph(io::load_graph(out_), teacher);
  ASSERT_GT(top1(teacher), 0.9);
  // The labels say nothing: alpha 1 is the teacher alone.
  const std::string wrong = save("wrong.npy", Tensor::zeros({210}, DType::i64));
  auto words =
      arguments({"--epochs", "8", "--teacher", teacher, "--temperature", "2", "--alpha", "1"});
  words[7] = wrong;
  pare_json(words);
  EXPECT_GT(top1(out_), 0.8);
}

TEST_F(FinetuneCommandTest, RefusesWhatDoesNotFit) {
  const auto refused = [&](const std::vector<std::string>& words, int code,
                           const std::string& text) {
    const CommandResult result = pare(words);
    EXPECT_EQ(result.code, code) << result.error;
    EXPECT_NE(result.error.find(text), std::string::npos) << result.error;
  };
  refused(arguments({"--validation-input", x_}), 2, "expected both or neither");
  refused(arguments({"--method", "lsq"}), 2, "expected --qat");
  refused(arguments({"--optimizer", "lion"}), 2, "--optimizer");
  refused(arguments({"--alpha", "0.5"}), 2, "--teacher");
  auto words = arguments({});
  words[7] = save("short.npy", Tensor::zeros({5}, DType::i64));
  refused(words, 1, "expected labels for 210 samples");
  refused(arguments({"--config", "portable"}), 2, "--config: expected --qat");
  refused(arguments({"--isa", "avx2"}), 2, "--isa: expected --qat");
  refused(arguments({"--exclude", "fc"}), 2, "--exclude: expected --qat");
  refused(arguments({"--qat", "--observer", "minmax"}), 2, "--observer");
  refused(arguments({"--qat", "--epochs", "2", "--freeze-observers", "2"}), 2,
          "--freeze-observers: expected fewer than the 2 of --epochs, got 2");
  refused(arguments({"--qat", "--epochs", "2", "--freeze-batch-norm", "7"}), 2,
          "--freeze-batch-norm: expected fewer");
  words = arguments({"--qat", "--epochs", "3"});
  *std::ranges::find(words, "0.05") = "1e30";
  refused(words, 1, "a smaller --lr may help");
  EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(FinetuneCommandTest, OptionsOfFloatModelsAlone) {
  io::save_graph(integer_classifier(), folder_.path("q.pare"));
  io::save_graph(quantize::prepare_qat(classifier()), folder_.path("p.pare"));
  for (const char* file : {"q.pare", "p.pare"})
    for (const std::vector<std::string>& option : {std::vector<std::string>{"--method", "lsq"},
                                                   {"--weight-bits", "4"},
                                                   {"--activation-bits", "7"},
                                                   {"--config", "portable"},
                                                   {"--isa", "avx2"},
                                                   {"--exclude", "fc"},
                                                   {"--dynamic-op", "lstm"}}) {
      auto words = arguments({"--qat", option[0], option[1]});
      words[1] = folder_.path(file);
      expect_failure(2, words, {option[0] + ": expected a float model, got one that is "});
    }
  EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(FinetuneCommandTest, PreparedForTrainingBecomesIntegers) {
  io::save_graph(quantize::prepare_qat(classifier()), folder_.path("p.pare"));
  auto words = arguments({"--epochs", "6"});
  words[1] = folder_.path("p.pare");
  const auto json = pare_json(words);
  EXPECT_GT(json["quantized"], 0);
  EXPECT_GT(top1(out_), 0.9);
  EXPECT_EQ(quantize::int_repr(io::load_graph(out_), "fc.weight").dtype(), DType::i8);
  // Observers of calibration do not train.
  io::save_graph(quantize::prepare(classifier()), folder_.path("p.pare"));
  std::filesystem::remove(out_);
  expect_failure(1, words, {"p.pare: expected a float model", "got one from prepare"});
  EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(FinetuneCommandTest, SaysWhatStaysIntegers) {
  const std::string file = folder_.path("coded.pare");
  auto words = arguments({"--epochs", "3"});
  words[1] = file;
  const Graph stored = quantize::weight_only(classifier(), {.bits = 8, .exclude = {"conv"}}).graph;
  const auto codes = [](const Graph& graph) {
    return quantize::int_repr(graph, "fc.weight").to(DType::i32).to_vector<std::int32_t>();
  };
  io::save_graph(stored, file);
  const auto json = pare_json(words);
  ASSERT_EQ(json["untrained"].size(), 1U) << json;
  EXPECT_EQ(json["untrained"][0]["name"], "fc");
  EXPECT_NE(json["untrained"][0]["reason"], "");
  const Graph written = io::load_graph(out_);
  EXPECT_EQ(codes(written), codes(stored));
  // The convolution before it learns.
  const auto weight = [](const Graph& graph) {
    return graph.value(graph.find_value("conv.weight")).tensor.to_vector<float>();
  };
  EXPECT_NE(weight(written), weight(stored));
  // No gradient comes through codes that are made of the values as they come.
  const Graph dynamic = quantize::dynamic(classifier()).graph;
  io::save_graph(dynamic, file);
  onnx::save(dynamic, folder_.path("coded.onnx"));  // with the rows spelled out
  std::filesystem::remove(out_);
  for (const char* name : {"coded.pare", "coded.onnx"}) {
    words[1] = folder_.path(name);
    expect_failure(1, words,
                   {std::string(name) + ": expected layers with weights that can be trained",
                    "stays integers", "no gradient"});
    EXPECT_FALSE(std::filesystem::exists(out_));
  }
}

/// Classes 4 to 6 are hidden.
struct Hiding : nn::Module {
  nn::Linear fc{{.in = 64, .out = 7}};
  nn::Parameter mask{Shape{7}};
  void members(nn::Members& m) override { m("fc", fc)("mask", mask); }
  void reset(Generator&) override { mask.set(Tensor::from({0, 0, 0, 0, -1e9, -1e9, -1e9}, {7})); }
  Tensor forward(const Tensor& x) override { return add(fc(reshape(x, {-1, 64})), mask); }
};

TEST_F(FinetuneCommandTest, MasksAndWhatIsNamedAreFrozen) {
  Generator generator(4);
  Hiding net;
  nn::initialize(net, generator);
  const std::string file = folder_.path("hiding.onnx");
  onnx::save(trace(net, pictures(2)), file);
  std::vector<std::int64_t> y(210);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = static_cast<std::int64_t>(i) % 4;
  auto words = arguments({"--optimizer", "adam"});
  words[1] = file;
  words[7] = save("few.npy", Tensor::from(y, {210}));
  const auto leaf = [](const Graph& graph, const char* name) {
    return graph.value(graph.find_value(name)).tensor.to_vector<float>();
  };
  const Graph before = onnx::load(file);
  using Names = std::vector<std::string>;
  EXPECT_EQ(pare_json(words)["frozen"].get<Names>(), Names{"mask"});
  const Graph after = io::load_graph(out_);
  EXPECT_EQ(leaf(after, "mask"), leaf(before, "mask"));
  EXPECT_NE(leaf(after, "fc.bias"), leaf(before, "fc.bias"));
  for (const char* more : {"--freeze", "*.bias"}) words.emplace_back(more);
  EXPECT_EQ(pare_json(words)["frozen"].get<Names>(), (Names{"fc.bias", "mask"}));
  EXPECT_EQ(leaf(io::load_graph(out_), "fc.bias"), leaf(before, "fc.bias"));
  words.back() = "*";
  expect_failure(1, words, {"--freeze: expected weights left to train, got none"});
  words.back() = "fc.bais";
  expect_failure(1, words, {"fc.bais", "matches none"});
}

struct Reader : nn::Module {
  nn::LSTM lstm{{.input_size = 8, .hidden_size = 6, .batch_first = true}};
  nn::Linear fc{{.in = 6, .out = 7}};
  void members(nn::Members& m) override { m("lstm", lstm)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    const Tensor y = lstm(reshape(x, {-1, 8, 8}));
    return fc(reshape(slice(y, 1, 7, 8), {-1, 6}));
  }
};

TEST_F(FinetuneCommandTest, LayersOfDynamicOpsStayIntegers) {
  Generator generator(4);
  Reader net;
  nn::initialize(net, generator);
  const std::string file = folder_.path("reader.pare"), coded = folder_.path("coded.pare");
  io::save_graph(trace(net, pictures(2)).copy(), file);
  auto words = arguments({"--qat", "--dynamic-op", "lstm"});
  words[1] = file;
  words[3] = coded;
  EXPECT_FALSE(pare_json(words).contains("untrained"));
  words = arguments({});
  words[1] = coded;
  const auto json = pare_json(words);
  ASSERT_EQ(json["untrained"].size(), 1U) << json;
  EXPECT_EQ(json["untrained"][0]["name"], "lstm");
  const auto codes = [](const std::string& path, const char* weight) {
    return quantize::int_repr(io::load_graph(path), weight).to_vector<std::int8_t>();
  };
  EXPECT_EQ(codes(out_, "lstm.weight_ih_l0"), codes(coded, "lstm.weight_ih_l0"));
  EXPECT_NE(codes(out_, "fc.weight"), codes(coded, "fc.weight"));
}

/// Classes of every token: logits [N, T, C].
struct Tagger : nn::Module {
  nn::Linear fc{{.in = 4, .out = 3}};
  void members(nn::Members& m) override { m("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(x); }
};

TEST_F(FinetuneCommandTest, TokensHaveAnAccuracy) {
  Generator generator(2);
  Tagger net;
  nn::initialize(net, generator);
  const Tensor x = generator.normal({60, 5, 4});
  io::save_graph(trace(net, x).copy(), folder_.path("tagger.pare"));
  const std::string tokens = save("tokens.npy", x);
  const std::string classes = save("classes.npy", argmax(slice(x, 2, 0, 3), 2));
  auto words =
      arguments({"--epochs", "4", "--validation-input", tokens, "--validation-labels", classes});
  words[1] = folder_.path("tagger.pare");
  words[5] = tokens;
  words[7] = classes;
  const auto json = pare_json(words);
  double best = 0;
  for (const auto& epoch : json["epochs"]) {
    ASSERT_TRUE(epoch["top1"].is_number() && epoch["train_top1"].is_number()) << epoch;
    best = std::max<double>(best, epoch["top1"]);
  }
  EXPECT_EQ(json["epochs"][json["best"].get<std::size_t>() - 1]["top1"], best);
  EXPECT_NEAR(pare_json({"evaluate", out_, "--input", tokens, "--labels", classes})["top1"], best,
              1e-9);
}

TEST_F(FinetuneCommandTest, CodesInTheModelSurvive) {
  io::save_graph(integer_classifier(), folder_.path("q.pare"));
  auto words = arguments({"--epochs", "6"});
  words[1] = folder_.path("q.pare");
  const auto json = pare_json(words);
  EXPECT_EQ(json["epochs"].size(), 6U);
  EXPECT_GT(top1(out_), 0.8);
  const Graph written = io::load_graph(out_);
  EXPECT_EQ(quantize::int_repr(written, "fc.weight").dtype(), DType::i8);
}

TEST_F(FinetuneCommandTest, ControlCWritesNothing) {
  Command command(arguments({"--epochs", "1000000"}));
  command.interrupt();
  EXPECT_EQ(command.wait().code, 130);
  EXPECT_FALSE(std::filesystem::exists(out_));
}

}  // namespace
}  // namespace pare::test
