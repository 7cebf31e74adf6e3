// Numbers for the symbolic axes of a graph's inputs.
#pragma once

#include "pare/graph/graph.h"

namespace pare {

/// The graph, over the same tensors, with every symbolic axis of its inputs at a number: 1 for a
/// first axis, for the others the smallest of 1, 8, 64 and 256 that the ops take, since windows
/// need pictures larger than themselves. Throws what infer throws for 256.
Graph at_smallest_sizes(const Graph& graph);

}  // namespace pare
