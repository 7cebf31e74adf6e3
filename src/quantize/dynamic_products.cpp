// quantize::dynamic of linear layers and products with a constant matrix.
#include <fmt/format.h>

#include "core/byte_product.h"
#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_layers.h"
#include "quantize/round_codes.h"

namespace pare::quantize {
std::string why_no_product(const DynamicEdit& edit, const Graph::Node& node) {
  const Graph& graph = edit.graph();
  if (!edit.of_leaves(node.inputs[1])) return "both its factors are activations";
  if (edit.of_leaves(node.inputs[0])) return "its first factor is a constant";
  const Graph::Value& x = graph.value(node.inputs[0]);
  const Graph::Value& weight = graph.value(node.inputs[1]);
  if (x.dtype != DType::f32 || weight.dtype != DType::f32)
    return fmt::format("it multiplies {} with {}", x.dtype, weight.dtype);
  if (weight.shape.rank() != 2) return fmt::format("its weight has {} axes", weight.shape.rank());
  if (x.shape.rank() < 2) return "its input is a vector";
  if (weight.shape.elements() == 0) return "its weight has no elements";
  const std::int64_t inner = weight.shape[weight_place(node).input_axis];
  if (inner > ByteProduct::kMostInner)
    return fmt::format("sums of {} products could leave 32 bits", inner);
  return "";
}

void quantize_product(DynamicEdit& edit, int n) {
  const Graph::Node node = edit.graph().node(n);
  DynamicReport::Layer line{.name = node.name, .op = node.call.op->name};
  edit.graph().edit_node(n).inputs[0] = edit.quantized_input(node.inputs[0]);
  const WeightPlace place = weight_place(node);
  const int value = node.inputs[1];
  const auto key = std::pair{value, place.channel_axis};
  if (const auto known = edit.done.find(key); known != edit.done.end()) {
    edit.graph().edit_node(n).inputs[1] = known->second.value;
    line.note = fmt::format("reads the codes of '{}'", known->second.reader);
    edit.report().layers.push_back(std::move(line));
    return;
  }
  const Tensor weight = LeafEvaluator(edit.graph())(value);
  const ScaleLayout layout = scale_layout(
      node, place, weight.shape(), {.group_size = 0, .granularity = edit.options().granularity});
  const CodeRange range = edit.product_range();
  const std::vector<double> rows = weight_rows(node, weight);
  const RowCodes codes = edit.codes(node, rows, layout, range);
  const StoredWeight tensors = stored(node, weight.shape(), codes, layout, range);
  const Tensor zero = Tensor::zeros(tensors.scale.shape(), DType::i8);
  const std::vector<int> inputs{edit.constant(value, "_quantized", tensors.codes),
                                edit.constant(value, "_scale", tensors.scale),
                                edit.constant(value, "_zero_point", zero)};
  const Call call{
      &kDequantizeLinear,
      Attributes::of(DequantizeAttributes{.axis = layout.one ? -1 : place.channel_axis})};
  Graph& graph = edit.graph();
  const int made = graph.add_node(graph.value(value).name + "_dequantize", call, inputs);
  edit.done[key] = {graph.node(made).outputs[0], node.name};
  graph.edit_node(n).inputs[1] = edit.done[key].value;
  DynamicEdit::describe(line, rows, layout, codes, tensors.scale.elements(),
                        tensors.codes.bytes() + tensors.scale.bytes() + zero.bytes());
  line.bits = 8;
  if (range.qmax < 127) line.note = fmt::format("codes to ±{}", range.qmax);
  edit.report().layers.push_back(std::move(line));
}

}  // namespace pare::quantize
