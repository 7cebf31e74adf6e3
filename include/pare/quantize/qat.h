// Quantization-aware training: how ranges are found while a graph trains, and when they stay.
#pragma once

#include <cstdint>
#include <optional>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// How the ranges of fake-quantizers follow from training.
enum class TrainingMethod : std::uint8_t {
  moving_average,  ///< of what was seen (Jacob et al., 2018); weights by their own values
  lsq,             ///< the step is learned (Esser et al., "Learned step size quantization", 2020)
  lsq_plus,        ///< step and zero point are learned (Bhalgat et al., "LSQ+", 2020)
  pact,            ///< the largest value kept is learned (Choi et al., "PACT", 2018)
  tqt,  ///< its logarithm, for scales that are powers of two (Jain et al., "Trained …", 2019)
};

/// Where learned steps start.
enum class StepStart : std::uint8_t {
  paper,          ///< lsq: 2·mean|x|/√qmax; lsq_plus, tqt: μ ± 3σ; pact: 6, weights max|w|
  least_squares,  ///< the least square error by the codes themselves
};

/// What a batch norm after a layer means to the layer's fake-quantized weight.
enum class BatchNormForm : std::uint8_t {
  automatic,  ///< commuting for a scale per channel, folded for one scale
  /// W is quantized, and the batch norm multiplies codes and scales afterwards: docs/numerics.md.
  /// One scale for all channels becomes one for each.
  commuting,
  /// conv(x, FQ(W·f) / f) before the batch norm, f = γ/√(running variance + ε) without a gradient,
  /// kept off 0: PyTorch's default, which keeps one scale for all channels.
  folded,
};

/// What prepare_qat is told beside the QConfig, which has the bits, the codes and what is
/// quantized.
struct QATConfig {
  TrainingMethod method = TrainingMethod::moving_average;
  std::optional<TrainingMethod> weight_method = {};  ///< of weights; empty: as `method`
  StepStart start = StepStart::paper;
  BatchNormForm batch_norm = BatchNormForm::automatic;
};

}  // namespace pare::quantize
