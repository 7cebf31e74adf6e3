// compare: values matched across folded batch norms, errors alone and added up, histograms.
#include "pare/quantize/compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
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
using test::look_inside;

const Shape kPictures{8, 3, 8, 8};

class CompareTest : public testing::Test {
 protected:
  CompareTest() { context().threads = 1; }
  ~CompareTest() override { context().threads = 0; }

  static std::vector<Tensors> batches(int count = 2) {
    Generator generator(3);
    std::vector<Tensors> all;
    for (int i = 0; i < count; ++i) all.push_back({generator.normal(kPictures)});
    return all;
  }
  static Graph branchy() {
    test::Branchy net;
    return graph_of(net, Tensor::zeros(kPictures));
  }
  static Graph quantized(const Graph& graph, const std::vector<Tensors>& data,
                         std::vector<std::string> exclude = {}) {
    QConfig config = QConfig::x86(Isa::avx512_vnni);
    config.weight_qmax = config.depthwise_weight_qmax = 7;
    config.exclude = std::move(exclude);
    Graph prepared = prepare(graph, config);
    const NoGrad no_grad;
    for (const Tensors& batch : data) prepared.run(batch);
    return convert(prepared).graph;
  }
  static const Comparison::Value& value(const Comparison& all, const std::string& name) {
    for (const Comparison::Value& line : all.values)
      if (line.name == name) return line;
    throw Error(ErrorCode::internal, "no value " + name);
  }
};

// A folded layer's value is its batch norm's, not that of the convolution before it.
TEST_F(CompareTest, MatchesAcrossFoldedBatchNorms) {
  Graph graph = branchy();
  const auto data = batches();
  Graph other = quantized(graph, data);
  const Comparison all = compare(graph, other, data);
  for (const std::string name : {"stem", "inner", "left", "right"}) {
    const std::string folded = name == "stem" || name == "inner" ? name + "_norm" : name;
    DifferenceMeter meter;
    for (const Tensors& batch : data)
      meter.add(*look_inside(graph, batch[0]).find(folded),
                *look_inside(other, batch[0]).find(name));
    EXPECT_NEAR(value(all, name).accumulated.sqnr_db, meter.result("").sqnr_db, 1e-3) << name;
    EXPECT_GT(value(all, name).accumulated.sqnr_db, 10) << name;
  }
  EXPECT_TRUE(all.unmatched.empty()) << all.unmatched.size();
  ASSERT_EQ(all.outputs.size(), 1U);
  EXPECT_EQ(all.outputs[0].sqnr_db, value(all, "fc").accumulated.sqnr_db);
  const std::string text = to_string(all);
  EXPECT_NE(text.find("alone dB"), std::string::npos);
  EXPECT_NE(text.find("stem"), std::string::npos);
}

// A layer alone: the error of its own weight and of rounding what it reads, whatever came before.
TEST_F(CompareTest, IsolatedErrorsAreThoseOfOneStep) {
  Graph graph = branchy();
  const auto data = batches();
  const Comparison all = compare(graph, quantized(graph, data), data);
  // In the first layer there is nothing to add up.
  EXPECT_EQ(value(all, "stem").isolated->sqnr_db, value(all, "stem").accumulated.sqnr_db);
  // What lies deeper suffers less alone, and what is computed of floats not at all.
  for (const char* name : {"inner", "left", "right"})
    EXPECT_GT(value(all, name).isolated->sqnr_db, value(all, name).accumulated.sqnr_db + 1) << name;
  EXPECT_GT(value(all, "relu").isolated->sqnr_db, 120);

  // With only that layer quantized its error comes from nowhere else.
  const std::vector<std::string> names{"stem", "inner", "left", "right", "fc"};
  for (const std::string& name : names) {
    std::vector<std::string> others;
    std::copy_if(names.begin(), names.end(), std::back_inserter(others),
                 [&](const std::string& other) { return other != name; });
    const Comparison one = compare(graph, quantized(graph, data, others), data);
    EXPECT_NEAR(value(one, name).accumulated.sqnr_db, value(all, name).isolated->sqnr_db, 0.5)
        << name;
  }
}

TEST_F(CompareTest, HistogramsCountEveryValueOfBoth) {
  Graph graph = branchy();
  const auto data = batches();
  Graph other = quantized(graph, data);
  const Comparison all = compare(graph, other, data, {.isolated = false, .histogram_bins = 16});
  for (const Comparison::Value& line : all.values) {
    EXPECT_FALSE(line.isolated.has_value());
    ASSERT_TRUE(line.histogram.has_value()) << line.name;
    const ValueHistogram& h = *line.histogram;
    ASSERT_EQ(h.edges.size(), 17U);
    EXPECT_TRUE(std::is_sorted(h.edges.begin(), h.edges.end()));
    for (const auto* counts : {&h.reference, &h.other})
      EXPECT_EQ(std::accumulate(counts->begin(), counts->end(), std::int64_t{0}),
                line.accumulated.elements)
          << line.name;
  }
  // Counted by hand, in double.
  const ValueHistogram& h = *value(all, "fc").histogram;
  std::vector<std::int64_t> expected(16, 0);
  for (const Tensors& batch : data)
    for (const float v : infer_with(graph, batch[0]).to_vector<float>())
      for (std::size_t bin = 0; bin < 16; ++bin)
        if (static_cast<double>(v) >= h.edges[bin] &&
            (static_cast<double>(v) < h.edges[bin + 1] || bin == 15)) {
          ++expected[bin];
          break;
        }
  EXPECT_EQ(h.reference, expected);

  ASSERT_EQ(all.weights.size(), 5U);
  for (const Comparison::Weight& weight : all.weights) {
    const ValueHistogram& counts = *weight.histogram;
    EXPECT_EQ(std::accumulate(counts.other.begin(), counts.other.end(), std::int64_t{0}),
              weight.difference.elements);
    EXPECT_GT(weight.difference.sqnr_db, 10) << weight.layer;
    EXPECT_LT(weight.difference.sqnr_db, 40) << weight.layer;
  }
}

TEST_F(CompareTest, EqualGraphsAndValuesThatAreGone) {
  const Graph graph = branchy();
  const auto data = batches(1);
  const Comparison same = compare(graph, graph, data, {.histogram_bins = 3});
  for (const Comparison::Value& line : same.values) {
    EXPECT_EQ(line.accumulated.sqnr_db, INFINITY) << line.name;
    EXPECT_EQ(line.isolated->sqnr_db, INFINITY) << line.name;
    EXPECT_EQ(line.histogram->reference, line.histogram->other) << line.name;
  }
  Graph renamed = graph.copy();
  renamed.edit_value(renamed.find_value("relu")).name = "another";
  const Comparison all = compare(graph, renamed, data);
  EXPECT_EQ(all.unmatched, std::vector<std::string>{"relu"});
  EXPECT_EQ(value(all, "inner").isolated->sqnr_db, INFINITY);
}

/// An LSTM in both directions, with projections: six weights.
struct TwoWays : nn::Module {
  static nn::RecurrentOptions options() {
    nn::RecurrentOptions o;
    o.input_size = 5;
    o.hidden_size = 6;
    o.batch_first = true;
    o.bidirectional = true;
    o.proj_size = 4;
    return o;
  }
  nn::LSTM layer{options()};
  void members(nn::Members& m) override { m("layer", layer); }
  Tensor forward(const Tensor& x) override { return layer(x); }
};

TEST_F(CompareTest, AllWeightsOfARecurrentLayerCount) {
  TwoWays net;
  const Tensor x = Generator(3).normal({4, 7, 5});
  const Graph graph = graph_of(net, x);
  const std::vector<Tensors> data{{x}};
  std::int64_t elements = 0;
  for (const char* name :
       {"layer.weight_ih_l0", "layer.weight_hh_l0", "layer.weight_hr_l0",
        "layer.weight_ih_l0_reverse", "layer.weight_hh_l0_reverse", "layer.weight_hr_l0_reverse"}) {
    Graph other = graph.copy();
    Tensor& weight = other.edit_value(other.find_value(name)).tensor;
    weight = weight.clone();
    weight.mutable_data<float>()[7] += 0.25F;
    elements += weight.elements();
    const Comparison all = compare(graph, other, data, {.histogram_bins = 8});
    ASSERT_EQ(all.weights.size(), 1U);
    EXPECT_NEAR(all.weights[0].difference.max_abs, 0.25, 1e-6) << name;
    EXPECT_LT(all.weights[0].difference.sqnr_db, 60) << name;
    EXPECT_NE(all.weights[0].histogram->reference, all.weights[0].histogram->other) << name;
  }
  const Comparison same = compare(graph, graph, data, {.histogram_bins = 8});
  EXPECT_EQ(same.weights[0].difference.elements, elements);
  const std::vector<std::int64_t>& counts = same.weights[0].histogram->reference;
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), elements);
}

TEST_F(CompareTest, Refusals) {
  const Graph graph = branchy();
  const auto data = batches(1);
  expect_error(ErrorCode::invalid_argument, {"batch of data", "none"},
               [&] { compare(graph, graph, std::vector<Tensors>{}); });
  expect_error(ErrorCode::invalid_argument, {"histogram_bins", "-1"},
               [&] { compare(graph, graph, data, {.histogram_bins = -1}); });
  expect_error(ErrorCode::invalid_argument, {"histogram_bins", "1099511627776"},
               [&] { compare(graph, graph, data, {.histogram_bins = std::int64_t{1} << 40}); });
  Graph two = graph.copy();
  two.set_outputs({two.outputs()[0], two.find_value("relu")});
  expect_error(ErrorCode::invalid_argument, {"outputs", "1 and 2"},
               [&] { compare(graph, two, data); });
  Graph wide = graph.copy();
  wide.set_outputs({wide.find_value("relu")});
  wide.compact();
  expect_error(ErrorCode::shape_mismatch, {"one shape"}, [&] { compare(graph, wide, data); });
  expect_error(ErrorCode::shape_mismatch, {"[8, 4, 8, 8]"}, [&] {
    compare(graph, graph, std::vector<Tensors>{{Tensor::zeros({8, 4, 8, 8})}});
  });
}

}  // namespace
}  // namespace pare::quantize
