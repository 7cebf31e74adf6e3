// simplify_casts: a cast of a cast becomes one, or none, where the first one loses nothing.
#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"

namespace pare {
namespace {

/// Digits of the whole numbers that a type holds without gaps.
int whole_bits(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 53;
    case DType::f32:
      return 24;
    case DType::f16:
      return 11;
    case DType::bf16:
      return 8;
    case DType::boolean:
      return 1;
    default:
      return traits(dtype).bits - (traits(dtype).is_signed ? 1 : 0);
  }
}

/// Whether `wide` has every value of `narrow`.
bool holds(DType wide, DType narrow) {
  if (wide == narrow) return true;
  if (wide == DType::boolean) return false;
  const DTypeTraits& w = traits(wide);
  const DTypeTraits& n = traits(narrow);
  if (n.floating && !w.floating) return false;
  if (n.is_signed && !w.is_signed) return false;
  return whole_bits(wide) >= whole_bits(narrow) && w.highest >= n.highest && w.lowest <= n.lowest;
}

}  // namespace

PassResult simplify_casts(Graph graph) {
  PassReport report;
  // In their order: a chain of casts becomes shorter from its begin on.
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Graph::Node& last = graph.node(n);
    if (last.call.op != &kCast) continue;
    const int first_number = graph.value(last.inputs[0]).producer;
    if (first_number < 0 || graph.node(first_number).call.op != &kCast) continue;
    const Graph::Node& first = graph.node(first_number);
    const int x = first.inputs[0];
    const DType from = graph.value(x).dtype;
    const DType between = graph.value(last.inputs[0]).dtype;
    const DType to = graph.value(last.outputs[0]).dtype;
    // Where the last one loses something too, what it makes of a number may depend on its type.
    if (!holds(between, from) || !holds(to, from)) continue;
    report.done.push_back({last.name, fmt::format("joined with '{}'", first.name)});
    if (to == from)
      graph.replace_uses(last.outputs[0], x);
    else
      graph.edit_node(n).inputs = {x};
  }
  graph.compact();
  graph.verify();
  return {std::move(graph), std::move(report)};
}

}  // namespace pare
