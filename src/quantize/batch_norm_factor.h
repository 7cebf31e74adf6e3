// The factor of a batch norm as calls, for weights that are quantized with it.
#pragma once

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Adds γ / √(running variance + ε) of batch norm `norm` behind layer n, off the tape, kept at
/// least 2⁻²⁰ off 0 (a γ of 0 must not divide), shaped to multiply the layer's weight. Gives the
/// value.
int batch_norm_factor(Graph& graph, int n, int norm);

}  // namespace pare::quantize
