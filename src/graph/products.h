// Multiply-accumulates of a node.
#pragma once

#include <cstdint>

#include "pare/graph/graph.h"

namespace pare {

/// Of convolutions, dense and recurrent layers, matrix products and attention; 0 of others, −1
/// where a size that it takes is a symbol.
std::int64_t multiply_accumulates(const Graph& graph, const Graph::Node& node);

}  // namespace pare
