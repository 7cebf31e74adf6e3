// Float graphs, and the float network within a prepared one.
#pragma once

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Throws invalid_state naming `where` for a graph that is prepared or quantized.
void check_float(const Graph& graph, const char* where);
/// Throws invalid_state naming `where` for a graph that is not from `prepare`.
void check_prepared(const Graph& prepared, const char* where);
/// The float network that was prepared: without observers and fake-quantization.
Graph float_form(const Graph& prepared);

}  // namespace pare::quantize
