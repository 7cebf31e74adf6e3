// Codes of weights that were read: stored as they are, or bytes for layers that multiply integers.
#pragma once

#include "pare/graph/graph.h"

namespace pare::onnx {

/// Every dequantize_weight without blocks becomes dequantize_linear over codes of 8 bits where a
/// reader multiplies it with activations in codes. Elsewhere packed codes stay what they are only
/// as weights of layers, codes of 8 bits everywhere. Reshaped and transposed weights count as
/// weights.
void settle_stored_weights(Graph& graph);

}  // namespace pare::onnx
