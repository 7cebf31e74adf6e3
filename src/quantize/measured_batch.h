// Batches that nets are measured on.
#pragma once

#include <cstdint>

#include "pare/graph/graph.h"
#include "pare/quantize/batches.h"

namespace pare::quantize {

/// The inputs of a batch. Throws, naming `where`, the input and the batch, shape_mismatch where one
/// has no values and invalid_argument where one has NaN or +∞, which activations and pooling may
/// hide from the outputs; −∞ is what masks add.
Tensors measured_batch(const Graph& graph, const Batches& data, std::int64_t batch,
                       const char* where);

}  // namespace pare::quantize
