// SmoothQuant: the graph computes what it did, factors are the paper's, and outliers cost less.
#include "pare/quantize/smooth.h"

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
using test::infer_with;

constexpr std::int64_t kWidth = 32;

// layer norm → two layers beside each other; rms norm → layer → relu → layer → layer; gelu → factor
// per channel → layer; gelu → layer.
struct Block : nn::Module {
  nn::LayerNorm norm{{.shape = {kWidth}}};
  nn::Linear left{{.in = kWidth, .out = 24}};
  nn::Linear right{{.in = kWidth, .out = 24, .bias = false}};
  nn::RMSNorm second{{.shape = {24}}};
  nn::Linear up{{.in = 24, .out = 40}};
  nn::Linear down{{.in = 40, .out = 16}};
  nn::Linear next{{.in = 16, .out = 12}};
  nn::Parameter factor{Shape{12}};
  nn::Linear scaled{{.in = 12, .out = 12}};
  nn::Linear last{{.in = 12, .out = 6}};
  void members(nn::Members& m) override {
    m("norm", norm)("left", left)("right", right)("second", second)("up", up)("down", down);
    m("next", next)("factor", factor)("scaled", scaled)("last", last);
  }
  void reset(Generator& generator) override { factor.set(generator.uniform({12}, 0.5F, 2)); }
  Tensor forward(const Tensor& x) override {
    const Tensor a = norm(x), b = left(a), c = right(a);
    const Tensor d = next(down(relu(up(second(add(b, c))))));
    return last(gelu(scaled(mul(gelu(d), factor))));
  }
};

class SmoothTest : public testing::Test {
 protected:
  SmoothTest() { context().threads = 1; }
  ~SmoothTest() override { context().threads = 0; }

  // Two channels of the norm are 30 times as large as the others, and the weights of them smaller.
  static Graph block() {
    Block net;
    Generator generator(1);
    initialize(net, generator);
    Tensor weight = generator.uniform({kWidth}, 0.5F, 1.5F);
    Tensor first = generator.normal({24, kWidth}, 0, 0.2F);
    Tensor second = generator.normal({24, kWidth}, 0, 0.2F);
    for (const int c : {3, 11}) {
      weight.mutable_data<float>()[c] *= 30;
      for (Tensor* w : {&first, &second})
        for (int o = 0; o < 24; ++o) w->mutable_data<float>()[o * kWidth + c] /= 30;
    }
    net.norm.weight.set(weight);
    net.norm.bias.set(generator.normal({kWidth}, 0, 0.1F));
    net.left.weight.set(first);
    net.right.weight.set(second);
    return trace(net, Tensor::zeros({4, kWidth})).copy();
  }
  static std::vector<Tensors> batches(std::uint64_t seed = 3) {
    Generator generator(seed);
    std::vector<Tensors> all;
    for (int i = 0; i < 4; ++i) all.push_back({generator.normal({256, kWidth})});
    return all;
  }
  static double sqnr(const Graph& reference, const Graph& other, const std::vector<Tensors>& data) {
    GraphComparison comparison(reference, other);
    for (const Tensors& batch : data) comparison.add(batch);
    return comparison.result().outputs.at(0).sqnr_db;
  }
  static double int8_sqnr(const Graph& reference, const Graph& graph,
                          const std::vector<Tensors>& data) {
    Graph prepared = prepare(graph, QConfig::x86(Isa::avx512_vnni));
    const NoGrad no_grad;
    for (const Tensors& batch : data) prepared.run(batch);
    return sqnr(reference, convert(prepared).graph, batches(7));
  }
  static const SmoothReport::Place& place(const SmoothReport& report, const std::string& layer) {
    for (const SmoothReport::Place& line : report.places)
      if (line.layers[0] == layer) return line;
    throw Error(ErrorCode::internal, "no place before " + layer);
  }
  static std::string why(const SmoothReport& report, const std::string& layer) {
    for (const PassReport::Line& line : report.left)
      if (line.node == layer) return line.text;
    return "";
  }
};

TEST_F(SmoothTest, TheGraphComputesWhatItDid) {
  const Graph graph = block();
  for (const SmoothOptions& options :
       {SmoothOptions{}, SmoothOptions{.alpha = 0.9}, SmoothOptions{.steps = 5}}) {
    Graph changed = graph.copy();
    const SmoothReport report = smooth(changed, batches(), options);
    EXPECT_EQ(report.places.size(), 5U) << to_string(report);
    EXPECT_GT(sqnr(graph, changed, batches(5)), 110);
    EXPECT_LT(sqnr(graph, changed, batches(5)), INFINITY);
    changed.verify();
  }
}

// Written out in double for the two layers that read the layer norm's result.
TEST_F(SmoothTest, FactorsAreThePapers) {
  Graph graph = block();
  const auto data = batches();
  const auto numbers = [&](const char* name) {
    return graph.value(graph.find_value(name)).tensor.to_vector<float>();
  };
  const auto w1 = numbers("left.weight"), w2 = numbers("right.weight");
  std::vector<double> x(kWidth, 0), expected;
  for (const Tensors& batch : data) {
    const auto seen = test::look_inside(graph, batch[0]).find("norm")->to_vector<float>();
    for (std::size_t i = 0; i < seen.size(); ++i)
      x[i % kWidth] = std::max(x[i % kWidth], static_cast<double>(std::fabs(seen[i])));
  }
  for (std::size_t j = 0; j < kWidth; ++j) {
    double w = 0;
    for (const auto* weight : {&w1, &w2})
      for (std::size_t o = 0; o < 24; ++o)
        w = std::max(w, static_cast<double>(std::fabs((*weight)[o * kWidth + j])));
    expected.push_back(std::pow(x[j], 0.7) / std::pow(w, 0.3));
  }
  Graph changed = graph.copy();
  const SmoothReport report = smooth(changed, data, {.alpha = 0.7});
  const SmoothReport::Place& line = place(report, "left");
  EXPECT_EQ(line.producer, "norm");
  EXPECT_EQ(line.layers, (std::vector<std::string>{"left", "right"}));
  EXPECT_EQ(line.alpha, 0.7);
  const auto [smallest, largest] = std::minmax_element(expected.begin(), expected.end());
  EXPECT_NEAR(line.smallest / *smallest, 1, 1e-6);
  EXPECT_NEAR(line.largest / *largest, 1, 1e-6);
  EXPECT_GT(line.spread_before, 8);
  EXPECT_LT(line.spread_after, line.spread_before / 2);

  const Graph plain = fold_constants(changed).graph;
  const int n = plain.find_node("norm");
  const auto& inputs = plain.node(n).inputs;
  const auto weight = plain.value(inputs[1]).tensor.to_vector<float>();
  const auto bias = plain.value(inputs[2]).tensor.to_vector<float>();
  const auto before = numbers("norm.weight"), bias_before = numbers("norm.bias");
  const auto wide = plain.value(plain.node(plain.find_node("right")).inputs[1]).tensor;
  for (std::size_t j = 0; j < kWidth; ++j) {
    EXPECT_NEAR(weight[j], before[j] / expected[j], 1e-5 * std::fabs(before[j] / expected[j]));
    EXPECT_NEAR(bias[j], bias_before[j] / expected[j], 1e-5);
    EXPECT_NEAR(wide.to_vector<float>()[j], w2[j] * expected[j], 1e-5 * expected[j]);
  }
}

TEST_F(SmoothTest, OutliersCostLess) {
  const Graph graph = block();
  const auto data = batches();
  Graph half = graph.copy(), searched = graph.copy();
  smooth(half, data);
  smooth(searched, data, {.steps = 10});
  const double before = int8_sqnr(graph, graph, data);
  EXPECT_GT(int8_sqnr(graph, half, data), before + 4);
  EXPECT_GT(int8_sqnr(graph, searched, data), before + 4);
}

TEST_F(SmoothTest, NamesWhatItDividesAndWhatNot) {
  Graph graph = block();
  const SmoothReport report = smooth(graph, batches(), {.exclude = {"down"}});
  EXPECT_EQ(place(report, "up").producer, "second");
  EXPECT_EQ(place(report, "next").producer, "down");
  EXPECT_EQ(place(report, "scaled").producer, "mul");
  EXPECT_EQ(report.places.size(), 4U) << to_string(report);
  EXPECT_EQ(why(report, "down"), "excluded by name");
  EXPECT_NE(why(report, "last").find("(gelu)"), std::string::npos) << why(report, "last");
  EXPECT_NE(to_string(report).find("left: "), std::string::npos);
  Graph other = block();
  other.set_outputs({other.outputs()[0], other.find_value("norm")});
  EXPECT_NE(why(smooth(other, batches()), "left").find("output"), std::string::npos);
  test::OneLinear one(true);
  Graph alone = test::graph_of(one, Tensor::zeros({4, 40}));
  const SmoothReport none = smooth(alone, std::vector<Tensors>{{Generator(1).normal({4, 40})}});
  EXPECT_TRUE(none.places.empty());
  EXPECT_NE(why(none, "fc").find("graph's"), std::string::npos);
}

TEST_F(SmoothTest, ConvolutionsIfAskedFor) {
  test::Branchy net;
  const Shape pictures{8, 3, 8, 8};
  const Graph graph = test::graph_of(net, Tensor::zeros(pictures));
  const std::vector<Tensors> data{{Generator(3).normal(pictures)}};
  Graph changed = graph.copy();
  EXPECT_EQ(why(smooth(changed, data), "left").substr(0, 12), "convolutions");
  changed = graph.copy();
  const SmoothReport report = smooth(changed, data, {.steps = 4, .convolutions = true});
  ASSERT_FALSE(report.places.empty()) << to_string(report);
  EXPECT_GT(sqnr(graph, changed, {{Generator(4).normal(pictures)}}), 100);
}

TEST_F(SmoothTest, RefusalsLeaveTheGraphAlone) {
  Graph graph = block();
  const auto data = batches();
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words,
                          const Batches& calibration, const SmoothOptions& options = {}) {
    const Graph before = graph.copy();
    expect_error(code, words, [&] { smooth(graph, calibration, options); });
    EXPECT_EQ(graph.to_string(), before.to_string());
  };
  expect(ErrorCode::invalid_argument, {"calibration data", "none"}, std::vector<Tensors>{});
  expect(ErrorCode::invalid_argument, {"alpha", "1.5"}, data, {.alpha = 1.5});
  expect(ErrorCode::invalid_argument, {"steps", "-1"}, data, {.steps = -1});
  expect(ErrorCode::invalid_argument, {"'lefft'", "'left'"}, data, {.exclude = {"lefft"}});
  expect(ErrorCode::shape_mismatch, {"[16, 31]"},
         std::vector<Tensors>{{Generator(1).normal({16, 31})}});
  Tensor bad = data[0][0].clone();
  bad.mutable_data<float>()[5] = std::numeric_limits<float>::infinity();
  expect(ErrorCode::invalid_argument, {"smooth: input", "finite values, got inf"},
         std::vector<Tensors>{{bad}});
  // Also where there is no place to measure.
  test::OneLinear none(false);
  Graph alone = graph_of(none, Tensor::zeros({2, 40}));
  Tensor nan = Tensor::zeros({2, 40});
  nan.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorCode::invalid_argument, {"smooth: input", "nan at element 3"},
               [&] { smooth(alone, std::vector<Tensors>{{nan}}); });
  expect_error(ErrorCode::invalid_argument, {"absorb_biases: input", "nan at element 3"},
               [&] { absorb_biases(alone, {.data = Batches(std::vector<Tensors>{{nan}})}); });
  // What becomes infinite on the way names the layer, and nothing else.
  bad.mutable_data<float>()[5] = -std::numeric_limits<float>::infinity();
  try {
    smooth(graph, std::vector<Tensors>{{bad}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("left: expected finite inputs of the layer"), 0U)
        << error.what();
  }
  Graph prepared = prepare(graph);
  expect_error(ErrorCode::invalid_state, {"prepared or quantized"},
               [&] { smooth(prepared, data); });
}

}  // namespace
}  // namespace pare::quantize
