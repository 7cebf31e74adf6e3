// Pattern: small questions about how a value is computed, of which patterns of calls are made.
#include "graph/pattern.h"

#include <algorithm>
#include <cmath>

#include "pare/core/ops.h"

namespace pare {

const Graph::Node* Pattern::made_by(int value, const OpDef& op) const {
  if (value < 0 || graph_.value(value).producer < 0) return nullptr;
  const Graph::Node& node = graph_.node(graph_.value(value).producer);
  return node.call.op == &op ? &node : nullptr;
}

int Pattern::operand(int value, const OpDef& op, std::size_t i) const {
  const Graph::Node* node = made_by(value, op);
  return node && i < node->inputs.size() ? node->inputs[i] : -1;
}

std::optional<double> Pattern::number(int value) const {
  // A chain that is longer is none of an exporter's.
  for (int step = 0; value >= 0 && step < 4; ++step) {
    const Graph::Value& found = graph_.value(value);
    if (found.kind == Graph::Kind::constant) {
      if (found.tensor.elements() != 1) return std::nullopt;
      return found.tensor.item();
    }
    int before = operand(value, kCast);
    if (before < 0) before = operand(value, kReshape);
    if (before < 0) before = operand(value, kExpand);
    value = before;
  }
  return std::nullopt;
}

bool Pattern::is_near(int value, double wanted) const {
  const std::optional<double> found = number(value);
  // Exporters write constants with the digits of half precision at worst.
  return found && std::fabs(*found - wanted) <= 1e-3 * std::max(1e-6, std::fabs(wanted));
}

int Pattern::with_constant(int value, const OpDef& op, double wanted) const {
  const Graph::Node* node = made_by(value, op);
  if (!node || node->inputs.size() != 2) return -1;
  if (is_near(node->inputs[1], wanted)) return node->inputs[0];
  const bool commutes = &op == &kAdd || &op == &kMul;
  return commutes && is_near(node->inputs[0], wanted) ? node->inputs[1] : -1;
}

std::optional<std::int64_t> Pattern::last_axes(int value, const OpDef& op) const {
  const Graph::Node* node = made_by(value, op);
  if (!node || node->inputs.size() != 1) return std::nullopt;
  const auto& attr = node->call.attributes.as<ReduceAttributes>();
  const int rank = graph_.value(node->inputs[0]).shape.rank();
  if (!attr.keepdim || attr.axes.empty()) return std::nullopt;
  std::vector<std::int64_t> axes = attr.axes;
  for (std::int64_t& a : axes)
    if (a >= 0) a -= rank;
  std::ranges::sort(axes);
  for (std::size_t k = 0; k < axes.size(); ++k)
    if (axes[k] != static_cast<std::int64_t>(k) - static_cast<std::int64_t>(axes.size()))
      return std::nullopt;
  return axes.front();
}

}  // namespace pare
