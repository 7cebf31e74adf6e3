// What methods on a float graph ask of it.
#pragma once

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Throws invalid_state naming `where` for a graph that is prepared or quantized.
void check_float(const Graph& graph, const char* where);

}  // namespace pare::quantize
