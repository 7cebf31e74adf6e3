// Where Q and DQ stand: whole groups, no islands, shared ranges, and a report of every node.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

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

}  // namespace
}  // namespace pare::quantize
