// Mixing of the examples of a batch with each other.
#pragma once

#include <cstdint>
#include <variant>

#include "pare/core/export.h"
#include "pare/core/generator.h"
#include "pare/data/batch.h"

namespace pare::data {

/// λ · x + (1 − λ) · the example before it in the batch, and the same of the labels, λ ~
/// Beta(α, α) per batch (Zhang et al., "mixup: Beyond empirical risk minimization", 2018;
/// torchvision's MixUp).
struct MixUp {
  std::int64_t classes = 0;  ///< the labels become probabilities f32 [N, classes]
  double alpha = 0.2;
};

/// A rectangle of the example before it, of the share 1 − λ of the area, λ ~ Beta(α, α) per batch
/// (Yun et al., "CutMix", 2019; torchvision's CutMix).
struct CutMix {
  std::int64_t classes = 0;
  double alpha = 1;
};

using Mix = std::variant<MixUp, CutMix>;

/// The batch mixed: f32 x [N, …] ([N, C, H, W] for CutMix) of either format and i64 y [N] give x
/// and y f32 [N, classes], for cross_entropy with probabilities. Throws shape_mismatch and
/// dtype_mismatch for others, out_of_range for a label that is no class, invalid_argument for
/// numbers that make no sense.
PARE_API Batch mix(const Batch& batch, const Mix& how, Generator& generator);

}  // namespace pare::data
