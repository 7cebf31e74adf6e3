// Which activations are never negative, by the ops that make them.
#pragma once

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Whether a value of the graph is at least 0 whatever the inputs are: behind relu, sigmoid,
/// softmax, …, and through what only moves, selects, averages or adds such values.
bool never_negative(const Graph& graph, int value);

}  // namespace pare::quantize
