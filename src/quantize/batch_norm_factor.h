// The factor of a batch norm as calls, for weights that are quantized with it.
#pragma once

#include <string>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// γ / √(running variance + ε) of a batch norm, shaped to multiply the weight of the layer before.
struct BatchNormFactor {
  int value;     ///< kept at least 2⁻²⁰ off 0, since it divides
  int vanishes;  ///< where it had to be
};
/// Adds the factor of batch norm `norm` behind layer n; γ is off the tape unless `learned`.
BatchNormFactor batch_norm_factor(Graph& graph, int n, int norm, bool learned);

/// quantized / factor, which the layer reads, but weight / factor where the factor vanishes: codes
/// of 0 there would leave γ without a gradient, and nothing would bring the channel back.
int without_factor(Graph& graph, const std::string& name, int weight, int quantized,
                   const BatchNormFactor& factor);
/// What without_factor divided: the quantized weight; −1: `value` is none of its results.
int quantized_with_factor(const Graph& graph, int value);

}  // namespace pare::quantize
