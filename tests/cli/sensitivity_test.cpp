// pare sensitivity on a small classifier: the same as the library's calls, and what it refuses.
#include <gtest/gtest.h>

#include "cli/classifier_test.h"

namespace pare::test {
namespace {

class SensitivityCommandTest : public ClassifierTest {};

TEST_F(SensitivityCommandTest, ListsTheWorstFirst) {
  const std::string x = save("x.npy", pictures(16));
  const auto json = pare_json({"sensitivity", model_, "--calibration", x, "--batch", "5"});
  const auto expected =
      quantize::sensitivity(classifier(), std::vector<Tensors>{{pictures(16)}}).layers;
  ASSERT_EQ(json["layers"].size(), 2U) << json;
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(json["layers"][i]["name"], expected[i].name);
    EXPECT_NEAR(json["layers"][i]["sqnr_db"].get<double>(), expected[i].sqnr_db, 1e-3);
    EXPECT_TRUE(json["layers"][i]["top1"].is_null());
  }
  EXPECT_LE(json["layers"][0]["sqnr_db"], json["layers"][1]["sqnr_db"]);
  EXPECT_TRUE(json["float"].empty());
  const auto some = pare_json({"sensitivity", model_, "--calibration", x, "--exclude", "fc",
                               "--observer", "minmax", "--config", "portable"});
  ASSERT_EQ(some["layers"].size(), 1U);
  EXPECT_EQ(some["layers"][0]["name"], "conv");
  EXPECT_EQ(some["float"][0]["name"], "fc");
  const auto table = pare({"sensitivity", model_, "--calibration", x, "--quiet"});
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out.find("conv"), std::string::npos);
  EXPECT_EQ(table.error, "");
}

TEST_F(SensitivityCommandTest, MeasuresTopOneOnLabelledSamples) {
  const std::string x = save("x.npy", pictures(16)), y = save("y.npy", labels(16, 7));
  const std::string calibration = save("c.npy", Generator(8).normal({12, 1, 8, 8}));
  const auto json = pare_json({"sensitivity", model_, "--calibration", calibration, "--input", x,
                               "--labels", y, "--batch", "5"});
  const auto evaluated = pare_json({"evaluate", model_, "--input", x, "--labels", y});
  EXPECT_EQ(json["float_top1"], evaluated["top1"]);
  ASSERT_EQ(json["layers"].size(), 2U);
  EXPECT_LE(json["layers"][0]["top1"], json["layers"][1]["top1"]);
  EXPECT_TRUE(json["all"]["top1"].is_number());
}

TEST_F(SensitivityCommandTest, Refusals) {
  const std::string x = save("x.npy", pictures(4)), y = save("y.npy", labels(3, 7));
  const auto expect = [&](int code, std::vector<std::string> more,
                          std::initializer_list<std::string> words) {
    std::vector<std::string> arguments{"sensitivity", model_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_failure(code, arguments, words);
  };
  expect(2, {}, {"--calibration"});
  expect(2, {"--calibration", x, "--labels", y}, {"--input"});
  expect(2, {"--calibration", x, "--config", "portable", "--isa", "avx2"}, {"--isa"});
  expect(1, {"--calibration", x, "--input", x, "--labels", y}, {"labels for 4 samples"});
  expect(1, {"--calibration", x, "--exclude", "convv"}, {"'convv'", "'conv'"});
}

}  // namespace
}  // namespace pare::test
