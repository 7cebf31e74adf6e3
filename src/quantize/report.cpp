// Gathers what convert did into its report, and prints it.
#include "quantize/report.h"

#include <algorithm>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/metadata.h"

namespace pare::quantize {

ActivationRange describe(const std::string& value, const Observed& observed, const Codes& codes) {
  const ScaleAndZeroPoint& p = observed.parameters;
  const auto real = [&](std::int64_t code) {
    return p.scale * static_cast<float>(code - p.zero_point);
  };
  return {.value = value,
          .seen_min = observed.seen.min,
          .seen_max = observed.seen.max,
          .min = real(codes.qmin),
          .max = real(codes.qmax),
          .scale = p.scale,
          .zero_point = p.zero_point};
}

void ReportBuilder::add_layer(const std::string& node, const LayerWeights& layer, bool had_bias,
                              const LayerCodes& codes) {
  const std::size_t channels = layer.scales.size();
  const std::size_t vectors = (had_bias ? 1U : 0U) + (layer.factor.empty() ? 0U : 4U);
  const std::size_t before = layer.weight.bytes() + vectors * channels * sizeof(float);
  std::size_t after = codes.weight.bytes() + codes.scale.bytes();
  if (codes.bias.defined()) after += codes.bias.bytes() + codes.bias_scale.bytes();
  layers_[node] = {before, after, codes.note};
}

void ReportBuilder::add_rows(const std::string& node, const LayerWeights& layer,
                             const LayerCodes& codes) {
  Layer& line = layers_[node];
  line.before += layer.weight.bytes();
  line.after += codes.weight.bytes() + codes.scale.bytes();
  if (line.note.empty()) line.note = codes.note;
}

void ReportBuilder::add_groups(const std::string& node, const LayerWeights& layer,
                               const Shape& weight, const StoredWeight& stored,
                               const std::string& note) {
  const std::size_t vectors = layer.factor.empty() ? 0U : 4U;
  const std::size_t bias = layer.float_bias.size() * sizeof(float);
  const std::size_t before =
      static_cast<std::size_t>(weight.elements()) * sizeof(float) + (1 + vectors) * bias;
  std::size_t after = stored.codes.bytes() + stored.scale.bytes() + bias;
  if (stored.zero_point.defined()) after += stored.zero_point.bytes();
  layers_[node] = {before, after, note};
}

void ReportBuilder::add_folded(const std::string& norm, const std::string& into) {
  folded_[norm] = "folded into " + into;
}

Report ReportBuilder::finish(const Graph& result) const {
  Report report;
  const auto& metadata = prepared_.metadata();
  if (const auto isa = metadata.find(kIsaKey); isa != metadata.end()) report.isa = isa->second;
  report.activations = activations_;
  const std::vector<bool> leaf = leaf_values(prepared_);
  LeafEvaluator evaluate(prepared_);
  for (const Graph::Node& node : prepared_.nodes()) {
    const bool observer = is_observer(node) || is_learned(node);
    if (observer && has_relu(node))
      report.nodes.push_back({activation_name(prepared_, node), kRelu.name, true, "", 0, 0});
    if (leaf[static_cast<std::size_t>(node.outputs[0])] || observer) continue;
    if (node.call.op->quantization.kind == QuantizationFact::Kind::none &&
        metadata.count(kFloatKey + node.name) == 0 && folded_.count(node.name) == 0 &&
        layers_.count(node.name) == 0)
      continue;  // put there by prepare
    Report::Node line{node.name, node.call.op->name, true, "", 0, 0};
    if (const auto layer = layers_.find(node.name); layer != layers_.end()) {
      line.note = layer->second.note;
      line.bytes_before = layer->second.before;
      line.bytes_after = layer->second.after;
    } else if (const auto folded = folded_.find(node.name); folded != folded_.end()) {
      line.note = folded->second;
    } else {
      for (int v : node.inputs)
        if (v >= 0 && leaf[static_cast<std::size_t>(v)]) line.bytes_before += evaluate(v).bytes();
      line.bytes_after = line.bytes_before;
    }
    if (const auto why = metadata.find(kFloatKey + node.name); why != metadata.end()) {
      line.quantized = false;
      line.note = why->second;
    }
    report.bytes_before += line.bytes_before;
    report.nodes.push_back(std::move(line));
    // prepare folded these before there was a report.
    for (const auto& [key, text] : metadata)
      if (key.starts_with(kFoldedKey) && text == "folded into " + node.name)
        report.nodes.push_back(
            {key.substr(std::string_view(kFoldedKey).size()), kBatchNorm.name, true, text, 0, 0});
  }
  report.bytes_after = result.bytes();
  return report;
}

std::string to_string(const Report& report) {
  std::size_t width = 4;
  for (const Report::Node& node : report.nodes) width = std::max(width, node.name.size());
  for (const ActivationRange& a : report.activations) width = std::max(width, a.value.size());
  std::string text = fmt::format("{:<{}}  {:<20} {:<9} {:>10} {:>10}  {}\n", "node", width, "op",
                                 "runs in", "bytes", "were", "note");
  for (const Report::Node& node : report.nodes)
    text += fmt::format("{:<{}}  {:<20} {:<9} {:>10} {:>10}  {}\n", node.name, width, node.op,
                        node.quantized ? "int8" : "float", node.bytes_after, node.bytes_before,
                        node.note);
  text += fmt::format("{:<{}}  {:<20} {:<9} {:>10} {:>10}  for {}\n\n", "all", width, "", "",
                      report.bytes_after, report.bytes_before, report.isa);
  text += fmt::format("{:<{}}  {:>12} {:>12} {:>12} {:>12} {:>12} {:>5}\n", "range", width,
                      "seen min", "seen max", "min", "max", "scale", "zero");
  for (const ActivationRange& a : report.activations)
    text +=
        fmt::format("{:<{}}  {:>12.5g} {:>12.5g} {:>12.5g} {:>12.5g} {:>12.5g} {:>5}\n", a.value,
                    width, a.seen_min, a.seen_max, a.min, a.max, a.scale, a.zero_point);
  return text;
}

}  // namespace pare::quantize
