// Cross-layer equalization: factors by the paper's formula, what the graph computes, what is left.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::expect_error;
using test::graph_of;
using test::infer_with;

// Magnitudes that differ from channel to channel, on both sides of every layer.
void spread_weights(Graph& graph, std::uint64_t seed) {
  Generator generator(seed);
  for (int v = 0; v < static_cast<int>(graph.values().size()); ++v) {
    const Graph::Value& value = graph.value(v);
    if (value.kind != Graph::Kind::parameter || value.shape.rank() < 2) continue;
    Shape rows = value.shape, columns = value.shape;
    for (int a = 0; a < rows.rank(); ++a) {
      if (a != 0) rows.set(a, 1);
      if (a != 1) columns.set(a, 1);
    }
    const NoGrad no_grad;
    graph.edit_value(v).tensor =
        value.tensor * exp(generator.normal(rows)) * exp(generator.normal(columns));
  }
}

template <class Net> Graph spread_graph(Net net, const Shape& shape, std::uint64_t seed = 1) {
  Graph graph = graph_of(net, Tensor::zeros(shape), seed);
  spread_weights(graph, seed + 10);
  return graph;
}

double largest_difference(Graph a, Graph b, const Tensor& x) {
  const auto y = infer_with(a, x).to_vector<float>(), z = infer_with(b, x).to_vector<float>();
  EXPECT_EQ(y.size(), z.size());
  double most = 0, largest = 1e-30;
  for (std::size_t i = 0; i < y.size(); ++i) {
    most = std::max(most, std::fabs(static_cast<double>(y[i]) - static_cast<double>(z[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(y[i])));
  }
  return most / largest;
}

// A layer's weight as it is multiplied.
Tensor weight_of(const Graph& graph, const std::string& layer, std::size_t input = 1) {
  const Graph folded = fold_constants(graph.copy()).graph;
  return folded.value(folded.node(folded.find_node(layer)).inputs.at(input)).tensor;
}

// max |w| over all axes but one.
std::vector<double> ranges(const Tensor& weight, int axis) {
  std::vector<double> result(static_cast<std::size_t>(weight.dim(axis)), 0);
  const auto w = weight.to_vector<float>();
  const auto inner = static_cast<std::size_t>(weight.shape().elements(axis + 1, weight.rank()));
  for (std::size_t i = 0; i < w.size(); ++i) {
    double& r = result[i / inner % result.size()];
    r = std::max(r, static_cast<double>(std::fabs(w[i])));
  }
  return result;
}

void expect_equal(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t c = 0; c < a.size(); ++c) EXPECT_NEAR(a[c], b[c], 1e-4 * a[c]) << c;
}

// Names of what is left, with reasons.
std::string left_of(const EqualizationReport& report, const std::string& layer) {
  for (const PassReport::Line& line : report.left)
    if (line.node == layer) return line.text;
  return "not left";
}

class Equalize : public testing::Test {
 protected:
  Equalize() { context().threads = 1; }
  ~Equalize() override { context().threads = 0; }

  // Equalizes; the outputs must stay, all pairs must become even. Gives the report.
  EqualizationReport expect_kept(const Graph& graph, const Shape& shape, double bound = 1e-5) {
    equalized_ = graph.copy();
    const EqualizationReport report = equalize(equalized_);
    EXPECT_TRUE(report.converged) << report.rounds;
    for (const EqualizationReport::Pair& pair : report.pairs) {
      EXPECT_GT(pair.before, 2) << pair.first;
      EXPECT_LT(pair.after, 1.0001) << pair.first;
      EXPECT_LT(pair.smallest, pair.largest) << pair.first;
    }
    EXPECT_LT(largest_difference(graph, equalized_, Generator(4).normal(shape)), bound);
    return report;
  }

  Graph equalized_;
};

// S = √(r1/r2), W1/S, b1/S, W2·S, in numbers that are exact.
TEST_F(Equalize, DividesByTheRootOfTheRatioOfRanges) {
  Graph graph = spread_graph(
      nn::Sequential{nn::Linear{{.in = 2, .out = 3}}, nn::ReLU{}, nn::Linear{{.in = 3, .out = 2}}},
      {2, 2});
  const auto set = [&](const char* name, const Tensor& tensor) {
    graph.edit_value(graph.find_value(name)).tensor = tensor;
  };
  set("0.weight", Tensor::from({-8, 1, 0.5F, 0.25F, 0, 0}, {3, 2}));  // r1 = 8, 0.5, 0
  set("0.bias", Tensor::from({4, -1, 1.25F}, {3}));
  set("2.weight", Tensor::from({2, 4, 1, -1, -8, 5}, {2, 3}));  // r2 = 2, 8, 5
  const Graph before = graph.copy();
  const EqualizationReport report = equalize(graph);
  // S = 2, 1/4; with nothing but a bias of 1.25 √(1.25 / 5).
  EXPECT_EQ(weight_of(graph, "0").to_vector<float>(), (std::vector<float>{-4, 0.5F, 2, 1, 0, 0}));
  EXPECT_EQ(weight_of(graph, "0", 2).to_vector<float>(), (std::vector<float>{2, -4, 2.5F}));
  EXPECT_EQ(weight_of(graph, "2").to_vector<float>(),
            (std::vector<float>{4, 1, 0.5F, -2, -2, 2.5F}));
  ASSERT_EQ(report.pairs.size(), 1U);
  EXPECT_EQ(report.pairs[0].first, "0");
  EXPECT_EQ(report.pairs[0].second, "2");
  EXPECT_EQ(report.pairs[0].channels, 2);
  EXPECT_EQ(report.pairs[0].smallest, 0.25);
  EXPECT_EQ(report.pairs[0].largest, 2);
  EXPECT_EQ(report.pairs[0].before, 16);
  EXPECT_EQ(report.pairs[0].after, 1);
  EXPECT_NE(left_of(report, "2").find("output of the graph"), std::string::npos);
  // The leaves are as they were.
  EXPECT_EQ(graph.value(graph.find_value("0.weight")).tensor.to_vector<float>(),
            before.value(before.find_value("0.weight")).tensor.to_vector<float>());
  // Once more there is nothing to do.
  const std::size_t nodes = graph.nodes().size();
  EXPECT_EQ(equalize(graph).pairs[0].largest, 1);
  EXPECT_EQ(graph.nodes().size(), nodes);
}

// Of a depthwise convolution between two others all three ranges become (r1·r2·r3)^(1/3).
TEST_F(Equalize, ThreeLayersMeetInTheCubeRoot) {
  const Shape shape{2, 3, 8, 8};
  const Graph graph = spread_graph(
      nn::Sequential{nn::Conv2d{{.in = 3, .out = 6, .kernel = 1}}, nn::ReLU{},
                     nn::Conv2d{{.in = 6, .out = 6, .kernel = 3, .padding = 1, .groups = 6}},
                     nn::ReLU{}, nn::Conv2d{{.in = 6, .out = 4, .kernel = 1}}},
      shape);
  std::vector<double> wanted = ranges(weight_of(graph, "0"), 0);
  const auto second = ranges(weight_of(graph, "2"), 0), third = ranges(weight_of(graph, "4"), 1);
  for (std::size_t c = 0; c < wanted.size(); ++c)
    wanted[c] = std::cbrt(wanted[c] * second[c] * third[c]);
  EXPECT_EQ(expect_kept(graph, shape).pairs.size(), 2U);
  expect_equal(wanted, ranges(weight_of(equalized_, "0"), 0));
  expect_equal(wanted, ranges(weight_of(equalized_, "2"), 0));
  expect_equal(wanted, ranges(weight_of(equalized_, "4"), 1));
}

TEST_F(Equalize, ConvolutionsInGroupsWithBatchNormAndPooling) {
  const Shape shape{2, 4, 16, 16};
  const Graph graph = spread_graph(
      nn::Sequential{
          nn::Conv2d{{.in = 4, .out = 6, .kernel = 3, .padding = 1, .groups = 2, .bias = false}},
          nn::BatchNorm2d{{.features = 6}}, nn::LeakyReLU{{.negative_slope = 0.1}},
          nn::MaxPool2d{{.kernel = 2}},
          nn::Conv2d{{.in = 6, .out = 9, .kernel = 3, .padding = 1, .groups = 3}},
          nn::PReLU{{.num_parameters = 9}}, nn::AvgPool2d{{.kernel = 2}}, nn::Dropout{},
          nn::Flatten{}, nn::Linear{{.in = 9 * 16, .out = 10}}, nn::ReLU{},
          nn::Linear{{.in = 10, .out = 3}}},
      shape);
  const EqualizationReport report = expect_kept(graph, shape);
  ASSERT_EQ(report.pairs.size(), 3U);
  EXPECT_EQ(report.pairs[1].first, "4");
  EXPECT_EQ(report.pairs[1].second, "9");
  EXPECT_EQ(report.pairs[0].channels, 5);  // one has a gamma of 0
  // A channel of the picture is 16 columns of the linear layer.
  const auto linear = reshape(weight_of(equalized_, "9"), {10, 9, 16});
  expect_equal(ranges(weight_of(equalized_, "4"), 0), ranges(linear, 1));
}

TEST_F(Equalize, TransposedConvolutionsLinesAndReshaping) {
  const Shape shape{2, 4, 10};
  const Graph graph = spread_graph(
      nn::Sequential{nn::Conv1d{{.in = 4, .out = 6, .kernel = 3}}, nn::ReLU{},
                     nn::ConvTranspose1d{{.in = 6, .out = 4, .kernel = 3, .groups = 2}}, nn::ReLU{},
                     nn::ConvTranspose1d{{.in = 4, .out = 8, .kernel = 2, .groups = 2}},
                     nn::AdaptiveAvgPool1d{5}, nn::Conv1d{{.in = 8, .out = 2, .kernel = 1}}},
      shape);
  EXPECT_EQ(expect_kept(graph, shape).pairs.size(), 3U);
}

// Zeros around the picture, a factor, both inputs of a concatenation, means; a product.
struct Mixed : nn::Module {
  nn::Conv2d left{{.in = 3, .out = 4, .kernel = 3}};
  nn::Conv2d right{{.in = 3, .out = 5, .kernel = 3}};
  nn::Conv2d joined{{.in = 9, .out = 6, .kernel = 3}};
  nn::Parameter weight{Shape{6, 7}};
  nn::Linear fc{{.in = 7, .out = 3}};
  void members(nn::Members& m) override {
    m("left", left)("right", right)("joined", joined)("weight", weight)("fc", fc);
  }
  void reset(Generator& generator) override { weight.set(generator.normal({6, 7})); }
  Tensor forward(const Tensor& x) override {
    const Tensor a = relu(left(x)) * 0.5F;
    const Tensor both = pad(concat({a, abs(right(x))}, 1), {0, 0, 1, 1}, {0, 0, 1, 0});
    const Tensor last = permute(relu(joined(both)), {0, 2, 3, 1});
    return fc(relu(matmul(mean(last, {1, 2}), weight)));
  }
};

TEST_F(Equalize, FollowsConcatenationPaddingMeansAndProducts) {
  const Shape shape{2, 3, 8, 8};
  const EqualizationReport report = expect_kept(spread_graph(Mixed(), shape), shape);
  EXPECT_EQ(report.pairs.size(), 4U) << to_string(report);
  const auto left = ranges(weight_of(equalized_, "left"), 0);
  auto joined = ranges(weight_of(equalized_, "joined"), 1);
  joined.resize(4);
  expect_equal(left, joined);
  expect_equal(ranges(weight_of(equalized_, "joined"), 0),
               ranges(weight_of(equalized_, "matmul"), 0));
}

// Each channel of what the second convolution reads is one of the first's beside one of x.
struct SideBySide : nn::Module {
  nn::Conv1d first{{.in = 2, .out = 2, .kernel = 1}};
  nn::Conv1d second{{.in = 2, .out = 2, .kernel = 1}};
  void members(nn::Members& m) override { m("first", first)("second", second); }
  Tensor forward(const Tensor& x) override { return second(concat({first(x), x}, 2)); }
};

TEST_F(Equalize, LeavesWhatKeepsNoFactors) {
  test::Branchy net;
  const Shape shape{2, 3, 8, 8};
  Graph graph = graph_of(net, Tensor::zeros(shape));
  const Graph before = graph.copy();
  const EqualizationReport report = equalize(graph);
  EXPECT_NE(left_of(report, "stem").find("'relu' has several readers"), std::string::npos)
      << to_string(report);
  EXPECT_NE(left_of(report, "inner").find("(add) does not keep"), std::string::npos);
  EXPECT_NE(left_of(report, "right").find("(relu6) does not keep"), std::string::npos);
  EXPECT_NE(left_of(report, "fc").find("output of the graph"), std::string::npos);
  // left → relu → concat → mean → fc is a pair all the same.
  ASSERT_EQ(report.pairs.size(), 1U);
  EXPECT_EQ(report.pairs[0].first, "left");
  EXPECT_EQ(report.pairs[0].channels, 6);
  EXPECT_LT(largest_difference(before, graph, Generator(4).normal(shape)), 1e-5);

  const auto expect_none = [](Graph alone, const char* why) {
    const EqualizationReport none = equalize(alone);
    EXPECT_TRUE(none.pairs.empty());
    EXPECT_TRUE(none.converged);
    ASSERT_FALSE(none.left.empty());
    EXPECT_NE(none.left[0].text.find(why), std::string::npos) << to_string(none);
  };
  const Shape line{2, 2, 4};
  expect_none(spread_graph(nn::Sequential{nn::Conv1d{{.in = 2, .out = 3, .kernel = 1}},
                                          nn::ConstantPad1d{{.padding = 1, .value = 1}},
                                          nn::Conv1d{{.in = 3, .out = 2, .kernel = 1}}},
                           line),
              "(pad) does not keep");
  expect_none(spread_graph(nn::Sequential{nn::Conv1d{{.in = 2, .out = 4, .kernel = 1}},
                                          nn::Flatten{}, nn::Unflatten{{.dim = 1, .sizes = {2, 8}}},
                                          nn::Conv1d{{.in = 2, .out = 2, .kernel = 1}}},
                           line),
              "made of several channels");
  expect_none(spread_graph(SideBySide(), line), "made of several channels");
}

TEST_F(Equalize, Relu6BecomesReluWhereAsked) {
  const Shape shape{2, 3, 6, 6};
  const Graph graph =
      spread_graph(nn::Sequential{nn::Conv2d{{.in = 3, .out = 6, .kernel = 3}}, nn::ReLU6{},
                                  nn::Conv2d{{.in = 6, .out = 4, .kernel = 1}}, nn::Hardtanh{},
                                  nn::Conv2d{{.in = 4, .out = 4, .kernel = 1}}},
                   shape);
  Graph kept = graph.copy();
  EXPECT_TRUE(equalize(kept).pairs.empty());
  EXPECT_EQ(kept.to_string(), graph.to_string());
  Graph changed = graph.copy();
  const EqualizationReport report = equalize(changed, {.relu6_as_relu = true});
  ASSERT_EQ(report.pairs.size(), 1U);  // −1 … 1 is no ReLU
  EXPECT_EQ(report.pairs[0].replaced, std::vector<std::string>{"1"});
  EXPECT_LT(report.pairs[0].after, 1.0001);
  EXPECT_EQ(changed.node(changed.find_node("1")).call.op, &kRelu);
  // The same where nothing reaches 6, and only there.
  const Tensor x = Generator(4).normal(shape);
  EXPECT_LT(largest_difference(graph, changed, x * 0.01F), 1e-5);
  EXPECT_GT(largest_difference(graph, changed, x * 10.0F), 1e-2);
}

// A channel that gives nothing but its bias must not get a bias of millions, and what reads it must
// not keep weights of its own size beside smaller ones.
TEST_F(Equalize, ChannelsNextToNothingGoByTheirBias) {
  Graph graph = spread_graph(
      nn::Sequential{nn::Linear{{.in = 2, .out = 3}}, nn::Linear{{.in = 3, .out = 2}}}, {2, 2});
  const auto set = [&](const char* name, const Tensor& tensor) {
    graph.edit_value(graph.find_value(name)).tensor = tensor;
  };
  set("0.weight", Tensor::from({4, 1, 1e-9F, 1e-9F, 2, 1}, {3, 2}));
  set("0.bias", Tensor::from({0, 0.5F, 0}, {3}));
  set("1.weight", Tensor::from({1, 8, 0, 0, 8, 0}, {2, 3}));
  Graph all = graph.copy();
  const Graph before = graph.copy();
  EXPECT_EQ(equalize(graph).pairs[0].channels, 1);
  // S = 2; √(0.5 / 8) = 1/4; √(2 / 0.0008), since nobody reads the third.
  EXPECT_EQ(weight_of(graph, "0", 2).to_vector<float>(), (std::vector<float>{0, 2, 0}));
  EXPECT_EQ(weight_of(graph, "1").to_vector<float>(), (std::vector<float>{2, 2, 0, 0, 2, 0}));
  EXPECT_NEAR(weight_of(graph, "0").to_vector<float>()[4], 2 / std::sqrt(2 / 0.0008), 1e-6);
  EXPECT_LT(largest_difference(before, graph, Generator(4).normal({2, 2})), 1e-6);
  EXPECT_EQ(equalize(all, {.negligible = 0}).pairs[0].channels, 2);
  EXPECT_GT(weight_of(all, "0", 2).to_vector<float>()[1], 1000);
}

TEST_F(Equalize, MasksStayMasksAndStillTrain) {
  nn::Sequential net{nn::Linear{{.in = 4, .out = 8}}, nn::ReLU{}, nn::Linear{{.in = 8, .out = 2}}};
  Generator generator(2);
  initialize(net, generator);
  prune::l1_unstructured(net, "0.weight", 0.5);
  Graph graph = trace(net, Tensor::zeros({2, 4})).copy();
  const std::vector<float> before = weight_of(graph, "0").to_vector<float>();
  const auto parameters = graph.parameters();
  equalize(graph);
  const std::vector<float> after = weight_of(graph, "0").to_vector<float>();
  int zeros = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i] == 0, after[i] == 0) << i;
    zeros += after[i] == 0 ? 1 : 0;
  }
  EXPECT_EQ(zeros, 16);
  EXPECT_EQ(graph.parameters().size(), parameters.size());
  sum(graph(generator.normal({3, 4}))).backward();
  for (const Tensor& p : graph.parameters()) EXPECT_TRUE(p.grad().defined());
}

// The paper's point: one scale for a weight of unlike channels loses most of them.
TEST_F(Equalize, WeightsWithOneScaleLoseLess) {
  const Shape shape{8, 3, 8, 8};
  const Graph graph =
      spread_graph(nn::Sequential{nn::Conv2d{{.in = 3, .out = 12, .kernel = 3}}, nn::ReLU{},
                                  nn::Conv2d{{.in = 12, .out = 12, .kernel = 3, .groups = 12}},
                                  nn::ReLU{}, nn::Conv2d{{.in = 12, .out = 8, .kernel = 1}}},
                   shape);
  const Tensor x = Generator(4).normal(shape);
  const auto noise = [&](const Graph& given) {
    QConfig config = QConfig::portable();
    config.weight_granularity = Granularity::per_tensor;
    config.observer = Observer::min_max;
    Graph prepared = prepare(given, config);
    prepared(x);
    DifferenceMeter meter;
    Graph reference = graph.copy(), integer = convert(prepared).graph;
    meter.add(infer_with(reference, x), infer_with(integer, x));
    return meter.result("").sqnr_db;
  };
  Graph equalized = graph.copy();
  equalize(equalized);
  EXPECT_GT(noise(equalized), noise(graph) + 6);
}

TEST_F(Equalize, RefusalsLeaveTheGraph) {
  test::OneLinear net(true);
  Graph graph = graph_of(net, Tensor::zeros({2, 40}));
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words, Graph& given,
                          const EqualizeOptions& options = {}) {
    const std::string before = given.to_string();
    expect_error(code, words, [&] { equalize(given, options); });
    EXPECT_EQ(given.to_string(), before);
  };
  expect(ErrorCode::invalid_argument, {"tolerance", "0"}, graph, {.tolerance = 0});
  expect(ErrorCode::invalid_argument, {"negligible", "1"}, graph, {.negligible = 1});
  expect(ErrorCode::invalid_argument, {"one round", "-3"}, graph, {.rounds = -3});
  Graph prepared = prepare(graph);
  expect(ErrorCode::invalid_state, {"equalize", "prepared or quantized already"}, prepared);
  Graph pair = spread_graph(
      nn::Sequential{nn::Linear{{.in = 2, .out = 2}}, nn::Linear{{.in = 2, .out = 2}}}, {2, 2});
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  pair.edit_value(pair.find_value("1.weight")).tensor = Tensor::from({1, kInfinity, 2, 3}, {2, 2});
  expect(ErrorCode::invalid_argument, {"1: ", "finite", "inf"}, pair);
}

TEST_F(Equalize, SaysWhereItStopped) {
  Graph graph =
      spread_graph(nn::Sequential{nn::Linear{{.in = 3, .out = 3}}, nn::Linear{{.in = 3, .out = 3}},
                                  nn::Linear{{.in = 3, .out = 3}}},
                   {2, 3});
  const EqualizationReport report = equalize(graph, {.rounds = 1});
  EXPECT_FALSE(report.converged);
  EXPECT_NE(to_string(report).find("stopped after 1 rounds"), std::string::npos);
}

}  // namespace
}  // namespace pare::quantize
