// pare quantize with a target: the same as the library's search, and what it refuses.
#include <gtest/gtest.h>

#include "cli/classifier_test.h"

namespace pare::test {
namespace {

class MixedPrecisionCommandTest : public ClassifierTest {
 protected:
  const std::string out_ = folder_.path("q.pare");
};

TEST_F(MixedPrecisionCommandTest, HoldsAnSqnr) {
  const std::string x = save("x.npy", pictures(16));
  const std::vector<Tensors> data{{pictures(16)}};
  const quantize::Searched expected =
      quantize::search(classifier(), data, {.weight_bits = {4, 8}, .sqnr_db = 30});
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--min-sqnr",
                               "30", "--weight-bits", "4,8", "--batch", "5", "--threads", "1"});
  const auto& found = json["search"];
  EXPECT_EQ(found["reached"], true) << found;
  EXPECT_GE(found["sqnr_db"], 30);
  EXPECT_TRUE(found["top1"].is_null());
  ASSERT_EQ(found["layers"].size(), expected.report.layers.size());
  for (std::size_t l = 0; l < found["layers"].size(); ++l) {
    EXPECT_EQ(found["layers"][l]["name"], expected.report.layers[l].name);
    EXPECT_EQ(found["layers"][l]["weight_bits"], expected.report.layers[l].weight_bits);
  }
  EXPECT_EQ(found["steps"].size(), expected.report.steps.size());
  EXPECT_EQ(found["weight_bytes"], expected.report.weight_bytes);
  // What is written is what was found.
  ContextScope scope;
  scope->grad = false;
  const Tensor test = Generator(9).normal({6, 1, 8, 8});
  Graph wanted = expected.converted.graph.copy();
  EXPECT_EQ(io::load_graph(out_)(test).to_vector<float>(), wanted(test).to_vector<float>());
  const auto table = pare({"quantize", model_, "-o", out_, "--calibration", x, "--min-sqnr", "30"});
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out.find("the target holds"), std::string::npos) << table.out;
}

TEST_F(MixedPrecisionCommandTest, HoldsADropOfTopOne) {
  const std::string x = save("x.npy", pictures(16)), y = save("y.npy", labels(16, 7));
  const std::string calibration = save("c.npy", Generator(8).normal({12, 1, 8, 8}));
  const auto json = pare_json({"quantize", model_, "-o", out_, "--calibration", calibration,
                               "--input", x, "--labels", y, "--metric-drop", "0", "--evaluations",
                               "3", "--float-macs", "0.9", "--threads", "1"});
  const auto evaluated = pare_json({"evaluate", model_, "--input", x, "--labels", y});
  EXPECT_EQ(json["search"]["float_top1"], evaluated["top1"]);
  const auto after = pare_json({"evaluate", out_, "--input", x, "--labels", y});
  EXPECT_EQ(json["search"]["top1"], after["top1"]);
  EXPECT_LE(json["search"]["evaluations"], 3);
  if (json["search"]["reached"]) {
    EXPECT_GE(after["top1"], evaluated["top1"]);
  }
}

TEST_F(MixedPrecisionCommandTest, HoldsABudgetOfBytes) {
  const std::string x = save("x.npy", pictures(16));
  const auto all = pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--weight-bytes",
                              "100000", "--weight-bits", "2,4,8", "--threads", "1"})["search"];
  const std::int64_t budget = all["weight_bytes"].get<std::int64_t>() * 3 / 4;
  const auto json =
      pare_json({"quantize", model_, "-o", out_, "--calibration", x, "--weight-bytes",
                 std::to_string(budget), "--weight-bits", "2,4,8", "--threads", "1"})["search"];
  EXPECT_LE(json["weight_bytes"], budget);
  EXPECT_EQ(json["reached"], true);
  EXPECT_LT(json["sqnr_db"], all["sqnr_db"]);
}

TEST_F(MixedPrecisionCommandTest, Refusals) {
  const std::string x = save("x.npy", pictures(4)), y = save("y.npy", labels(3, 7));
  const auto expect = [&](int code, std::vector<std::string> more,
                          std::initializer_list<std::string> words) {
    std::vector<std::string> arguments{"quantize", model_, "-o", out_, "--calibration", x};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_failure(code, arguments, words);
    EXPECT_FALSE(std::filesystem::exists(out_));
  };
  expect(2, {"--metric-drop", "0.1"}, {"--labels"});
  expect(2, {"--metric-drop", "0.1", "--labels", y}, {"--input"});
  expect(2, {"--evaluations", "3"}, {"--metric-drop", "none"});
  expect(2, {"--weight-bits", "4,8"}, {"--weight-bytes"});
  expect(2, {"--min-sqnr", "30", "--float-macs", "2"}, {"--float-macs"});
  expect(1, {"--min-sqnr", "30", "--weight-bits", "8,4"}, {"ascending"});
  expect(1, {"--min-sqnr", "30", "--weight-bits", "1"}, {"2 to 8"});
  expect(1, {"--weight-bytes", "3"}, {"at least", "bytes"});
  expect(1, {"--metric-drop", "0", "--input", x, "--labels", y}, {"labels for 4 samples"});
  expect_failure(2, {"quantize", model_, "-o", out_, "--weight-only", "--min-sqnr", "30"},
                 {"--min-sqnr"});
}

}  // namespace
}  // namespace pare::test
