// quantize::dynamic of recurrent layers: weights as codes by rows, rows rounded as they come.
#include <fmt/format.h>

#include "core/byte_product.h"
#include "core/check.h"
#include "core/ops/recurrent.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_layers.h"

namespace pare::quantize {
namespace {

// Rows are output channels, as in a linear layer.
constexpr WeightPlace kRows{.channel_axis = 0, .input_axis = 1};

template <class A> Attributes rounding(const Call& call) {
  A attributes = call.attributes.as<A>();
  attributes.dynamic_quantize = true;
  return Attributes::of(attributes);
}

}  // namespace

bool is_recurrent(const OpDef* op) { return op == &kLstm || op == &kGru || op == &kRnn; }

std::vector<std::size_t> recurrent_weights(const Graph::Node& node) {
  std::vector<std::size_t> there;
  for (const int i :
       {static_cast<int>(kWeightIh), static_cast<int>(kWeightHh), kWeightIh + kDirectionInputs,
        kWeightHh + kDirectionInputs, static_cast<int>(kWeightHr), kWeightHr + 1}) {
    const auto input = static_cast<std::size_t>(i);
    if (input < node.inputs.size() && node.inputs[input] >= 0) there.push_back(input);
  }
  return there;
}

void round_rows(Call& call) {
  call.attributes = call.op == &kLstm  ? rounding<LstmAttributes>(call)
                    : call.op == &kGru ? rounding<GruAttributes>(call)
                                       : rounding<RnnAttributes>(call);
}

std::string why_no_recurrent(const DynamicEdit& edit, const Graph::Node& node) {
  for (const std::size_t input : recurrent_weights(node)) {
    const int v = node.inputs[input];
    const Shape& shape = edit.graph().value(v).shape;
    if (!edit.of_leaves(v)) return "a weight of it is computed from the inputs";
    if (shape.elements() == 0) return "a weight of it has no elements";
    if (shape[1] > ByteProduct::kMostInner)
      return fmt::format("sums of {} products could leave 32 bits", shape[1]);
  }
  return "";
}

void quantize_recurrent(DynamicEdit& edit, int n) {
  const Graph::Node node = edit.graph().node(n);
  DynamicReport::Layer line{.name = node.name, .op = node.call.op->name};
  std::vector<int> inputs = node.inputs;
  for (const std::size_t input : recurrent_weights(node)) {
    const auto& [weight, reader] =
        edit.coded(node, kRows, inputs[input], edit.product_range(), kDequantizeLinear, line);
    inputs[input] = weight;
    if (reader != node.name) line.note = fmt::format("reads codes of '{}'", reader);
  }
  edit.graph().edit_node(n).inputs = std::move(inputs);
  round_rows(edit.graph().edit_node(n).call);
  const auto add_note = [&](const std::string& note) {
    line.note += (line.note.empty() ? "" : "; ") + note;
  };
  if (edit.options().weight_qmax < 127)
    add_note(fmt::format("codes to ±{}", edit.options().weight_qmax));
  if (!edit.options().per_row) add_note("a range for each row of x and h");
  edit.report().layers.push_back(std::move(line));
}

}  // namespace pare::quantize
