// Recurrent layers with dynamic_quantize, run on the codes of their weights: the reference of
// plans.
#pragma once

#include "pare/graph/graph.h"

namespace pare {

/// The visible outputs of `node` from its arguments, off the tape, with integer products as plans
/// have them, to the bit. Empty where the node is no such layer or has weights that are no codes.
Tensors run_recurrent_codes(const Graph& graph, const Graph::Node& node, const Tensors& arguments);

}  // namespace pare
