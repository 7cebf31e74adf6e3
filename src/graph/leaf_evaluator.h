// The parts of a graph that depend on its leaves only.
#pragma once

#include <unordered_map>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// Per value, whether it depends on leaves only (itself a leaf, or computed from leaves).
std::vector<bool> leaf_values(const Graph& graph);

/// Evaluates such values as in inference, each once.
class LeafEvaluator {
 public:
  explicit LeafEvaluator(const Graph& graph) : graph_(graph) {}
  Tensor operator()(int value);
  /// Frees what was evaluated; it would be evaluated anew.
  void forget() { known_.clear(); }

 private:
  const Graph& graph_;
  std::unordered_map<int, Tensor> known_;
};

}  // namespace pare
