// Leaves that prepare adds beside a graph's own.
#pragma once

#include <string>
#include <utility>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// What an observer keeps.
inline int add_state(Graph& graph, const std::string& name, Tensor value) {
  return graph.add_leaf(Graph::Kind::buffer, name, std::move(value));
}

/// What training learns.
inline int add_parameter(Graph& graph, const std::string& name, Tensor value) {
  value.set_requires_grad(true);
  return graph.add_leaf(Graph::Kind::parameter, name, value, true);
}

}  // namespace pare::quantize
