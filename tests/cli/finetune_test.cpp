// pare finetune on a small classifier: it learns, alone, beside a teacher and to int8.
#include <gtest/gtest.h>

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
  EXPECT_FALSE(std::filesystem::exists(out_));
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
