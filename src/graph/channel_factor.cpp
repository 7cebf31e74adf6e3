// A number for each output channel, arranged as a factor of a layer's weight.
#include "graph/channel_factor.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "pare/core/ops.h"

namespace pare {

int as_weight_factor(Graph& graph, int layer, int factor, const std::string& name) {
  const Call call = graph.node(layer).call;
  const QuantizationFact& fact = call.op->quantization;
  const int value = graph.node(layer).inputs[static_cast<std::size_t>(fact.weight_input)];
  const Shape weight = graph.value(value).shape;
  const auto add = [&](const std::string& node, Call added, int input) {
    const int n = graph.add_node(node, std::move(added), {input});
    return graph.node(n).outputs[0];
  };
  const auto reshaped = [&](const std::string& node, int input, std::vector<std::int64_t> shape) {
    return add(node, {&kReshape, Attributes::of(ReshapeAttributes{std::move(shape)})}, input);
  };
  const int axis = normalize_axis(fact.weight_axis, weight.rank(), "as_weight_factor");
  std::vector<std::int64_t> shape(static_cast<std::size_t>(weight.rank()), 1);
  shape[static_cast<std::size_t>(axis)] = weight[axis];
  const std::int64_t groups = is_conv_transpose(call.op) ? groups_of(call) : 1;
  if (groups == 1) return reshaped(name, factor, shape);
  // Group g of the inputs has the factors of group g of the outputs.
  std::vector<std::int64_t> apart = shape;
  apart.insert(apart.begin(), groups);
  const int by_group = reshaped(name + "_groups", factor, apart);
  apart[1] = weight[0] / groups;
  const int by_input = add(
      name + "_inputs", {&kExpand, Attributes::of(ExpandAttributes{std::move(apart)})}, by_group);
  shape[0] = weight[0];
  return reshaped(name, by_input, shape);
}

}  // namespace pare
