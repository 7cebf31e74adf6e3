// Which output and input channel each weight of a layer connects.
#include "quantize/layer_channels.h"

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

}  // namespace pare::quantize
