// The factor of a batch norm as calls, for weights that are quantized with it.
#include "quantize/batch_norm_factor.h"

#include <string>
#include <vector>

#include "core/check.h"
#include "graph/channel_factor.h"
#include "pare/core/ops.h"

namespace pare::quantize {

BatchNormFactor batch_norm_factor(Graph& graph, int n, int norm, bool learned) {
  const Graph::Node batch_norm = graph.node(norm);
  const std::string name = batch_norm.name + "_factor";
  const auto add = [&](const char* suffix, Call call, std::vector<int> inputs) {
    const int added = graph.add_node(name + suffix, std::move(call), std::move(inputs));
    return graph.node(added).outputs[0];
  };
  const auto number = [&](const char* suffix, double value) {
    return graph.add_leaf(Graph::Kind::constant, name + suffix, Tensor::scalar(value));
  };
  constexpr double kSmallest = 0x1p-20;
  const double epsilon = batch_norm.call.attributes.as<BatchNormAttributes>().epsilon;
  const int variance =
      add("_variance", {&kAdd, {}}, {batch_norm.inputs[4], number("_epsilon", epsilon)});
  const int inverse = add("_inverse", {&kRsqrt, {}}, {variance});
  const int gamma =
      learned ? batch_norm.inputs[1] : add("_weight", {&kDetach, {}}, {batch_norm.inputs[1]});
  const int plain = add("_plain", {&kMul, {}}, {gamma, inverse});
  const int shaped = as_weight_factor(graph, n, plain, name);
  const int smallest = number("_smallest", kSmallest);
  const int magnitude = add("_magnitude", {&kAbs, {}}, {shaped});
  const int vanishes = add("_vanishes", {&kLess, {}}, {magnitude, smallest});
  return {add("_kept", {&kWhere, {}}, {vanishes, smallest, shaped}), vanishes};
}

int without_factor(Graph& graph, const std::string& name, int weight, int quantized,
                   const BatchNormFactor& factor) {
  const auto add = [&](const char* suffix, const OpDef& op, std::vector<int> inputs) {
    const int added = graph.add_node(name + suffix, {&op, {}}, std::move(inputs));
    return graph.node(added).outputs[0];
  };
  const int kept = add("_kept", kWhere, {factor.vanishes, weight, quantized});
  return add("_unfolded", kDiv, {kept, factor.value});
}

int quantized_with_factor(const Graph& graph, int value) {
  const int division = graph.value(value).producer;
  if (division < 0 || graph.node(division).call.op != &kDiv) return -1;
  const int choice = graph.value(graph.node(division).inputs[0]).producer;
  return choice >= 0 && graph.node(choice).call.op == &kWhere ? graph.node(choice).inputs[2] : -1;
}

}  // namespace pare::quantize
