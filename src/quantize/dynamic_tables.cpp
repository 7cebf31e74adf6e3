// quantize::dynamic of tables that are looked up: embedding, gather.
#include <fmt/format.h>

#include "core/check.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_layers.h"

namespace pare::quantize {

std::string why_no_table(const DynamicEdit& edit, const Graph::Node& node) {
  const WeightPlace place = weight_place(node);
  if (place.input < 0) return "it does not look rows up";
  const int value = node.inputs[static_cast<std::size_t>(place.input)];
  if (!edit.of_leaves(value)) return "its table is computed from the inputs";
  const Graph::Value& table = edit.graph().value(value);
  if (table.dtype != DType::f32) return fmt::format("its table is {}", table.dtype);
  if (table.shape.rank() != 2) return fmt::format("its table has {} axes", table.shape.rank());
  if (table.shape.elements() == 0) return "its table has no elements";
  if (edit.options().embedding_bits == 0) return "tables stay float (embedding_bits 0)";
  return "";
}

void quantize_table(DynamicEdit& edit, int n) {
  const Graph::Node node = edit.graph().node(n);
  const WeightPlace place = weight_place(node);
  const auto input = static_cast<std::size_t>(place.input);
  DynamicReport::Layer line{.name = node.name, .op = node.call.op->name};
  const int bits = edit.options().embedding_bits;
  const auto& [table, reader] =
      edit.coded(node, place, node.inputs[input], code_range(bits, true), kDequantizeWeight, line);
  edit.graph().edit_node(n).inputs[input] = table;
  if (reader != node.name)
    line.note = fmt::format("reads the codes of '{}'", reader);
  else
    line.bits = bits;
  edit.report().layers.push_back(std::move(line));
}

}  // namespace pare::quantize
