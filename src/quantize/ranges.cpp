// What an observer's state says: range, scale, zero point.
#include "quantize/ranges.h"

#include <cmath>
#include <cstddef>

#include "pare/core/ops/learned_steps.h"
#include "quantize/metadata.h"
#include "quantize/range_search.h"

namespace pare::quantize {

bool is_observer(const Graph::Node& node) {
  const OpDef* op = node.call.op;
  return op == &kObserveMinMax || op == &kObserveMeanMinMax || op == &kObserveHistogram ||
         op == &kObserveFakeQuantize;
}

bool is_learned(const Graph::Node& node) { return node.call.op == &kFakeQuantizeLearned; }

Codes codes_of(const Graph::Node& node) {
  if (is_learned(node)) {
    const auto& a = node.call.attributes.as<FakeQuantizeLearnedAttributes>();
    return {.qmin = a.qmin, .qmax = a.qmax};
  }
  return codes_of(node.call.attributes.as<ObserveAttributes>());
}

bool has_relu(const Graph::Node& node) {
  if (is_learned(node)) return node.call.attributes.as<FakeQuantizeLearnedAttributes>().relu;
  return node.call.op == &kObserveFakeQuantize && node.call.attributes.as<ObserveAttributes>().relu;
}

std::string activation_name(const Graph& graph, const Graph::Node& node) {
  if (!has_relu(node)) return graph.value(node.inputs[0]).name;
  const std::string& name = node.name;
  return name.ends_with(kObserverSuffix) ? name.substr(0, name.size() - kObserverSuffix.size())
                                         : name;
}

namespace {

RangeRule rule_of(const Graph& graph, const Graph::Node& node) {
  const auto found = graph.metadata().find(kRangeKey + node.name);
  return found == graph.metadata().end() ? RangeRule{} : RangeRule::parse(found->second);
}

Observed learned(const Graph& graph, const Graph::Node& node) {
  const auto& a = node.call.attributes.as<FakeQuantizeLearnedAttributes>();
  const Tensor zero =
      node.inputs.size() > 2 && node.inputs[2] >= 0 ? graph.value(node.inputs[2]).tensor : Tensor();
  const ScaleAndZeroPoint p = learned_parameters(graph.value(node.inputs[1]).tensor, zero, a).at(0);
  if (std::isnan(p.scale)) return {empty_value_range(), empty_value_range(), {}};
  const auto real = [&](std::int64_t code) {
    return p.scale * static_cast<float>(code - p.zero_point);
  };
  const ValueRange range{real(a.qmin), real(a.qmax)};
  return {range, range, p};
}

}  // namespace

Observed observed(const Graph& graph, const Graph::Node& node, const RangeSearches& searches) {
  if (is_learned(node)) return learned(graph, node);
  const auto tensor = [&](std::size_t i) { return graph.value(node.inputs[i]).tensor; };
  const auto& a = node.call.attributes.as<ObserveAttributes>();
  const RangeRule rule = rule_of(graph, node);
  const Codes codes{.qmin = a.qmin,
                    .qmax = a.qmax,
                    .even_zero_point = a.even_zero_point,
                    .symmetric = rule.symmetric};
  Observed result;
  if (node.call.op == &kObserveHistogram) {
    result.seen = read_range(tensor(2));
    if (!result.seen.empty()) {
      const ChosenRange chosen =
          chosen_range(histogram_of(tensor(1), result.seen), rule, codes, searches);
      result.chosen = {chosen.min, chosen.max};
    }
  } else if (node.call.op == &kObserveMeanMinMax) {
    result.seen = read_range(tensor(2));
    result.chosen = mean_range(tensor(1));
    for (std::size_t i = 3; i < node.inputs.size(); ++i) result.chosen.join(mean_range(tensor(i)));
  } else {
    result.seen = read_range(tensor(1));
    for (std::size_t i = 2; i < node.inputs.size(); ++i) result.seen.join(read_range(tensor(i)));
    result.chosen = result.seen;
  }
  if (!result.seen.empty())
    result.parameters = affine_parameters(result.chosen.min, result.chosen.max, codes);
  return result;
}

}  // namespace pare::quantize
