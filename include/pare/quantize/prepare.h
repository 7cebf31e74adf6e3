// prepare and prepare_qat: from a float graph to one that learns the ranges of its activations.
#pragma once

#include "pare/graph/graph.h"
#include "pare/quantize/qat.h"
#include "pare/quantize/qconfig.h"

namespace pare::quantize {

/// For quantization after training: a copy of `graph` with batch norms folded, fake-quantized
/// weights, and an observer after every activation that will be quantized. Run it on calibration
/// data, then `convert`. Throws invalid_argument for a name or op in `config` that matches nothing
/// and for numbers in it that are out of range, invalid_state for a graph that is prepared or
/// quantized already, unsupported where nothing can be quantized.
PARE_API Graph prepare(const Graph& graph, const QConfig& config = QConfig::x86());

/// For quantization-aware training (Jacob et al., "Quantization and training of neural networks for
/// efficient integer-arithmetic-only inference", 2018): a copy of `graph` whose weights and
/// activations pass through fake-quantization. By default ranges of activations follow moving
/// averages while context().observing; `qat` may have them, and those of weights, learned: as
/// parameters "<activation>_step" and "<weight>_step" (and "…_offset" for LSQ+'s zero points),
/// those of activations set by the first batch. Batch norms stay: per-channel fake-quantization
/// commutes with their factors, so that `convert` can fold them without changing a code. Throws as
/// prepare.
PARE_API Graph prepare_qat(const Graph& graph, const QConfig& config = QConfig::x86(),
                           const QATConfig& qat = {});

}  // namespace pare::quantize
