// The parts of a graph that depend on its leaves only.
#include "graph/leaf_evaluator.h"

#include <algorithm>

#include "core/check.h"

namespace pare {

std::vector<bool> leaf_values(const Graph& graph) {
  std::vector<bool> leaf(graph.values().size(), false);
  for (std::size_t v = 0; v < leaf.size(); ++v)
    leaf[v] = graph.value(static_cast<int>(v)).is_leaf();
  for (const Graph::Node& node : graph.nodes()) {
    const bool all = std::all_of(node.inputs.begin(), node.inputs.end(),
                                 [&](int v) { return v < 0 || leaf[static_cast<std::size_t>(v)]; });
    for (int v : node.outputs) leaf[static_cast<std::size_t>(v)] = all;
  }
  return leaf;
}

Tensor LeafEvaluator::operator()(int value) {
  const Graph::Value& v = graph_.value(value);
  if (v.is_leaf()) return v.tensor;
  PARE_ASSERT(v.producer >= 0);
  if (const auto found = known_.find(value); found != known_.end()) return found->second;
  const Graph::Node& node = graph_.node(v.producer);
  Tensors inputs;
  for (int i : node.inputs) inputs.push_back(i < 0 ? Tensor() : (*this)(i));
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  scope->tracer = nullptr;
  const Tensors outputs = apply_all(node.call, inputs);
  for (std::size_t o = 0; o < outputs.size(); ++o) known_[node.outputs[o]] = outputs[o];
  return known_.at(value);
}

}  // namespace pare
