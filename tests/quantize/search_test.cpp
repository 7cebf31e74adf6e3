// search: the target holds, nothing is float that need not be, budgets are kept.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::expect_error;
using test::graph_of;

const Shape kPictures{8, 3, 8, 8};
const std::vector<std::string> kLayers{"stem", "inner", "left", "right", "fc"};

class SearchTest : public testing::Test {
 protected:
  SearchTest() { context().threads = 1; }
  ~SearchTest() override { context().threads = 0; }

  static std::vector<Tensors> batches(std::uint64_t seed, int count = 2) {
    Generator generator(seed);
    std::vector<Tensors> all;
    for (int i = 0; i < count; ++i) all.push_back({generator.normal(kPictures)});
    return all;
  }
  static Graph branchy() {
    test::Branchy net;
    return graph_of(net, Tensor::zeros(kPictures));
  }
  static QConfig coarse() {
    QConfig config = QConfig::x86(Isa::avx512_vnni);
    config.weight_qmax = config.depthwise_weight_qmax = 7;
    return config;
  }
  // As a user would do it, from a config to the outputs' SQNR in the interpreter.
  static double sqnr_of(const Graph& graph, const QConfig& config, const std::vector<Tensors>& data,
                        const std::vector<Tensors>& calibration) {
    Graph prepared = prepare(graph, config);
    const NoGrad no_grad;
    for (const Tensors& batch : calibration) prepared.run(batch);
    return sqnr_of(graph, convert(prepared).graph, data);
  }
  static double sqnr_of(const Graph& graph, const Graph& other, const std::vector<Tensors>& data) {
    GraphComparison comparison(graph, other);
    for (const Tensors& batch : data) comparison.add(batch);
    return comparison.result().outputs.at(0).sqnr_db;
  }
  static std::map<std::string, int> bits_of(const SearchReport& report) {
    std::map<std::string, int> bits;
    for (const SearchReport::Layer& layer : report.layers) bits[layer.name] = layer.weight_bits;
    return bits;
  }
};

TEST_F(SearchTest, LeavesFloatWhatTheTargetNeedsAndNoMore) {
  const Graph graph = branchy();
  const auto calibration = batches(3), data = batches(4);
  const SearchOptions options{.config = coarse(), .data = Batches(data), .sqnr_db = 42};
  ASSERT_LT(sqnr_of(graph, coarse(), data, calibration), 30);
  const Searched found = search(graph, calibration, options);
  EXPECT_TRUE(found.report.reached) << to_string(found.report);
  EXPECT_FALSE(found.report.stopped);
  EXPECT_GE(found.report.sqnr_db, 42);
  EXPECT_NEAR(sqnr_of(graph, found.converted.graph, data), found.report.sqnr_db, 0.3);
  EXPECT_NEAR(sqnr_of(graph, found.config, data, calibration), found.report.sqnr_db, 0.3);
  std::vector<std::string> left;
  for (const auto& [name, bits] : bits_of(found.report)) {
    EXPECT_EQ(std::count(found.config.exclude.begin(), found.config.exclude.end(), name),
              bits == 0 ? 1 : 0);
    if (bits == 0) left.push_back(name);
  }
  EXPECT_EQ(bits_of(found.report).size(), kLayers.size());
  ASSERT_FALSE(left.empty());
  ASSERT_LT(left.size(), kLayers.size());
  for (const std::string& name : left) {
    QConfig less = coarse();
    for (const std::string& other : left)
      if (other != name) less.exclude.push_back(other);
    EXPECT_LT(sqnr_of(graph, less, data, calibration), 42.3) << name;
  }
  EXPECT_EQ(found.report.evaluations, static_cast<std::int64_t>(found.report.steps.size()));
  for (std::size_t i = 1; i < found.report.layers.size(); ++i)
    EXPECT_LE(found.report.layers[i - 1].alone_sqnr_db, found.report.layers[i].alone_sqnr_db);
}

TEST_F(SearchTest, LiftsBitsOfWeightsByGroup) {
  const Graph graph = branchy();
  const auto data = batches(3);
  QConfig config = coarse();
  config.weight_granularity = Granularity::per_group;
  config.weight_group_size = 4;
  const Searched found =
      search(graph, data, {.config = config, .weight_bits = {2, 8}, .sqnr_db = 20});
  EXPECT_TRUE(found.report.reached) << to_string(found.report);
  for (const SearchReport::Layer& layer : found.report.layers)
    EXPECT_TRUE(std::isfinite(layer.alone_sqnr_db)) << layer.name;
  EXPECT_NEAR(sqnr_of(graph, found.config, data, data), found.report.sqnr_db, 0.3);
}

TEST_F(SearchTest, GivesBackWhatTheTargetHoldsWithout) {
  // Alone, all of these make noise; the metric looks at nothing but whether "fc" is float.
  const Graph graph = branchy();
  const auto data = batches(3);
  SearchOptions options{.config = coarse(), .metric_drop = 0.5};
  options.metric = [](const Plan& plan) {
    for (const PlanStep& step : plan.steps())
      if (step.node == "fc" && step.source == DType::f32) return 1.0;
    return 0.0;
  };
  const Searched found = search(graph, data, options);
  EXPECT_TRUE(found.report.reached) << to_string(found.report);
  const auto bits = bits_of(found.report);
  for (const std::string& name : kLayers) EXPECT_EQ(bits.at(name), name == "fc" ? 0 : 8) << name;
  EXPECT_EQ(found.report.float_metric, 1.0);
  EXPECT_EQ(found.report.metric, 1.0);
}

TEST_F(SearchTest, LiftsBits) {
  const Graph graph = branchy();
  const auto data = batches(3);
  const SearchOptions options{.config = QConfig::x86(Isa::avx512_vnni),
                              .weight_bits = {3, 5, 8},
                              .allow_float = false,
                              .sqnr_db = 42};
  const Searched found = search(graph, data, options);
  EXPECT_TRUE(found.report.reached) << to_string(found.report);
  int few = 0;
  for (const auto& [name, bits] : bits_of(found.report)) {
    ASSERT_GT(bits, 0) << name;
    few += bits < 8 ? 1 : 0;
    const auto codes = int_repr(found.converted.graph, name + ".weight").to_vector<std::int8_t>();
    int largest = 0;
    for (const std::int8_t code : codes) largest = std::max(largest, std::abs(int{code}));
    EXPECT_EQ(largest, bits == 8 ? 127 : (1 << (bits - 1)) - 1) << name;
  }
  EXPECT_GT(few, 0);
}

// All 32 nets, by brute force: what is found is near the best that fits.
TEST_F(SearchTest, LowersBitsUnderABudgetOfBytes) {
  const Graph graph = branchy();
  const auto data = batches(3);
  const QConfig config = QConfig::x86(Isa::avx512_vnni);
  std::map<std::string, std::int64_t> weights;
  std::int64_t all = 0;
  for (const std::string& name : kLayers) {
    weights[name] = graph.value(graph.find_value(name + ".weight")).shape.elements();
    all += weights[name];
  }
  const std::int64_t budget = all * 7 / 10;
  const Searched found = search(
      graph, data, {.config = config, .weight_bits = {4, 8}, .budget = {.weight_bytes = budget}});
  EXPECT_TRUE(found.report.reached);
  EXPECT_LE(found.report.weight_bytes, budget);
  std::int64_t bytes = 0;
  for (const auto& [name, bits] : bits_of(found.report)) bytes += (weights.at(name) * bits + 7) / 8;
  EXPECT_EQ(found.report.weight_bytes, bytes);
  double best = 0, worst = 1e9;
  for (unsigned choice = 0; choice < 32; ++choice) {
    QConfig tried = config;
    std::int64_t size = 0;
    for (std::size_t l = 0; l < kLayers.size(); ++l) {
      const bool low = (choice >> l & 1U) != 0;
      if (low) tried.overrides.push_back({.name = kLayers[l], .weight_qmax = 7});
      size += weights[kLayers[l]] / (low ? 2 : 1);
    }
    if (size > budget) continue;
    const double sqnr = sqnr_of(graph, tried, data, data);
    best = std::max(best, sqnr);
    worst = std::min(worst, sqnr);
  }
  EXPECT_GT(found.report.sqnr_db, best - 1) << to_string(found.report);
  EXPECT_GT(best, worst + 2);
}

TEST_F(SearchTest, BudgetsOfNetsAndProducts) {
  const Graph graph = branchy();
  const auto data = batches(3);
  SearchOptions options{.config = coarse(), .sqnr_db = 60, .budget = {.evaluations = 2}};
  const Searched two = search(graph, data, options);
  EXPECT_EQ(two.report.evaluations, 2);
  EXPECT_TRUE(two.report.stopped);
  EXPECT_FALSE(two.report.reached);
  EXPECT_EQ(two.config.exclude.size(), 1U);
  options.budget = {.float_macs = 0.2};
  const Searched few = search(graph, data, options);
  EXPECT_FALSE(few.report.reached);
  EXPECT_LE(few.report.float_macs, 0.2);
  EXPECT_GT(few.report.float_macs, 0);
  std::int64_t all = 0, left = 0;
  for (const SearchReport::Layer& layer : few.report.layers) {
    all += layer.macs;
    left += layer.weight_bits == 0 ? layer.macs : 0;
  }
  EXPECT_DOUBLE_EQ(few.report.float_macs, static_cast<double>(left) / static_cast<double>(all));
  // Everything float is no quantized net: one layer is left.
  options.budget = {};
  const Searched most = search(graph, data, options);
  EXPECT_EQ(most.config.exclude.size(), kLayers.size() - 1);
}

TEST_F(SearchTest, TheSameDataGivesTheSameResult) {
  const Graph graph = branchy();
  const auto data = batches(3);
  const SearchOptions options{.config = coarse(), .sqnr_db = 42};
  const Searched a = search(graph, data, options);
  const Searched b = search(graph, data, options);
  EXPECT_EQ(bits_of(a.report), bits_of(b.report));
  EXPECT_EQ(a.report.sqnr_db, b.report.sqnr_db);
  EXPECT_EQ(to_string(a.report), to_string(b.report));
}

TEST_F(SearchTest, TellsAndStops) {
  const Graph graph = branchy();
  const auto data = batches(3);
  std::vector<SearchProgress> seen;
  SearchOptions options{.config = coarse(), .sqnr_db = 42};
  options.progress = [&](const SearchProgress& now) {
    seen.push_back(now);
    return true;
  };
  const Searched whole = search(graph, data, options);
  EXPECT_EQ(
      std::count_if(seen.begin(), seen.end(),
                    [](const auto& p) { return p.stage == SearchProgress::Stage::sensitivity; }),
      5);
  ASSERT_GT(whole.report.steps.size(), 3U) << to_string(whole.report);
  EXPECT_EQ(seen.size(), 5 + whole.report.steps.size());
  for (std::size_t i = 0; i < whole.report.steps.size(); ++i) {
    EXPECT_EQ(seen[5 + i].layer, whole.report.steps[i].layer);
    EXPECT_EQ(seen[5 + i].evaluations, static_cast<std::int64_t>(i));
    if (i > 0 && whole.report.steps[i - 1].kept) {
      EXPECT_EQ(seen[5 + i].sqnr_db, whole.report.steps[i - 1].sqnr_db);
    }
  }
  for (const std::size_t stop_at : {std::size_t{2}, std::size_t{5}, std::size_t{7}}) {
    std::size_t calls = 0;
    options.progress = [&](const SearchProgress&) { return ++calls <= stop_at; };
    const Searched part = search(graph, data, options);
    EXPECT_TRUE(part.report.stopped);
    EXPECT_EQ(calls, stop_at + 1);
    EXPECT_GE(part.report.evaluations, 1);
    EXPECT_NEAR(sqnr_of(graph, part.converted.graph, data), part.report.sqnr_db, 0.3);
  }
}

TEST_F(SearchTest, LayersThatStayFloatAnywayAreNamed) {
  const Graph graph = branchy();
  SearchOptions options{.config = coarse(), .sqnr_db = 10};
  options.config.exclude = {"inner"};
  const Searched found = search(graph, batches(3), options);
  ASSERT_EQ(found.report.left.size(), 1U);
  EXPECT_EQ(found.report.left[0].node, "inner");
  EXPECT_NE(to_string(found.report).find("excluded"), std::string::npos);
}

TEST_F(SearchTest, Refusals) {
  const Graph graph = branchy();
  const auto data = batches(3);
  const auto expect = [&](std::initializer_list<std::string> words, const SearchOptions& options) {
    expect_error(ErrorCode::invalid_argument, words, [&] { search(graph, data, options); });
  };
  const auto metric = [](const Plan&) { return 1.0; };
  expect({"target", "weight_bytes"}, {});
  expect({"metric", "none"}, {.metric_drop = 0.1});
  expect({"metric_drop", "-0.1"}, {.metric = metric, .metric_drop = -0.1});
  expect({"metric", "nan"}, {.metric = [](const Plan&) { return std::nan(""); }, .metric_drop = 1});
  expect({"finite metric", "inf"},
         {.metric = [](const Plan&) { return INFINITY; }, .metric_drop = 1});
  expect({"metric_drop", "inf"}, {.metric = metric, .metric_drop = INFINITY});
  expect({"finite", "inf"}, {.sqnr_db = INFINITY});
  expect({"weight_bits", "none"}, {.weight_bits = {}, .sqnr_db = 1});
  expect({"2 to 8", "9"}, {.weight_bits = {4, 9}, .sqnr_db = 1});
  expect({"ascending", "8, 4"}, {.weight_bits = {8, 4}, .sqnr_db = 1});
  expect({"evaluations", "-1"}, {.sqnr_db = 1, .budget = {.evaluations = -1}});
  expect({"float_macs", "1.5"}, {.sqnr_db = 1, .budget = {.float_macs = 1.5}});
  expect({"at least", "bytes", "got 10"}, {.budget = {.weight_bytes = 10}});
  expect({"one batch of data", "none"}, {.data = Batches(std::vector<Tensors>{}), .sqnr_db = 1});
  expect_error(ErrorCode::invalid_argument, {"calibration data", "none"},
               [&] { search(graph, std::vector<Tensors>{}, {.sqnr_db = 1}); });
  expect_error(ErrorCode::invalid_state, {"prepared or quantized"},
               [&] { search(prepare(graph), data, {.sqnr_db = 1}); });
}

}  // namespace
}  // namespace pare::quantize
