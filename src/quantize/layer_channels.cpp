// Which output and input channel each weight of a layer connects.
#include "quantize/layer_channels.h"

#include <utility>

#include "core/ops/convolution.h"
#include "pare/core/ops.h"

namespace pare::quantize {

LayerChannels layer_channels(const Graph::Node& node, const Shape& weight) {
  const OpDef* op = node.call.op;
  const bool transposed = is_conv_transpose(op);
  const bool convolution = transposed || is_convolution(op);
  const bool product = op == &kLinear || op == &kMatmul;
  if (!(convolution && weight.rank() > 2) && !(product && weight.rank() == 2)) return {};
  LayerChannels layer;
  layer.groups = convolution ? groups_of(node.call) : 1;
  layer.outputs_first = !transposed && op != &kMatmul;
  layer.axis = convolution ? 1 : -1;
  const std::int64_t across = weight[1] * layer.groups;
  layer.outputs = layer.outputs_first ? weight[0] : across;
  layer.inputs = layer.outputs_first ? across : weight[0];
  layer.taps = weight.elements(2, weight.rank());
  return layer;
}

Tensor channel_factors(const LayerChannels& layer, const std::vector<double>& numbers, bool outputs,
                       int rank) {
  const bool by_row = outputs == layer.outputs_first;
  const bool by_pair = !by_row && layer.groups > 1;  // columns are other channels in each group
  Shape shape{by_row || by_pair ? layer.rows() : 1, by_row ? 1 : layer.columns()};
  while (shape.rank() < rank) shape.append(1);
  std::vector<float> values(numbers.begin(), numbers.end());
  if (by_pair) {
    values.clear();
    layer.for_each_pair([&](std::int64_t o, std::int64_t i, std::int64_t) {
      values.push_back(static_cast<float>(numbers[static_cast<std::size_t>(outputs ? o : i)]));
    });
  }
  return Tensor::from(values, shape);
}

void add_to_bias(Graph& graph, int node, int value, const std::string& name) {
  std::vector<int> inputs = graph.node(node).inputs;
  inputs.resize(3, -1);
  const int bias = inputs[2];
  inputs[2] =
      bias < 0 ? value : graph.node(graph.add_node(name, {&kAdd, {}}, {bias, value})).outputs[0];
  graph.edit_node(node).inputs = std::move(inputs);
}

}  // namespace pare::quantize
