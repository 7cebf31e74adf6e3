// What observes activations: the part of prepare and prepare_qat that is about ranges.
#pragma once

#include "pare/graph/graph.h"
#include "pare/quantize/qat.h"
#include "pare/quantize/qconfig.h"
#include "quantize/placement.h"

namespace pare::quantize {

/// Puts an observer, or fake-quantization, behind every source of a range. Throws invalid_argument
/// for overrides that disagree. `qat` null: for quantization after training.
void prepare_activation(Graph& graph, const Placement::Range& range, const QConfig& config,
                        const QATConfig* qat);

}  // namespace pare::quantize
