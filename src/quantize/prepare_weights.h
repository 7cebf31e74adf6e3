// Fake-quantized weights: the part of prepare and prepare_qat that is about layers.
#pragma once

#include <cstddef>

#include "pare/graph/graph.h"
#include "pare/quantize/qat.h"
#include "pare/quantize/qconfig.h"

namespace pare::quantize {

/// Puts fake-quantization before the weight of node n, as the settings of the node say. `norm` is
/// the batch norm that is quantized with it, −1: none. `qat` null: for quantization after training.
void prepare_weight(Graph& graph, int n, int norm, const QConfig& config, const QATConfig* qat);

/// Puts fake-quantization with a scale for each row, or with one, before input `input` of node n.
void prepare_rows(Graph& graph, int n, std::size_t input, const QConfig& config,
                  const QATConfig& qat);

}  // namespace pare::quantize
