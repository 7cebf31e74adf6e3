// Pattern: small questions about how a value is computed, of which patterns of calls are made.
#pragma once

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// Values are the graph's numbers; −1, which any question takes, has no answer.
class Pattern {
 public:
  explicit Pattern(const Graph& graph) : graph_(graph) {}

  const Graph& graph() const { return graph_; }
  /// The call that makes a value, where it is of that op and its attributes say all (no input
  /// stands for one); else null.
  const Graph::Node* made_by(int value, const OpDef& op) const;
  /// Its input i, or −1.
  int operand(int value, const OpDef& op, std::size_t i = 0) const;
  /// Its two inputs, in both orders, one after the other: the first pair that `fits` takes.
  template <class Fits> bool either_order(int value, const OpDef& op, const Fits& fits) const {
    const Graph::Node* node = made_by(value, op);
    if (!node || node->inputs.size() != 2) return false;
    return fits(node->inputs[0], node->inputs[1]) || fits(node->inputs[1], node->inputs[0]);
  }
  /// The other operand of a product, sum or difference whose one operand is a constant near
  /// `number`; a difference and a quotient have the constant behind. −1 where it is none.
  int with_constant(int value, const OpDef& op, double number) const;
  /// The number in a constant of one element (seen through casts and shapes), or nothing.
  std::optional<double> number(int value) const;
  bool is_near(int value, double number) const;
  /// Whether the value is the last axes' mean, kept as axes of size 1; gives the first of them,
  /// counted from the end.
  std::optional<std::int64_t> last_axes(int value, const OpDef& op) const;

 private:
  const Graph& graph_;
};

}  // namespace pare
