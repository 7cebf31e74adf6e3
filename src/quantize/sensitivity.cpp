// sensitivity: one calibration, then a net for each layer in which it alone is fake-quantized.
#include "pare/quantize/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/runtime/compile.h"
#include "quantize/layer_choice.h"
#include "quantize/metadata.h"
#include "quantize/output_noise.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "sensitivity";

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The prepared graph with fake_quantize by the ranges that were seen in place of the observers.
Graph fake_quantized(const Graph& prepared, const RangeSearches& searches) {
  Graph graph = prepared.share();
  for (int n = 0; n < static_cast<int>(prepared.nodes().size()); ++n) {
    const Graph::Node& node = prepared.node(n);
    if (!is_observer(node)) continue;
    const Observed seen = observed(prepared, node, searches);
    PARE_CHECK(!seen.seen.empty(), invalid_state, kWhere,
               "expected calibration data that reaches '{}', got none",
               activation_name(prepared, node));
    const auto& a = node.call.attributes.as<ObserveAttributes>();
    const int scale = graph.add_leaf(Graph::Kind::constant, node.name + "_scale",
                                     Tensor::scalar(seen.parameters.scale));
    const int zero = graph.add_leaf(Graph::Kind::constant, node.name + "_zero_point",
                                    Tensor::scalar(seen.parameters.zero_point, DType::i32));
    Graph::Node& edited = graph.edit_node(n);
    edited.call = {&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{
                                       .qmin = a.qmin, .qmax = a.qmax, .axis = -1})};
    edited.inputs = {node.inputs[0], scale, zero};
  }
  graph.compact();
  return graph;
}

class Sensitivity {
 public:
  Sensitivity(const Graph& prepared, const Batches& data, const SensitivityOptions& options)
      : options_(options),
        graph_(fake_quantized(prepared, options.searches)),
        leaf_(leaf_values(graph_)),
        float_(compile(alone(-1))),
        noise_(graph_, float_, data, kWhere) {}

  SensitivityReport run() {
    if (options_.metric) report_.float_metric = metric_of(float_);
    const Measured all = measure(graph_.share());
    report_.all_sqnr_db = all.sqnr_db;
    report_.all_metric = all.metric;
    std::vector<int> layers;
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n)
      if (is_layer(n)) layers.push_back(n);
    LayerProgress progress{"", 0, static_cast<std::int64_t>(layers.size())};
    for (const int n : layers) {
      const Graph::Node& node = graph_.node(n);
      progress.layer = node.name;
      if (options_.progress && !options_.progress(progress)) break;
      const Measured one = measure(alone(n));
      report_.layers.push_back({node.name, node.call.op->name, one.sqnr_db, one.metric});
      ++progress.done;
    }
    std::stable_sort(report_.layers.begin(), report_.layers.end(),
                     [](const auto& a, const auto& b) {
                       return std::pair(a.metric.value_or(0), a.sqnr_db) <
                              std::pair(b.metric.value_or(0), b.sqnr_db);
                     });
    return std::move(report_);
  }

 private:
  struct Measured {
    double sqnr_db = 0;
    std::optional<double> metric = {};
  };

  // The fake_quantize that a value has its codes from, straight or through calls that keep them;
  // −1: none.
  int quantizer_of(int value) const {
    const int producer = value < 0 ? -1 : graph_.value(value).producer;
    if (producer < 0) return -1;
    const Graph::Node& node = graph_.node(producer);
    if (node.call.op == &kFakeQuantize) return producer;
    if (!selects(node.call) &&
        node.call.op->quantization.kind != QuantizationFact::Kind::all_inputs_share)
      return -1;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (is_activation(graph_, node, i))
        if (const int found = quantizer_of(node.inputs[i]); found >= 0) return found;
    return -1;
  }

  // The inputs of a layer that are quantized: what it reads and its weight, or its two factors.
  // Empty: it is none.
  std::vector<std::size_t> operands_of(const Graph::Node& node) const {
    const int weight = node.call.op->quantization.weight_input;
    if (weight < 0 || at(weight) >= node.inputs.size() || leaf_[at(node.outputs[0])] ||
        graph_.metadata().count(kFloatKey + node.name) != 0)
      return {};
    if (quantizer_of(node.inputs[0]) < 0 || quantizer_of(node.inputs[at(weight)]) < 0) return {};
    return {0, at(weight)};
  }
  bool is_layer(int n) const { return !operands_of(graph_.node(n)).empty(); }

  // The net in which nothing but layer n is quantized; −1: nothing at all. A weight's fake_quantize
  // stays where it is (by group it rounds rows, not the weight): no other layer reads it.
  Graph alone(int layer) const {
    Graph graph = graph_.share();
    const std::vector<std::size_t> operands =
        layer < 0 ? std::vector<std::size_t>{} : operands_of(graph_.node(layer));
    int stays = -1;
    for (const std::size_t i : operands)
      if (const int v = graph_.node(layer).inputs[i]; leaf_[at(v)]) stays = quantizer_of(v);
    const int nodes = static_cast<int>(graph.nodes().size());
    for (int n = 0; n < nodes; ++n)
      if (graph_.node(n).call.op == &kFakeQuantize && n != stays)
        graph.replace_uses(graph_.node(n).outputs[0], graph.node(n).inputs[0]);
    for (const std::size_t i : operands) {
      const Graph::Node& given = graph_.node(layer);
      const int quantizer = quantizer_of(given.inputs[i]);
      if (quantizer == stays) continue;
      std::vector<int> inputs = graph_.node(quantizer).inputs;
      inputs[0] = graph.node(layer).inputs[i];
      const int added = graph.add_node(fmt::format("{}_{}_quantized", given.name, i),
                                       graph_.node(quantizer).call, std::move(inputs));
      graph.edit_node(layer).inputs[i] = graph.node(added).outputs[0];
    }
    graph.compact();
    return graph;
  }

  double metric_of(const Plan& plan) const {
    const double metric = options_.metric(plan);
    PARE_CHECK(std::isfinite(metric), invalid_argument, kWhere, "expected a finite metric, got {}",
               metric);
    return metric;
  }

  Measured measure(Graph graph) const {
    const Plan plan = compile(std::move(graph));
    Measured result{noise_.sqnr_db(plan)};
    if (options_.metric) result.metric = metric_of(plan);
    return result;
  }

  const SensitivityOptions& options_;
  const Graph graph_;
  const std::vector<bool> leaf_;
  const Plan float_;
  const OutputNoise noise_;
  SensitivityReport report_;
};

}  // namespace

std::string to_string(const SensitivityReport& report) {
  const auto line = [&](const std::string& name, const std::string& op, double sqnr_db,
                        const std::optional<double>& metric) {
    const std::string score = metric ? fmt::format("{:.4f}", *metric) : "";
    return fmt::format("{:<40} {:>18} {:>9.2f} {:>10}\n", name, op, sqnr_db, score);
  };
  std::string text = fmt::format("{:<40} {:>18} {:>9} {:>10}\n", "quantized alone", "op", "SQNR dB",
                                 report.float_metric ? "metric" : "");
  for (const SensitivityReport::Layer& layer : report.layers)
    text += line(layer.name, layer.op, layer.sqnr_db, layer.metric);
  text += line("all", "", report.all_sqnr_db, report.all_metric);
  if (report.float_metric)
    text += line("none", "", std::numeric_limits<double>::infinity(), report.float_metric);
  return text + float_lines(report.left);
}

SensitivityReport sensitivity(const Graph& graph, const Batches& calibration,
                              const SensitivityOptions& options) {
  const Batches& data = options.data ? *options.data : calibration;
  for (const Batches* given : {&calibration, &data})
    PARE_CHECK(given->count > 0 && given->get, invalid_argument, kWhere,
               "expected at least one batch of {}, got none",
               given == &calibration ? "calibration data" : "data");
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  const Graph prepared = calibrated(graph, calibration, options.config);
  SensitivityReport report = Sensitivity(prepared, data, options).run();
  for (const Graph::Node& node : prepared.nodes()) {
    const auto why = prepared.metadata().find(kFloatKey + node.name);
    if (node.call.op->quantization.weight_input >= 0 && why != prepared.metadata().end())
      report.left.push_back({node.name, why->second});
  }
  return report;
}

}  // namespace pare::quantize
