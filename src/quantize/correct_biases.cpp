// correct_biases: what rounded weights make of the mean of their inputs, taken from the biases.
#include "pare/quantize/correct_biases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/channel_means.h"
#include "quantize/float_graph.h"
#include "quantize/layer_channels.h"
#include "quantize/ranges.h"
#include "quantize/weight_groups.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Corrector {
 public:
  Corrector(const Graph& prepared, const ChannelStatistics& statistics)
      : graph_(prepared.share()),
        float_(float_form(prepared)),
        means_(channel_means(float_, statistics)) {}

  BiasCorrectionReport run() {
    const int nodes = static_cast<int>(graph_.nodes().size());
    for (int n = 0; n < nodes; ++n) {
      const int quantizer = weight_quantizer(graph_, graph_.node(n));
      if (quantizer < 0) continue;
      const Graph::Node& node = graph_.node(n);
      report_.layers.push_back({.name = node.name, .op = node.call.op->name});
      report_.layers.back().note = correct(n, quantizer, report_.layers.back());
      report_.layers.back().corrected = report_.layers.back().note.empty();
    }
    graph_.compact();
    graph_.verify();
    return std::move(report_);
  }

  Graph take() { return std::move(graph_); }

 private:
  // Why the layer is left; empty if it is not.
  std::string correct(int n, int quantizer, BiasCorrectionReport::Layer& line) {
    const Graph::Node node = graph_.node(n);
    if (node.call.op->quantization.bias_input != 2)
      return fmt::format("{} has no bias", node.call.op->name);
    const int exact = exact_weight(graph_, quantizer);
    const Shape& shape = graph_.value(exact).shape;
    const LayerChannels layer = layer_channels(node, shape);
    if (layer.outputs == 0)
      return fmt::format("{} has no weight of output and input channels", node.call.op->name);
    const int source = float_.node(float_.find_node(node.name)).inputs[0];
    const auto& means = means_[at(source)];
    if (!means)
      return fmt::format("the mean of '{}' is not known: no batch norm before it",
                         float_.value(source).name);
    if (static_cast<std::int64_t>(means->size()) != layer.inputs ||
        (layer.axis < 0 && float_.value(source).shape.rank() != 2))
      return fmt::format("the channels of '{}' are not its axis 1", float_.value(source).name);
    LeafEvaluator evaluate(graph_);
    const std::vector<float> w = evaluate(exact).to_vector<float>();
    const std::vector<float> rounded = evaluate(node.inputs[1]).to_vector<float>();
    std::vector<double> shifts(at(layer.outputs), 0);
    layer.for_each_pair([&](std::int64_t o, std::int64_t i, std::int64_t k) {
      for (std::int64_t e = k * layer.taps; e < (k + 1) * layer.taps; ++e)
        shifts[at(o)] -=
            (static_cast<double>(rounded[at(e)]) - static_cast<double>(w[at(e)])) * (*means)[at(i)];
    });
    for (const double shift : shifts)
      line.largest_shift = std::max(line.largest_shift, std::fabs(shift));
    const std::vector<float> added(shifts.begin(), shifts.end());
    const int leaf = graph_.add_leaf(Graph::Kind::constant, node.name + ".bias.correction",
                                     Tensor::from(added, {layer.outputs}));
    add_to_bias(graph_, n, leaf, node.name + ".bias.corrected");
    return "";
  }

  Graph graph_;
  const Graph float_;
  const std::vector<std::optional<std::vector<double>>> means_;
  BiasCorrectionReport report_;
};

}  // namespace

std::string to_string(const BiasCorrectionReport& report) {
  std::string text =
      fmt::format("{:<40} {:>18} {:>13}  {}\n", "layer", "op", "largest shift", "note");
  for (const BiasCorrectionReport::Layer& line : report.layers)
    text += fmt::format("{:<40} {:>18} {:>13.4g}  {}\n", line.name, line.op, line.largest_shift,
                        line.note);
  const auto corrected =
      std::ranges::count(report.layers, true, &BiasCorrectionReport::Layer::corrected);
  return text + fmt::format("{} of {} layers corrected\n", corrected, report.layers.size());
}

BiasCorrectionReport correct_biases(Graph& prepared, const ChannelStatistics& statistics) {
  check_prepared(prepared, "correct_biases");
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  Corrector corrector(prepared, statistics);
  BiasCorrectionReport report = corrector.run();
  prepared = corrector.take();
  return report;
}

}  // namespace pare::quantize
