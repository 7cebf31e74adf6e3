// Absorption of high biases: the paper's formula, what the graph computes, what is left.
#include <gtest/gtest.h>

#include <algorithm>
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

std::vector<float> bias_of(const Graph& graph, const std::string& layer) {
  const Graph folded = fold_constants(graph.copy()).graph;
  return folded.value(folded.node(folded.find_node(layer)).inputs.at(2)).tensor.to_vector<float>();
}

double largest_difference(const Graph& a, const Graph& b, const Tensor& x) {
  Graph first = a.copy(), second = b.copy();
  const auto y = infer_with(first, x).to_vector<float>();
  const auto z = infer_with(second, x).to_vector<float>();
  EXPECT_EQ(y.size(), z.size());
  double most = 0;
  for (std::size_t i = 0; i < y.size(); ++i)
    most = std::max(most, std::fabs(static_cast<double>(y[i]) - static_cast<double>(z[i])));
  return most;
}

std::string left_of(const AbsorptionReport& report, const std::string& layer) {
  for (const PassReport::Line& line : report.left)
    if (line.node == layer) return line.text;
  return "not left";
}

class Absorb : public testing::Test {
 protected:
  Absorb() { context().threads = 1; }
  ~Absorb() override { context().threads = 0; }

  template <class Net> static Graph graph_of_net(Net net, const Shape& shape) {
    return graph_of(net, Tensor::zeros(shape));
  }
  static void set(Graph& graph, const char* name, const Tensor& tensor) {
    graph.edit_value(graph.find_value(name)).tensor = tensor;
  }
};

// c = max(0, beta − 3·|gamma|) through a ReLU; b1 − c, b2 + W2·c.
TEST_F(Absorb, TakesWhatABatchNormSaysIsAlwaysThere) {
  Graph graph = graph_of_net(
      nn::Sequential{nn::Linear{{.in = 2, .out = 3, .bias = false}},
                     nn::BatchNorm1d{{.features = 3}}, nn::ReLU{}, nn::Linear{{.in = 3, .out = 2}}},
      {2, 2});
  set(graph, "1.weight", Tensor::from({1, -0.5F, 0.25F}, {3}));
  set(graph, "1.bias", Tensor::from({5, 1, 2}, {3}));
  set(graph, "3.weight", Tensor::from({1, 10, 4, -2, 20, 8}, {2, 3}));
  const std::vector<float> second = bias_of(graph, "3");
  const std::vector<float> first = bias_of(fold_batch_norm(graph).graph, "0");
  const Graph before = graph.copy();
  const AbsorptionReport report = absorb_biases(graph);
  ASSERT_EQ(report.pairs.size(), 1U);
  EXPECT_EQ(report.pairs[0].channels, 2);  // 5 − 3, 1 − 1.5 < 0, 2 − 0.75
  EXPECT_EQ(report.pairs[0].largest, 2);
  const std::vector<float> now = bias_of(graph, "0"), next = bias_of(graph, "3");
  EXPECT_FLOAT_EQ(now[0], first[0] - 2);
  EXPECT_FLOAT_EQ(now[1], first[1]);
  EXPECT_FLOAT_EQ(now[2], first[2] - 1.25F);
  EXPECT_FLOAT_EQ(next[0], second[0] + 1 * 2 + 4 * 1.25F);
  EXPECT_FLOAT_EQ(next[1], second[1] - 2 * 2 + 8 * 1.25F);
  // The same where the results stay above c, and not where they do not.
  EXPECT_LT(largest_difference(before, graph, Generator(4).normal({8, 2}, 0, 0.1F)), 1e-5);
  EXPECT_GT(largest_difference(before, graph, Generator(4).normal({8, 2}, 0, 100)), 0.1);
}

// Without a ReLU the whole mean goes, through pooling and into groups, and nothing changes.
TEST_F(Absorb, TakesMeansOnDataWhereNothingBends) {
  const Shape shape{4, 3, 9, 9};
  Graph graph = graph_of_net(
      nn::Sequential{nn::Conv2d{{.in = 3, .out = 4, .kernel = 3}}, nn::MaxPool2d{{.kernel = 2}},
                     nn::Conv2d{{.in = 4, .out = 6, .kernel = 2, .groups = 2}},
                     nn::AvgPool2d{{.kernel = 2}}, nn::Flatten{}, nn::Linear{{.in = 6, .out = 2}}},
      shape);
  set(graph, "0.bias", Tensor::from({3, -40, 0.5F, 7}, {4}));
  const Graph before = graph.copy();
  Generator generator(5);
  const std::vector<Tensors> data{{generator.normal(shape)}, {generator.normal(shape)}};
  const AbsorptionReport report = absorb_biases(graph, {.data = Batches(data)});
  ASSERT_EQ(report.pairs.size(), 2U) << to_string(report);
  EXPECT_EQ(report.pairs[0].channels, 4);
  EXPECT_GT(report.pairs[0].largest, 39);
  EXPECT_NE(left_of(report, "5").find("output of the graph"), std::string::npos);
  EXPECT_LT(largest_difference(before, graph, generator.normal(shape)), 1e-4);
  // What the first layer gives has no mean any more.
  std::vector<double> mean(4, 0);
  for (const Tensors& batch : data) {
    const Tensor y = *test::look_inside(graph, batch[0]).find("0");
    for (std::int64_t c = 0; c < 4; ++c)
      mean[static_cast<std::size_t>(c)] += pare::mean(slice(y, 1, c, c + 1)).item();
  }
  for (const double m : mean) EXPECT_NEAR(m, 0, 1e-4);
}

// Equalization divides mean and deviation by S, and multiplies what reads them.
TEST_F(Absorb, CommutesWithEqualization) {
  const Shape shape{16, 4};
  Graph first = graph_of_net(
      nn::Sequential{nn::Linear{{.in = 4, .out = 6}}, nn::ReLU{}, nn::Linear{{.in = 6, .out = 3}}},
      shape);
  set(first, "0.bias", Tensor::from({9, 4, 6, 0, -5, 8}, {6}));
  const std::vector<Tensors> data{{Generator(5).normal(shape)}};
  Graph second = first.copy();
  EXPECT_GE(absorb_biases(first, {.data = Batches(data)}).pairs[0].channels, 3);
  equalize(first);
  equalize(second);
  absorb_biases(second, {.data = Batches(data)});
  for (const char* layer : {"0", "2"}) {
    const auto a = bias_of(first, layer), b = bias_of(second, layer);
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << layer << i;
  }
}

TEST_F(Absorb, LeavesWhatAShiftDoesNotPass) {
  const auto expect_left = [](Graph graph, const char* why) {
    const std::string before = graph.to_string();
    const std::vector<Tensors> data{{Generator(5).normal({2, 2, 6, 6})}};
    const AbsorptionReport report = absorb_biases(graph, {.data = Batches(data)});
    EXPECT_TRUE(report.pairs.empty());
    EXPECT_NE(left_of(report, "0").find(why), std::string::npos) << to_string(report);
    EXPECT_EQ(graph.to_string(), before);
  };
  const Shape shape{2, 2, 6, 6};
  const nn::Conv2d first{{.in = 2, .out = 3, .kernel = 1}};
  const nn::Conv2d last{{.in = 3, .out = 2, .kernel = 1}};
  expect_left(
      graph_of_net(nn::Sequential{first, nn::ReLU{},
                                  nn::Conv2d{{.in = 3, .out = 2, .kernel = 3, .padding = 1}}},
                   shape),
      "padding of '2'");
  expect_left(graph_of_net(nn::Sequential{first, nn::ZeroPad2d{{.padding = 1}}, last}, shape),
              "(pad) does not keep shifts");
  expect_left(
      graph_of_net(nn::Sequential{first, nn::AvgPool2d{{.kernel = 3, .padding = 1}}, last}, shape),
      "(average_pool2d) does not keep shifts");
  expect_left(graph_of_net(nn::Sequential{first, nn::ReLU6{}, last}, shape), "(relu6)");
  expect_left(
      graph_of_net(nn::Sequential{first, nn::ConvTranspose2d{{.in = 3, .out = 2, .kernel = 2}}},
                   shape),
      "padding of '1'");
  Graph plain = graph_of_net(nn::Sequential{first, nn::ReLU{}, last}, shape);
  EXPECT_NE(left_of(absorb_biases(plain), "0").find("no batch norm"), std::string::npos);
}

TEST_F(Absorb, RefusalsLeaveTheGraph) {
  test::OneLinear net(true);
  Graph graph = graph_of(net, Tensor::zeros({2, 40}));
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words, Graph& given,
                          const AbsorptionOptions& options = {}) {
    const std::string before = given.to_string();
    expect_error(code, words, [&] { absorb_biases(given, options); });
    EXPECT_EQ(given.to_string(), before);
  };
  expect(ErrorCode::invalid_argument, {"deviations", "-1"}, graph, {.deviations = -1});
  expect(ErrorCode::invalid_argument, {"one batch", "none"}, graph,
         {.data = Batches(std::vector<Tensors>{})});
  Graph prepared = prepare(graph);
  expect(ErrorCode::invalid_state, {"absorb_biases", "prepared or quantized"}, prepared);
  Graph pair = graph_of_net(
      nn::Sequential{nn::Linear{{.in = 2, .out = 2}}, nn::Linear{{.in = 2, .out = 2}}}, {2, 2});
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  expect(ErrorCode::invalid_argument, {"absorb_biases: input", "got nan"}, pair,
         {.data = Batches(std::vector<Tensors>{{Tensor::from({1, kNan}, {1, 2})}})});
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  expect(ErrorCode::invalid_argument, {"0: ", "finite"}, pair,
         {.data = Batches(std::vector<Tensors>{{Tensor::from({1, -kInfinity}, {1, 2})}})});
}

}  // namespace
}  // namespace pare::quantize
