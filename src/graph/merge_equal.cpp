// merge_equal: calls that compute the same become one.
#include <algorithm>
#include <map>
#include <tuple>

#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"

namespace pare {
namespace {

/// What two calls must have in common to be compared at all.
using Key = std::tuple<const OpDef*, std::vector<int>, std::string>;

/// Draws random numbers, keeps state, or watches what goes through.
bool is_its_own(const OpDef& op) {
  return &op == &kDropout || &op == &kScaledDotProductAttention || &op == &kObserveMinMax ||
         &op == &kObserveHistogram || &op == &kObserveFakeQuantize || !op.state.empty();
}

/// Constants of one dtype, shape and bytes are one value.
bool same_constant(const Graph::Value& a, const Graph::Value& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.tensor.format() == b.tensor.format() &&
         (a.tensor.same_as(b.tensor) ||
          std::equal(static_cast<const std::byte*>(a.tensor.raw()),
                     static_cast<const std::byte*>(a.tensor.raw()) + a.tensor.bytes(),
                     static_cast<const std::byte*>(b.tensor.raw())));
}

}  // namespace

PassResult merge_equal(Graph graph) {
  PassReport report;
  // Small constants first: exporters write one for each use.
  constexpr std::size_t kSmall = 4096;
  std::map<std::pair<DType, std::string>, std::vector<int>> constants;
  for (int v = 0; v < static_cast<int>(graph.values().size()); ++v) {
    const Graph::Value& value = graph.value(v);
    if (value.kind != Graph::Kind::constant || value.tensor.bytes() > kSmall) continue;
    std::vector<int>& alike = constants[{value.dtype, value.shape.to_string()}];
    bool merged = false;
    for (const int other : alike) {
      if (!same_constant(graph.value(other), value)) continue;
      graph.replace_uses(v, other);
      merged = true;
      break;
    }
    if (!merged) alike.push_back(v);
  }
  std::map<Key, std::vector<int>> seen;
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Graph::Node& node = graph.node(n);
    if (is_its_own(*node.call.op)) continue;
    const Key key{node.call.op, node.inputs,
                  node.call.attributes ? node.call.attributes.to_string() : ""};
    std::vector<int>& alike = seen[key];
    bool merged = false;
    for (const int other : alike) {
      // Text rounds numbers; the attributes themselves do not.
      if (!(graph.node(other).call.attributes == node.call.attributes)) continue;
      const Graph::Node first = graph.node(other);
      const Graph::Node second = node;
      for (std::size_t k = 0; k < second.outputs.size(); ++k)
        graph.replace_uses(second.outputs[k], first.outputs[k]);
      report.done.push_back({second.name, fmt::format("is '{}'", first.name)});
      merged = true;
      break;
    }
    if (!merged) alike.push_back(n);
  }
  graph.compact();
  graph.verify();
  return {std::move(graph), std::move(report)};
}

}  // namespace pare
