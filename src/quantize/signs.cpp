// Which activations are never negative, by the ops that make them.
#include "quantize/signs.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "pare/core/ops.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

template <std::size_t N> bool is_one_of(const OpDef* op, const std::array<const OpDef*, N>& ops) {
  return std::ranges::find(ops, op) != ops.end();
}

// What is known by now, so that each value is looked at once.
using Known = std::unordered_map<int, bool>;

bool never_negative(const Graph& graph, int value, Known& known);

bool looked_at(const Graph& graph, int value, Known& known) {
  static const std::array kMakes{&kRelu,        &kRelu6,    &kSigmoid, &kSoftmax, &kAbs,
                                 &kHardsigmoid, &kSoftplus, &kSquare,  &kExp,     &kSqrt};
  static const std::array kKeeps{&kAdd,
                                 &kMul,
                                 &kMaximum,
                                 &kConcat,
                                 &kGlobalAveragePool,
                                 &kAveragePool1d,
                                 &kAveragePool2d,
                                 &kAveragePool3d,
                                 &kAdaptiveAveragePool,
                                 &kAdaptiveMaxPool,
                                 &kMean};
  const int producer = graph.value(value).producer;
  if (producer < 0) return false;
  const Graph::Node& node = graph.node(producer);
  const OpDef* op = node.call.op;
  if (is_one_of(op, kMakes)) return true;
  // What stands behind an activation already rounds it, and keeps its sign.
  if (is_observer(node) || is_learned(node))
    return has_relu(node) || never_negative(graph, node.inputs[0], known);
  if (op == &kClamp) return node.call.attributes.as<ClampAttributes>().min >= 0;
  if (!is_one_of(op, kKeeps) && !selects(node.call)) return false;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const int v = node.inputs[i];
    if (v < 0 || graph.value(v).dtype != DType::f32) continue;
    if (!never_negative(graph, v, known)) return false;
  }
  return true;
}

bool never_negative(const Graph& graph, int value, Known& known) {
  if (const auto found = known.find(value); found != known.end()) return found->second;
  const bool result = looked_at(graph, value, known);
  known.emplace(value, result);
  return result;
}

}  // namespace

bool never_negative(const Graph& graph, int value) {
  Known known;
  return never_negative(graph, value, known);
}

}  // namespace pare::quantize
