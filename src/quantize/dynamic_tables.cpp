// quantize::dynamic of tables that are looked up: embedding, gather.
#include <fmt/format.h>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_layers.h"
#include "quantize/round_codes.h"

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
  const int value = node.inputs[input];
  DynamicReport::Layer line{.name = node.name, .op = node.call.op->name};
  const auto key = std::pair{value, place.channel_axis};
  if (const auto known = edit.done.find(key); known != edit.done.end()) {
    edit.graph().edit_node(n).inputs[input] = known->second.value;
    line.note = fmt::format("reads the codes of '{}'", known->second.reader);
    edit.report().layers.push_back(std::move(line));
    return;
  }
  const Tensor table = LeafEvaluator(edit.graph())(value);
  const ScaleLayout layout = scale_layout(
      node, place, table.shape(), {.group_size = 0, .granularity = edit.options().granularity});
  const CodeRange range = code_range(edit.options().embedding_bits, true);
  const std::vector<double> rows = weight_rows(node, table);
  const RowCodes codes = edit.codes(node, rows, layout, range);
  const StoredWeight tensors = stored(node, table.shape(), codes, layout, range);
  const std::vector<int> inputs{edit.constant(value, "_quantized", tensors.codes),
                                edit.constant(value, "_scale", tensors.scale)};
  Graph& graph = edit.graph();
  const int made = graph.add_node(graph.value(value).name + "_dequantize",
                                  {&kDequantizeWeight, Attributes::of(layout.attributes)}, inputs);
  edit.done[key] = {graph.node(made).outputs[0], node.name};
  graph.edit_node(n).inputs[input] = edit.done[key].value;
  DynamicEdit::describe(line, rows, layout, codes, tensors.scale.elements(),
                        tensors.codes.bytes() + tensors.scale.bytes());
  line.bits = edit.options().embedding_bits;
  edit.report().layers.push_back(std::move(line));
}

}  // namespace pare::quantize
