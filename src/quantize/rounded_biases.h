// Training with biases as the integers will have them.
#pragma once

#include <map>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Puts round_bias on the biases of the layers that `norms` names (with the batch norm behind each
/// that is folded into it, −1: none), in a graph whose weights and activations are fake-quantized.
/// So what training evaluates differs from what the integers compute by the rounding of float sums
/// only: one code that is another in the first layer makes a thousand others in the last.
void round_biases(Graph& graph, const std::map<int, int>& norms);

}  // namespace pare::quantize
