// quantize::dynamic of linear layers and products with a constant matrix.
#include <fmt/format.h>

#include "core/byte_product.h"
#include "core/check.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_layers.h"

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
  const CodeRange range = edit.product_range();
  const auto& [weight, reader] =
      edit.coded(node, weight_place(node), node.inputs[1], range, kDequantizeLinear, line);
  edit.graph().edit_node(n).inputs[1] = weight;
  if (reader != node.name)
    line.note = fmt::format("reads the codes of '{}'", reader);
  else if (range.qmax < 127)
    line.note = fmt::format("codes to ±{}", range.qmax);
  edit.report().layers.push_back(std::move(line));
}

}  // namespace pare::quantize
