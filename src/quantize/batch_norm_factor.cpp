// The factor of a batch norm as calls, for weights that are quantized with it.
#include "quantize/batch_norm_factor.h"

#include <string>
#include <vector>

#include "core/check.h"
#include "graph/channel_factor.h"
#include "pare/core/ops.h"

namespace pare::quantize {

int batch_norm_factor(Graph& graph, int n, int norm) {
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
  const int gamma = add("_weight", {&kDetach, {}}, {batch_norm.inputs[1]});
  const int factor = add("_plain", {&kMul, {}}, {gamma, inverse});
  const int smallest = number("_smallest", kSmallest);
  const int magnitude = add("_magnitude", {&kAbs, {}}, {factor});
  const int vanishes = add("_vanishes", {&kLess, {}}, {magnitude, smallest});
  const int kept = add("_kept", {&kWhere, {}}, {vanishes, smallest, factor});
  return as_weight_factor(graph, n, kept, name);
}

}  // namespace pare::quantize
