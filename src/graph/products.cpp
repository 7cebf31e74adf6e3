// Counts multiply-accumulates by the shapes of a node's operands.
#include "graph/products.h"

#include <algorithm>

#include "pare/core/error.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

bool is_any(const OpDef* op, std::initializer_list<const OpDef*> ops) {
  return std::ranges::find(ops, op) != ops.end();
}

class Counter {
 public:
  Counter(const Graph& graph, const Graph::Node& node) : graph_(graph), node_(node) {}

  std::int64_t count() const {
    const OpDef* const op = node_.call.op;
    // Each output element of a convolution, each input element of a transposed one, meets all of
    // the weight but its first axis.
    if (is_any(op, {&kConv1d, &kConv2d, &kConv3d}))
      return output().elements() * input(1).elements(1, input(1).rank());
    if (is_any(op, {&kConvTranspose1d, &kConvTranspose2d, &kConvTranspose3d}))
      return input(0).elements() * input(1).elements(1, input(1).rank());
    if (is_any(op, {&kLinear, &kMatmul}) && input(0).rank() > 0)
      return output().elements() * input(0)[-1];
    if (is_any(op, {&kRnn, &kLstm, &kGru})) return recurrent();
    if (op == &kScaledDotProductAttention) return attention();
    return 0;
  }

 private:
  bool has(std::size_t i) const { return i < node_.inputs.size() && node_.inputs[i] >= 0; }
  const Shape& input(std::size_t i) const { return graph_.value(node_.inputs[i]).shape; }
  const Shape& output() const { return graph_.value(node_.outputs[0]).shape; }

  // Every step of every sample meets each weight matrix.
  std::int64_t recurrent() const {
    std::int64_t weights = 0;
    for (std::size_t i = 1; i < node_.inputs.size(); ++i)
      if (has(i) && input(i).rank() == 2) weights += input(i).elements();
    return input(0).elements(0, 2) * weights;
  }

  // Query with keys, then weights with values; one operand is all three side by side.
  std::int64_t attention() const {
    const std::int64_t keys = input(has(1) ? 1 : 0)[-2];
    return ((has(1) ? input(0) : output()).elements() + output().elements()) * keys;
  }

  const Graph& graph_;
  const Graph::Node& node_;
};

}  // namespace

std::int64_t multiply_accumulates(const Graph& graph, const Graph::Node& node) {
  try {
    return Counter(graph, node).count();
  } catch (const Error&) {
    return -1;
  }
}

}  // namespace pare
