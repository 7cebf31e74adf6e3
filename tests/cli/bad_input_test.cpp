// What the commands that quantize and measure say of bad files; nothing is written then.
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "cli/classifier_test.h"

namespace pare::test {
namespace {

using Words = std::vector<std::string>;

class BadInputCommandTest : public ClassifierTest {
 protected:
  void SetUp() override {
    ClassifierTest::SetUp();
    x_ = save("x.npy", pictures(16));
    y_ = save("y.npy", labels(16, 7));
    // A file that is there already stays as it is.
    folder_.write("out.pare", "what was there");
  }
  Tensor with(float value) const {
    Tensor x = pictures(16).clone();
    x.mutable_data<float>()[70] = value;
    return x;
  }
  // Every command that reads `file` as data.
  std::vector<Words> commands(const std::string& file) const {
    return {
        {"quantize", model_, "-o", out_, "--calibration", file},
        {"quantize", model_, "-o", out_, "--calibration", file, "--smooth", "0.5",
         "--smooth-convolutions"},
        {"quantize", model_, "-o", out_, "--calibration", file, "--equalize", "--absorb-biases"},
        {"quantize", model_, "-o", out_, "--calibration", file, "--min-sqnr", "10"},
        {"quantize", model_, "-o", out_, "--calibration", x_, "--min-sqnr", "10", "--input", file},
        {"quantize", model_, "-o", out_, "--weight-only", "--gptq", "--calibration", file},
        {"sensitivity", model_, "--calibration", file},
        {"sensitivity", model_, "--calibration", x_, "--input", file},
        {"compare", model_, model_, "--input", file},
        {"finetune", model_, "-o", out_, "--input", file, "--labels", y_},
        {"finetune", model_, "-o", out_, "--input", file, "--labels", y_, "--qat"},
        {"finetune", model_, "-o", out_, "--input", x_, "--labels", y_, "--validation-input", file,
         "--validation-labels", y_},
    };
  }
  void refuses(int code, const Words& command, std::initializer_list<std::string> words) const {
    SCOPED_TRACE(testing::PrintToString(command));
    const int files = folder_.files();
    expect_failure(code, command, words);
    EXPECT_EQ(folder_.files(), files);
    EXPECT_TRUE(folder_.read("out.pare") == "what was there");
  }

  std::string x_, y_;
  const std::string out_ = folder_.path("out.pare");
};

TEST_F(BadInputCommandTest, FilesCutShort) {
  const std::string whole = folder_.read("x.npy");
  const std::string half = folder_.write("cut.npy", whole.substr(0, whole.size() / 2));
  for (const Words& command : commands(half)) refuses(1, command, {"cut.npy: expected"});
  for (const std::size_t length : {0, 20}) {
    folder_.write("cut.npy", whole.substr(0, length));
    refuses(1, commands(half).front(), {"cut.npy: expected"});
  }
  const std::string model = folder_.read("m.pare");
  const std::string cut = folder_.write("cut.pare", model.substr(0, model.size() / 2));
  for (Words command : commands(x_)) {
    command[1] = cut;
    refuses(1, command, {"cut.pare: expected"});
  }
}

TEST_F(BadInputCommandTest, NumbersThatAreNotFinite) {
  const std::string nan = save("nan.npy", with(std::numeric_limits<float>::quiet_NaN()));
  for (const Words& command : commands(nan)) refuses(1, command, {"expected finite"});
  refuses(1, {"sensitivity", model_, "--calibration", x_, "--input", nan},
          {"sensitivity: input 'input' of batch 0", "got nan at element 70"});
  const std::string inf = save("inf.npy", with(std::numeric_limits<float>::infinity()));
  refuses(1, {"compare", model_, model_, "--input", inf},
          {"compare: input 'input' of batch 0", "got inf at element 70"});
  refuses(1, {"finetune", model_, "-o", out_, "--input", nan, "--labels", y_},
          {"input 'input'", "got nan at element 70"});
}

TEST_F(BadInputCommandTest, NoSamplesAndWrongShapes) {
  const std::string none = save("none.npy", Tensor::zeros({0, 1, 8, 8}));
  for (const Words& command : commands(none))
    refuses(1, command, {"none.npy: expected at least one sample, got [0, 1, 8, 8]"});
  const std::string wide = save("wide.npy", Tensor::zeros({16, 1, 8, 9}));
  for (const Words& command : commands(wide)) refuses(1, command, {"1, 8, 9]"});
  const std::string flat = save("flat.npy", Tensor::zeros({16, 64}));
  refuses(1, commands(flat).front(), {"got [16, 64]"});
  refuses(1, commands(folder_.path("absent.npy")).front(), {"absent.npy"});
}

TEST_F(BadInputCommandTest, NamesOfInputsTellTheOption) {
  refuses(2, {"quantize", model_, "-o", out_, "--calibration", "foo=" + x_},
          {"--calibration: expected name=", "'foo="});
  refuses(2, {"sensitivity", model_, "--calibration", x_, "--calibration", x_},
          {"--calibration: expected 'input' once"});
  refuses(2, {"compare", model_, model_, "--input", "foo=" + x_}, {"--input: expected name="});
}

TEST_F(BadInputCommandTest, Twice) {
  const std::string once = folder_.path("once.pare");
  for (const Words& first :
       {Words{"--calibration", x_}, Words{"--weight-only"}, Words{"--dynamic"}}) {
    Words command{"quantize", model_, "-o", once};
    command.insert(command.end(), first.begin(), first.end());
    pare_json(command);
    for (const Words& second :
         {Words{"--calibration", x_}, Words{"--weight-only"}, Words{"--dynamic"},
          Words{"--calibration", x_, "--min-sqnr", "10"}}) {
      Words again{"quantize", once, "-o", out_};
      again.insert(again.end(), second.begin(), second.end());
      refuses(1, again, {"quantized already (node '"});
    }
    refuses(1, {"sensitivity", once, "--calibration", x_}, {"quantized already"});
  }
}

TEST_F(BadInputCommandTest, WhatCannotBeLearned) {
  const Words command{"finetune", model_, "-o", out_, "--input", x_, "--labels"};
  const auto more = [&](Words words) {
    words.insert(words.begin(), command.begin(), command.end());
    return words;
  };
  Tensor classes = labels(16, 7);
  classes.mutable_data<std::int64_t>()[3] = 7;
  refuses(1, more({save("seven.npy", classes)}),
          {"seven.npy: expected labels from 0 to 6, got 7 at element 3"});
  refuses(1, more({y_, "--label-offset", "-4"}), {"y.npy: expected labels from 0 to 6, got -1"});
  refuses(1, more({x_}), {"x.npy: expected whole numbers for labels"});
  refuses(1, more({y_, "--lr", "1e300"}), {"finite weights after the last step", "a smaller --lr"});
  refuses(1, more({y_, "--lr", "1e30", "--batch", "4"}), {"finite loss", "a smaller --lr"});
  refuses(1, more({y_, "--qat", "--exclude", "fcc"}), {"'fcc'", "'fc'"});
  refuses(1, more({y_, "--teacher", folder_.path("absent.pare")}), {"absent.pare"});
  refuses(2, more({y_, "--qat", "--weight-bits", "9"}), {"--weight-bits"});
  refuses(2, more({y_, "--qat", "--activation-bits", "1"}), {"--activation-bits"});
}

}  // namespace
}  // namespace pare::test
