// Analytic bias correction: the clipped normal distribution, the paper's formula, whole nets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/channel_means.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::expect_error;
using test::graph_of;
using test::infer_with;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ClippedMean, IsTheIntegral) {
  for (const double mean : {-4.0, -0.3, 0.0, 2.0, 7.5})
    for (const double deviation : {0.2, 1.0, 3.0})
      for (const auto& [low, high] : std::vector<std::pair<double, double>>{
               {0, kInfinity}, {0, 6}, {-1, 1}, {-kInfinity, 2}}) {
        double sum = 0, weight = 0;
        for (int i = -80000; i <= 80000; ++i) {
          const double z = i * 1e-4, p = std::exp(-z * z / 2);
          sum += p * std::min(std::max(mean + deviation * z, low), high);
          weight += p;
        }
        EXPECT_NEAR(clipped_mean(mean, deviation, low, high), sum / weight, 1e-6)
            << mean << " " << deviation << " " << low << " " << high;
      }
  EXPECT_EQ(clipped_mean(-2, 0, 0, 6), 0);
  EXPECT_EQ(clipped_mean(9, 0, 0, 6), 6);
}

class CorrectBiases : public testing::Test {
 protected:
  CorrectBiases() { context().threads = 1; }
  ~CorrectBiases() override { context().threads = 0; }

  static QConfig coarse() {
    QConfig config = QConfig::x86(Isa::avx512_vnni);
    config.weight_qmax = config.depthwise_weight_qmax = 7;
    return config;
  }
  static Tensor input_of(const Graph& graph, const std::string& layer, std::size_t input) {
    const Graph folded = fold_constants(graph.copy()).graph;
    return folded.value(folded.node(folded.find_node(layer)).inputs.at(input)).tensor;
  }
  // A net whose batch norms have seen the data: betas and gammas are its moments.
  template <class Net> static Graph settled(Net net, const Tensor& x) {
    Graph graph = graph_of(net, x);
    ContextScope scope;
    scope->grad = false;
    scope->training = true;
    for (int i = 0; i < 200; ++i) graph(x);
    return graph;
  }
  static nn::Sequential net() {
    return nn::Sequential{nn::Conv2d{{.in = 3, .out = 8, .kernel = 3, .bias = false}},
                          nn::BatchNorm2d{{.features = 8}},
                          nn::ReLU{},
                          nn::Conv2d{{.in = 8, .out = 8, .kernel = 3, .groups = 8}},
                          nn::BatchNorm2d{{.features = 8}},
                          nn::ReLU6{},
                          nn::Conv2d{{.in = 8, .out = 6, .kernel = 1, .groups = 2}},
                          nn::BatchNorm2d{{.features = 6}},
                          nn::AvgPool2d{{.kernel = 2}},
                          nn::Flatten{},
                          nn::Linear{{.in = 6 * 16, .out = 4}}};
  }
};

TEST_F(CorrectBiases, TakesTheWeightsErrorTimesTheMeanInput) {
  const Tensor x = Generator(5).normal({16, 3, 12, 12});
  const Graph graph = settled(net(), x);
  const ChannelStatistics statistics = batch_norm_statistics(graph);
  ASSERT_EQ(statistics.size(), 3U);
  Graph prepared = prepare(graph, coarse());
  const Graph before = prepared.copy();
  const BiasCorrectionReport report = correct_biases(prepared, statistics);
  ASSERT_EQ(report.layers.size(), 4U);
  EXPECT_FALSE(report.layers[0].corrected);
  EXPECT_EQ(report.layers[0].note, "the mean of 'input' is not known: no batch norm before it");
  for (std::size_t l = 1; l < 4; ++l) EXPECT_TRUE(report.layers[l].corrected) << to_string(report);

  // Of the second convolution: one input channel for each output channel, nine taps.
  const Graph folded = fold_batch_norm(graph).graph;
  const auto exact = input_of(folded, "3", 1).to_vector<float>();
  const auto rounded = input_of(before, "3", 1).to_vector<float>();
  const auto a = input_of(before, "3", 2).to_vector<float>();
  const auto b = input_of(prepared, "3", 2).to_vector<float>();
  double largest = 0;
  for (std::size_t c = 0; c < 8; ++c) {
    const double mean = statistics.at("0").mean[c], deviation = statistics.at("0").deviation[c];
    const double t = deviation > 0 ? mean / deviation : 0;
    double expected = mean * (1 - std::erfc(t / std::sqrt(2.0)) / 2) +
                      deviation * std::exp(-t * t / 2) / std::sqrt(2 * 3.14159265358979);
    if (deviation == 0) expected = std::max(mean, 0.0);
    double error = 0;
    for (std::size_t k = 9 * c; k < 9 * c + 9; ++k)
      error += static_cast<double>(rounded[k]) - static_cast<double>(exact[k]);
    EXPECT_NEAR(b[c] - a[c], -error * expected, 1e-5) << c;
    largest = std::max(largest, std::fabs(error * expected));
  }
  EXPECT_NEAR(report.layers[1].largest_shift, largest, 1e-6);
}

// Of the last convolution: two groups of three outputs, four inputs each, two to a scale.
TEST_F(CorrectBiases, OfWeightsByGroup) {
  const Tensor x = Generator(5).normal({16, 3, 12, 12});
  const Graph graph = settled(net(), x);
  QConfig config = coarse();
  config.weight_granularity = Granularity::per_group;
  config.weight_group_size = 2;
  Graph prepared = prepare(graph, config);
  const Graph before = prepared.copy();
  const BiasCorrectionReport report = correct_biases(prepared, batch_norm_statistics(graph));
  ASSERT_EQ(report.layers.size(), 4U);
  for (std::size_t l = 1; l < 4; ++l) EXPECT_TRUE(report.layers[l].corrected) << to_string(report);
  const Graph folded = fold_batch_norm(graph).graph;
  const auto exact = input_of(folded, "6", 1).to_vector<float>();
  const auto rounded = input_of(before, "6", 1).to_vector<float>();
  const auto a = input_of(before, "6", 2).to_vector<float>();
  const auto b = input_of(prepared, "6", 2).to_vector<float>();
  const ChannelDistribution known = batch_norm_statistics(graph).at("3");
  double largest = 0;
  for (std::size_t o = 0; o < 6; ++o) {
    double shift = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t c = o / 3 * 4 + i;
      shift -= (static_cast<double>(rounded[o * 4 + i]) - static_cast<double>(exact[o * 4 + i])) *
               clipped_mean(known.mean[c], known.deviation[c], 0, 6);
    }
    EXPECT_NEAR(b[o] - a[o], shift, 1e-5) << o;
    largest = std::max(largest, std::fabs(shift));
  }
  EXPECT_GT(largest, 1e-3);
}

TEST_F(CorrectBiases, TakesMostOfTheMeanErrorAway) {
  const Tensor x = Generator(5).normal({16, 3, 12, 12});
  const Graph graph = settled(net(), x);
  QConfig config = coarse();
  config.exclude = {"0", "10"};  // what makes errors that are not known, and what mixes channels
  const auto error = [&](bool correct) {
    Graph prepared = prepare(graph, config);
    if (correct) correct_biases(prepared, batch_norm_statistics(graph));
    {
      const NoGrad no_grad;
      prepared(x);
    }
    Graph reference = fold_batch_norm(graph).graph, integer = convert(prepared).graph;
    const auto seen = [&](Graph& g) {
      const Tensor y = *test::look_inside(g, x).find(
          reference.value(reference.node(reference.find_node("8")).outputs[0]).name);
      return mean(y, {0, 2, 3}).to_vector<float>();
    };
    const auto a = seen(reference), b = seen(integer);
    double sum = 0;
    for (std::size_t c = 0; c < a.size(); ++c)
      sum += std::fabs(static_cast<double>(a[c]) - static_cast<double>(b[c]));
    return sum;
  };
  EXPECT_LT(error(true), error(false) / 2);
}

// What equalize and absorb_biases leave of the statistics is true of the graph they leave.
TEST_F(CorrectBiases, StatisticsFollowEqualizationAndAbsorption) {
  const Tensor x = Generator(5).normal({16, 4});
  Graph graph = settled(
      nn::Sequential{nn::Linear{{.in = 4, .out = 6, .bias = false}},
                     nn::BatchNorm1d{{.features = 6}}, nn::ReLU{}, nn::Linear{{.in = 6, .out = 3}}},
      x);
  ChannelStatistics statistics = batch_norm_statistics(graph);
  const ChannelStatistics before = statistics;
  equalize(graph, {.statistics = &statistics});
  absorb_biases(graph, {.statistics = &statistics, .deviations = 0.5});
  EXPECT_NE(statistics.at("0").mean, before.at("0").mean);
  const Tensor y = *test::look_inside(graph, x).find("0");
  const auto means = mean(y, {0}).to_vector<float>();
  const auto deviations = stddev(y, {.axes = {0}, .correction = 0}).to_vector<float>();
  for (std::size_t c = 0; c < means.size(); ++c) {
    const double size = statistics.at("0").deviation[c] + std::fabs(statistics.at("0").mean[c]);
    EXPECT_NEAR(means[c], statistics.at("0").mean[c], 0.1 * size + 1e-4) << c;
    EXPECT_NEAR(deviations[c], statistics.at("0").deviation[c], 0.1 * size + 1e-4) << c;
  }
}

TEST_F(CorrectBiases, SumsAndConcatenationsHaveMeansToo) {
  const Shape shape{8, 3, 8, 8};
  test::Branchy branchy;
  const Graph graph = graph_of(branchy, Tensor::zeros(shape));
  Graph prepared = prepare(graph, coarse());
  ChannelStatistics statistics = batch_norm_statistics(graph);
  ASSERT_EQ(statistics.size(), 2U);
  const BiasCorrectionReport some = correct_biases(prepared, statistics);
  EXPECT_TRUE(some.layers[1].corrected);  // stem, inner, left, right, fc
  EXPECT_NE(some.layers[2].note.find("is not known"), std::string::npos);
  EXPECT_NE(some.layers[4].note.find("is not known"), std::string::npos);
  EXPECT_NE(to_string(some).find("inner"), std::string::npos);
  statistics["left"] = {std::vector<double>(6, 1), std::vector<double>(6, 1)};
  statistics["right"] = {std::vector<double>(8, 1), std::vector<double>(8, 1)};
  EXPECT_TRUE(correct_biases(prepared, statistics).layers[4].corrected);
}

TEST_F(CorrectBiases, RefusalsLeaveTheGraph) {
  const Tensor x = Tensor::zeros({2, 3, 12, 12});
  nn::Sequential given = net();
  Graph graph = graph_of(given, x);
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words,
                          Graph& given_graph, const ChannelStatistics& statistics) {
    const std::string before = given_graph.to_string();
    expect_error(code, words, [&] { correct_biases(given_graph, statistics); });
    EXPECT_EQ(given_graph.to_string(), before);
  };
  Graph prepared = prepare(graph), training = prepare_qat(graph);
  ChannelStatistics wrong = batch_norm_statistics(graph);
  wrong.at("3").mean.pop_back();
  expect(ErrorCode::invalid_argument, {"3: ", "8 channels", "7 means"}, prepared, wrong);
  expect(ErrorCode::invalid_state, {"correct_biases", "without observers"}, graph, {});
  expect(ErrorCode::invalid_state, {"correct_biases", "prepare_qat"}, training, {});
  wrong = batch_norm_statistics(graph);
  wrong.at("6").deviation.clear();
  expect_error(ErrorCode::invalid_argument, {"6: ", "0 deviations"},
               [&] { equalize(graph, {.relu6_as_relu = true, .statistics = &wrong}); });
  expect_error(ErrorCode::invalid_argument, {"6: ", "0 deviations"},
               [&] { absorb_biases(graph, {.statistics = &wrong}); });
}

}  // namespace
}  // namespace pare::quantize
