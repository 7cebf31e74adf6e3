// Shapes and dtypes of a node's outputs from what the graph knows of its inputs.
#pragma once

#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// Constants are known by value, parameters and buffers only by shape, since they change. Errors of
/// the op's infer get the node's name.
std::vector<InferArgs::Output> infer_node(const Graph& graph, const std::string& name,
                                          const Call& call, const std::vector<int>& inputs);

}  // namespace pare
