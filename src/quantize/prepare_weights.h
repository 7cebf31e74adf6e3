// Fake-quantized weights: the part of prepare and prepare_qat that is about layers.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "pare/graph/graph.h"
#include "pare/quantize/qat.h"
#include "pare/quantize/qconfig.h"

namespace pare::quantize {

/// Weights that are rounded already, by what they are rounded to: layers that share a weight share
/// its codes.
using RoundedWeights = std::map<std::string, int>;

/// Puts fake-quantization before the weight of node n, as the settings of the node say. `norm` is
/// the batch norm that is quantized with it, −1: none. `qat` null: for quantization after training.
void prepare_weight(Graph& graph, int n, int norm, const QConfig& config, const QATConfig* qat,
                    RoundedWeights& known);

/// Puts fake-quantization with a scale for each row, or with one, before input `input` of node n.
void prepare_rows(Graph& graph, int n, std::size_t input, const QConfig& config,
                  const QATConfig& qat, RoundedWeights& known);

}  // namespace pare::quantize
