// Where Q and DQ stand: whole groups, no islands, shared ranges, and a report of every node.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "expect_error.h"
#include "graph/integer_call.h"
#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

const Shape kShape{4, 3, 8, 8};

Graph branchy() {
  test::Branchy net;
  return test::graph_of(net, Tensor::zeros(kShape));
}

Converted quantized(const Graph& graph, const QConfig& config, bool training) {
  Graph prepared = training ? prepare_qat(graph, config) : prepare(graph, config);
  const NoGrad no_grad;
  for (std::uint64_t k = 1; k <= 2; ++k) prepared(Generator(k).normal(kShape));
  return convert(prepared);
}

std::map<std::string, const Report::Node*> lines_of(const Report& report) {
  std::map<std::string, const Report::Node*> lines;
  for (const Report::Node& node : report.nodes) {
    EXPECT_EQ(lines.count(node.name), 0U) << node.name << " is there twice";
    lines[node.name] = &node;
  }
  return lines;
}

const Graph::Node* producer_of(const Graph& graph, int value) {
  const int node = graph.value(value).producer;
  return node < 0 ? nullptr : &graph.node(node);
}

/// A dequantize_linear of what a quantize_linear gave, not of a constant.
bool dequantizes_activation(const Graph& graph, const Graph::Node& node) {
  if (node.call.op != &kDequantizeLinear) return false;
  const Graph::Node* before = producer_of(graph, node.inputs[0]);
  return before && before->call.op == &kQuantizeLinear;
}

QConfig config_without(const char* name) {
  QConfig config = QConfig::portable();
  if (*name) config.exclude = {name};
  return config;
}

TEST(Placement, TheReportHasEveryNodeOnceAndAReasonForEachFloat) {
  const Graph graph = branchy();
  for (const bool training : {false, true})
    for (const char* without : {"", "inner", "left", "concat*"}) {
      const Converted converted = quantized(graph, config_without(without), training);
      const auto lines = lines_of(converted.report);
      for (const Graph::Node& node : graph.nodes()) {
        if (node.call.op == &kDropout) continue;  // none is left in inference
        EXPECT_EQ(lines.count(node.name), 1U) << node.name << " without '" << without << "'";
      }
      for (const auto& [name, line] : lines)
        if (!line->quantized) {
          EXPECT_FALSE(line->note.empty()) << name;
        }
    }
}

TEST(Placement, LeavesNoIslands) {
  const Graph graph = branchy();
  for (const bool training : {false, true})
    for (const char* without : {"", "inner", "left", "concat*"}) {
      const Converted converted = quantized(graph, config_without(without), training);
      const auto lines = lines_of(converted.report);
      const Graph& int8 = converted.graph;
      for (std::size_t n = 0; n < int8.nodes().size(); ++n) {
        const Graph::Node& node = int8.node(static_cast<int>(n));
        const auto line = lines.find(node.name);
        const bool is_quantized = line != lines.end() && line->second->quantized;
        // Every layer that the report says runs in integers does.
        const bool layer = node.call.op == &kConv2d || node.call.op == &kLinear;
        if (layer) {
          EXPECT_EQ(integer_call(int8, static_cast<int>(n)).has_value(), is_quantized)
              << node.name << " without '" << without << "'";
        }
        // Nothing is rounded for float ops alone (beside a quantized one they read the same).
        if (!dequantizes_activation(int8, node)) continue;
        bool read_as_codes = false;
        for (const int reader : int8.readers(node.outputs[0])) {
          const Graph::Node& reads = int8.node(reader);
          const auto of_reader = lines.find(reads.name);
          read_as_codes = read_as_codes || reads.call.op == &kQuantizeLinear ||
                          (of_reader != lines.end() && of_reader->second->quantized);
        }
        EXPECT_TRUE(read_as_codes) << node.name << " without '" << without << "'";
      }
    }
}

TEST(Placement, KeepsLayersWithTheirNormsSumsAndActivationsWhole) {
  for (const bool training : {false, true}) {
    const Graph int8 = quantized(branchy(), QConfig::portable(), training).graph;
    int sums = 0;
    for (const Graph::Node& node : int8.nodes()) {
      EXPECT_NE(node.call.op, &kBatchNorm);
      // What follows a layer is its activation, the sum with its residual, or rounding.
      if (node.call.op == &kConv2d)
        for (const int reader : int8.readers(node.outputs[0])) {
          const OpDef* op = int8.node(reader).call.op;
          EXPECT_TRUE(op == &kRelu || op == &kRelu6 || op == &kAdd || op == &kQuantizeLinear)
              << node.name << " is read by " << op->name;
        }
      if (node.call.op == &kAdd) {
        ++sums;
        const std::vector<int> readers = int8.readers(node.outputs[0]);
        ASSERT_EQ(readers.size(), 1U);
        EXPECT_EQ(int8.node(readers[0]).call.op, &kRelu);
      }
    }
    EXPECT_EQ(sums, 1);
  }
}

TEST(Placement, MovementAndConcatHaveTheirInputsScales) {
  const auto scale_of = [](const Graph& graph, const Graph::Node& node) {
    return std::pair(graph.value(node.inputs[1]).tensor.item(),
                     graph.value(node.inputs[2]).tensor.item());
  };
  for (const bool training : {false, true}) {
    const Graph int8 = quantized(branchy(), QConfig::portable(), training).graph;
    int moved = 0;
    for (const Graph::Node& node : int8.nodes()) {
      if (node.call.op != &kConcat && node.call.op != &kMaxPool2d) continue;
      std::set<std::pair<double, double>> scales;
      for (const int v : node.inputs) {
        const Graph::Node* before = producer_of(int8, v);
        ASSERT_TRUE(before && dequantizes_activation(int8, *before)) << node.name;
        scales.insert(scale_of(int8, *before));
      }
      for (const int reader : int8.readers(node.outputs[0])) {
        ASSERT_EQ(int8.node(reader).call.op, &kQuantizeLinear) << node.name;
        scales.insert(scale_of(int8, int8.node(reader)));
      }
      EXPECT_EQ(scales.size(), 1U) << node.name;
      ++moved;
    }
    EXPECT_EQ(moved, 2);
  }
}

/// What an exporter makes of an LSTM's step: h and c are parts of one input [N, 2, 8].
struct OneState : nn::Module {
  nn::Linear gate{{.in = 8, .out = 8}};
  nn::Linear out{{.in = 8, .out = 4}};
  void members(nn::Members& m) override { m("gate", gate)("out", out); }
  Tensor forward(const Tensor& state) override {
    const Tensor h = reshape(slice(state, 1, 0, 1), {-1, 8});
    const Tensor c = reshape(slice(state, 1, 1, 2), {-1, 8});
    return out(tanh(mul(sigmoid(gate(h)), c)));
  }
};

/// x read as it is, from its left half and from its right half, as asked for.
struct Halves : nn::Module {
  Halves(bool whole, bool left, bool right) : whole_(whole), left_(left), right_(right) {}
  nn::Linear of_all{{.in = 8, .out = 4}};
  nn::Linear of_left{{.in = 4, .out = 4}};
  nn::Linear of_right{{.in = 4, .out = 4}};
  void members(nn::Members& m) override {
    if (whole_) m("of_all", of_all);
    if (left_) m("of_left", of_left);
    if (right_) m("of_right", of_right);
  }
  Tensor forward(const Tensor& x) override {
    Tensors sums;
    if (whole_) sums.push_back(of_all(x));
    if (left_) sums.push_back(of_left(slice(x, 1, 0, 4)));
    if (right_) sums.push_back(of_right(slice(x, 1, 4, 8)));
    return concat(sums, 1);
  }

 private:
  bool whole_, left_, right_;
};

/// Pixels made channels: the four parts of x come together again.
struct Focus : nn::Module {
  nn::Conv2d conv{{.in = 12, .out = 4, .kernel = 1}};
  void members(nn::Members& m) override { m("conv", conv); }
  Tensor forward(const Tensor& x) override {
    Tensors parts;
    for (const std::int64_t row : {0, 1})
      for (const std::int64_t column : {0, 1})
        parts.push_back(slice(slice(x, 2, row, 8, 2), 3, column, 8, 2));
    return conv(concat(parts, 1));
  }
};

/// Rows of 8, of which the last four are 500 times larger.
Tensor uneven(std::uint64_t seed, const Shape& shape) {
  Tensor x = Generator(seed).uniform(shape, -1, 1);
  float* values = x.mutable_data<float>();
  for (std::int64_t i = 0; i < x.elements(); ++i)
    if (i % 8 >= 4) values[i] *= 500;
  return x;
}

/// The largest value seen by each observer.
std::vector<float> largest_seen(const Graph& prepared) {
  std::vector<float> largest;
  for (const ActivationRange& r : observed_ranges(prepared))
    largest.push_back(std::max(std::fabs(r.seen_min), std::fabs(r.seen_max)));
  return largest;
}

TEST(Placement, PartsOfAnInputHaveRangesOfTheirOwn) {
  OneState net;
  const Graph graph = test::graph_of(net, Tensor::zeros({4, 2, 8}));
  Tensor state = Generator(2).uniform({64, 2, 8}, -1, 1);
  float* values = state.mutable_data<float>();
  for (std::int64_t i = 0; i < state.elements(); ++i)
    if (i / 8 % 2 == 1) values[i] *= 500;
  for (const bool training : {false, true}) {
    Graph prepared = training ? prepare_qat(graph) : prepare(graph);
    {
      const NoGrad no_grad;
      prepared(state);
    }
    // h has a range, and so has what tanh gives; c, which only mul reads, has none.
    for (const float seen : largest_seen(prepared)) EXPECT_LE(seen, 1);
    const Converted converted = convert(prepared);
    const auto lines = lines_of(converted.report);
    int slices = 0;
    for (const Graph::Node& node : graph.nodes()) {
      if (node.call.op == &kLinear) {
        EXPECT_TRUE(lines.at(node.name)->quantized);
      }
      if (node.call.op == &kMul) {
        EXPECT_FALSE(lines.at(node.name)->quantized);
      }
      if (node.call.op != &kSlice) continue;
      EXPECT_EQ(lines.at(node.name)->note, "parts of an input have ranges of their own");
      ++slices;
    }
    EXPECT_EQ(slices, 2);
    // One range over h and c would leave h one code, and the gates none of it.
    const NoGrad no_grad;
    const Tensor expected = graph.copy()(state), found = converted.graph.copy()(state);
    double signal = 0, noise = 0;
    for (std::int64_t i = 0; i < expected.elements(); ++i) {
      const double e = expected.data<float>()[i], d = found.data<float>()[i] - e;
      signal += e * e;
      noise += d * d;
    }
    EXPECT_GT(10 * std::log10(signal / noise), 25) << training;
  }
}

TEST(Placement, AnInputIsRoundedBehindSlicesWhereNothingReadsItWhole) {
  const Tensor x = uneven(3, {32, 8});
  const auto seen_by = [&](bool whole, bool left, bool right) {
    Halves net(whole, left, right);
    const Graph graph = test::graph_of(net, Tensor::zeros({4, 8}));
    QConfig config = QConfig::portable();
    config.observer = Observer::min_max;
    Graph prepared = prepare(graph, config);
    const NoGrad no_grad;
    prepared(x);
    std::vector<float> largest = largest_seen(prepared);
    std::ranges::sort(largest);
    return largest;
  };
  const auto largest_of = [](const Tensor& t) {
    float largest = 0;
    for (const float v : t.to_vector<float>()) largest = std::max(largest, std::fabs(v));
    return largest;
  };
  const float left = largest_of(slice(x, 1, 0, 4)), right = largest_of(slice(x, 1, 4, 8));
  EXPECT_EQ(seen_by(false, true, true), (std::vector<float>{left, right}));
  // What no part takes needs no range.
  EXPECT_EQ(seen_by(false, true, false), std::vector<float>{left});
  // Codes of the whole are there anyway, and moving them costs nothing.
  EXPECT_EQ(seen_by(true, true, true), std::vector<float>{right});
}

/// Halves of the input through layers, the second one transposed before it is taken.
struct Parts : nn::Module {
  nn::Linear left{{.in = 4, .out = 3}};
  nn::Linear right{{.in = 4, .out = 3}};
  void members(nn::Members& m) override { m("left", left)("right", right); }
  Tensor forward(const Tensor& x) override {
    const Tensor a = slice(x, 1, 0, 4);
    const Tensor b = reshape(slice(transpose(x, {1, 0}), 0, 4, 8), {4, -1});
    return add(left(a), right(transpose(b, {1, 0})));
  }
};

TEST(Placement, PartsOfAnInputHaveItsOverridesWhereTheyHaveNone) {
  Parts net;
  const Graph graph = test::graph_of(net, Tensor::zeros({6, 8}));
  const auto ranges = [&](std::vector<OpOverride> overrides, bool training = false) {
    QConfig config = QConfig::portable();
    config.observer = Observer::min_max;
    config.overrides = std::move(overrides);
    Graph prepared = training ? prepare_qat(graph, config) : prepare(graph, config);
    {
      const NoGrad no_grad;
      prepared(uneven(3, {6, 8}));
    }
    std::vector<std::pair<double, std::int64_t>> found;  // scale and largest code
    const Graph integer = convert(prepared).graph;
    for (const Graph::Node& node : integer.nodes())
      if (node.call.op == &kQuantizeLinear)
        found.emplace_back(integer.value(node.inputs[1]).tensor.item(),
                           node.call.attributes.as<QuantizeAttributes>().qmax);
    std::ranges::sort(found);
    return found;
  };
  const auto plain = ranges({});
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_LT(plain[0].first, plain[1].first);
  for (const bool training : {false, true}) {
    for (const auto& [scale, qmax] : ranges({{.name = "input", .activation_bits = 4}}, training))
      EXPECT_EQ(qmax, 15);
    for (const auto& [scale, qmax] :
         ranges({{.name = "input", .observer = FixedQParams{.scale = 0.5, .zero_point = 100}}},
                training)) {
      EXPECT_EQ(scale, 0.5);
      EXPECT_EQ(qmax, 255);
    }
  }
  // No range for the whole is none for its parts.
  EXPECT_ERROR(ranges({{.name = "input", .observer = Observer::none}}), unsupported,
               "has no observer");
  // Each setting by itself: bits of the part, the scale of the whole.
  const auto mixed = ranges(
      {{.name = "input",
        .observer = FixedQParams{.scale = 0.5, .zero_point = 6},
        .activation_bits = 4},
       {.name =
            graph.node(graph.value(graph.node(graph.find_node("left")).inputs[0]).producer).name,
        .activation_bits = 3}});
  ASSERT_EQ(mixed.size(), 2U);
  EXPECT_EQ(mixed[0], (std::pair<double, std::int64_t>(0.5, 7)));
  EXPECT_EQ(mixed[1], (std::pair<double, std::int64_t>(0.5, 15)));
}

/// The middle of a picture, through a layer.
struct Crop : nn::Module {
  nn::Conv2d conv{{.in = 3, .out = 4, .kernel = 3}};
  void members(nn::Members& m) override { m("conv", conv); }
  Tensor forward(const Tensor& x) override { return conv(slice(x, 2, 1, 7)); }
};

TEST(Placement, ACropHasItsInputsOverrides) {
  Crop net;
  const Graph graph = test::graph_of(net, Tensor::zeros(kShape));
  QConfig config = QConfig::portable();
  config.overrides = {{.name = "input", .activation_bits = 2}};
  int found = 0;
  const Graph int8 = quantized(graph, config, false).graph;
  for (const Graph::Node& node : int8.nodes()) {
    if (node.call.op != &kQuantizeLinear) continue;
    EXPECT_EQ(node.call.attributes.as<QuantizeAttributes>().qmax, 3);
    ++found;
  }
  EXPECT_EQ(found, 1);
}

TEST(Placement, PartsThatComeTogetherAgainShareTheInputsRange) {
  Focus net;
  const Graph graph = test::graph_of(net, Tensor::zeros(kShape));
  const Converted converted = quantized(graph, QConfig::portable(), false);
  for (const auto& [name, line] : lines_of(converted.report)) EXPECT_TRUE(line->quantized) << name;
  std::set<double> scales;
  for (const Graph::Node& node : converted.graph.nodes())
    if (dequantizes_activation(converted.graph, node))
      scales.insert(converted.graph.value(node.inputs[1]).tensor.item());
  EXPECT_EQ(scales.size(), 1U);
}

}  // namespace
}  // namespace pare::quantize
