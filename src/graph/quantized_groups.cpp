// Quantized groups: which nodes of a Q/DQ graph belong to one step on integers.
#include "graph/quantized_groups.h"

#include "graph/integer_call.h"
#include "graph/uses.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dynamic_quantize.h"

namespace pare {

namespace {

bool has_constant_scale(const Graph& graph, const Graph::Node& node) {
  return node.inputs.size() == 3 && node.inputs[2] >= 0 && graph.value(node.inputs[1]).is_leaf() &&
         graph.value(node.inputs[2]).is_leaf();
}

class GroupFinder {
 public:
  explicit GroupFinder(const Graph& graph)
      : graph_(graph), uses_(graph), taken_(graph.nodes().size()) {}

  std::vector<QuantizedGroup> run() {
    std::vector<QuantizedGroup> groups;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (taken_[n]) continue;
      QuantizedGroup group;
      group.op = static_cast<int>(n);
      if (!read_inputs(group)) continue;
      extend(group);
      // Without integer arithmetic there is nothing in it but the float op.
      if (group.kind == QuantizedGroup::Kind::other && group.quantize < 0) continue;
      for (const int member : {group.op, group.add, group.activation, group.quantize})
        if (member >= 0) taken_[static_cast<std::size_t>(member)] = true;
      groups.push_back(std::move(group));
    }
    return groups;
  }

 private:
  /// False where an input that holds real numbers is not quantized (a bias may be).
  bool read_inputs(QuantizedGroup& group) const {
    const Graph::Node& node = graph_.node(group.op);
    if (node.call.op == &kQuantizeLinear || node.call.op == &kDequantizeLinear ||
        node.outputs.size() != 1)
      return false;
    const int count = static_cast<int>(node.inputs.size());
    const auto integer = integer_call(graph_, group.op);
    if (integer && integer->x.dynamic >= 0) return false;
    if (integer) {
      group.kind = integer->kind;
      group.inputs = {integer->x, integer->weight};
      if (count > 2) group.inputs.push_back(integer->bias);
      return true;
    }
    bool any = false;
    for (int i = 0; i < count; ++i) {
      group.inputs.push_back(quantized_operand(graph_, group.op, i));
      const QuantizedOperand& operand = group.inputs.back();
      if (operand.value < 0 || !is_floating(graph_.value(operand.value).dtype)) continue;
      if (!operand.quantized()) return false;
      any = true;
    }
    return any;
  }

  void extend(QuantizedGroup& group) const {
    group.result = graph_.node(group.op).outputs[0];
    int next = uses_.only_reader(group.result);
    if (next >= 0 && group.kind != QuantizedGroup::Kind::other &&
        graph_.node(next).call.op == &kAdd) {
      const bool first = graph_.node(next).inputs[0] == group.result;
      const QuantizedOperand other = quantized_operand(graph_, next, first ? 1 : 0);
      if (!other.quantized() || graph_.value(other.value).shape != graph_.value(group.result).shape)
        return;
      group.add = next;
      group.residual = other;
      group.result = graph_.node(next).outputs[0];
      next = uses_.only_reader(group.result);
    }
    if (next >= 0 &&
        graph_.node(next).call.op->quantization.kind == QuantizationFact::Kind::fused_activation) {
      group.activation = next;
      group.result = graph_.node(next).outputs[0];
      next = uses_.only_reader(group.result);
    }
    if (next >= 0 && graph_.node(next).call.op == &kQuantizeLinear &&
        graph_.node(next).inputs[0] == group.result &&
        has_constant_scale(graph_, graph_.node(next))) {
      group.quantize = next;
      group.result = graph_.node(next).outputs[0];
    }
  }

  const Graph& graph_;
  const Uses uses_;
  std::vector<bool> taken_;
};

}  // namespace

namespace {

/// What `node` reads as input `i`, and the dequantize_linear node that gives it; null without.
const Graph::Node* dequantizer(const Graph& graph, int node, int i, QuantizedOperand& operand) {
  const std::vector<int>& inputs = graph.node(node).inputs;
  if (i >= static_cast<int>(inputs.size())) return nullptr;
  operand.value = inputs[static_cast<std::size_t>(i)];
  const int producer = operand.value < 0 ? -1 : graph.value(operand.value).producer;
  if (producer < 0 || graph.node(producer).call.op != &kDequantizeLinear) return nullptr;
  return &graph.node(producer);
}

void take(const Graph& graph, const Graph::Node& dequantize, QuantizedOperand& operand) {
  operand.dequantize = graph.value(operand.value).producer;
  operand.codes = dequantize.inputs[0];
  operand.scale = dequantize.inputs[1];
  operand.zero_point = dequantize.inputs[2];
  operand.axis = dequantize.call.attributes.as<DequantizeAttributes>().axis;
}

}  // namespace

QuantizedOperand quantized_operand(const Graph& graph, int node, int i) {
  QuantizedOperand operand;
  const Graph::Node* dequantize = dequantizer(graph, node, i, operand);
  if (dequantize && has_constant_scale(graph, *dequantize)) take(graph, *dequantize, operand);
  return operand;
}

QuantizedOperand dynamic_operand(const Graph& graph, int node, int i) {
  QuantizedOperand operand;
  const Graph::Node* dequantize = dequantizer(graph, node, i, operand);
  if (!dequantize) return operand;
  const int dynamic = graph.value(dequantize->inputs[0]).producer;
  if (dynamic < 0 || graph.node(dynamic).call.op != &kDynamicQuantizeLinear ||
      dequantize->inputs != graph.node(dynamic).outputs)
    return operand;
  take(graph, *dequantize, operand);
  operand.dynamic = dynamic;
  return operand;
}

std::vector<QuantizedGroup> quantized_groups(const Graph& graph) {
  return GroupFinder(graph).run();
}

}  // namespace pare
