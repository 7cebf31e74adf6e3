// What placement and convert ask of single nodes: part of a layer, mover of codes, activation.
#include "quantize/call_facts.h"

#include <algorithm>

#include "core/ops/convolution.h"
#include "core/ops/pooling.h"
#include "graph/moves.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_training.h"

namespace pare::quantize {

int absorbed_into(const Graph& graph, const Uses& uses, const Graph::Node& node) {
  if (node.call.op != &kBatchNorm) return -1;
  const int before = graph.value(node.inputs[0]).producer;
  if (before < 0 || uses.only_reader(node.inputs[0]) < 0) return -1;
  const OpDef* op = graph.node(before).call.op;
  // Their channels are an axis of the weight and the output's second, as batch norm's are.
  const bool weighted = is_convolution(op) || is_conv_transpose(op) ||
                        (op == &kLinear && graph.value(node.inputs[0]).shape.rank() == 2);
  return weighted ? before : -1;
}

int batch_norm_after(const Graph& graph, const Uses& uses, int n) {
  const int reader = uses.only_reader(graph.node(n).outputs[0]);
  return reader >= 0 && absorbed_into(graph, uses, graph.node(reader)) == n ? reader : -1;
}

bool selects(const Call& call) {
  if (call.op == &kPad) return call.attributes.as<PadAttributes>().value == 0;
  return call.op->channels.kind == ChannelFact::Kind::movement || is_max_pool(call.op) ||
         call.op == &kDropout || call.op == &kDetach || call.op == &kToFormat ||
         moves_elements(call);
}

bool is_activation(const Graph& graph, const Graph::Node& node, std::size_t i) {
  const QuantizationFact& fact = node.call.op->quantization;
  const int index = static_cast<int>(i);
  return node.inputs[i] >= 0 && index != fact.weight_input && index != fact.bias_input &&
         graph.value(node.inputs[i]).dtype == DType::f32;
}

bool is_read_as_weight(const Graph& graph, const Uses& uses, const std::vector<bool>& leaf,
                       int value) {
  if (!leaf[static_cast<std::size_t>(value)]) return false;
  return std::ranges::any_of(uses.reads(value), [&](int reader) {
    const Graph::Node& node = graph.node(reader);
    const auto reads_it = [&](std::size_t i) {
      return i < node.inputs.size() && node.inputs[i] == value;
    };
    const int weight = node.call.op->quantization.weight_input;
    if (weight >= 0 && reads_it(static_cast<std::size_t>(weight))) return true;
    if (std::ranges::any_of(row_weights(node), reads_it)) return true;
    return is_read_as_weight(graph, uses, leaf, node.outputs[0]);
  });
}

}  // namespace pare::quantize
