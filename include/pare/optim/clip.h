// Clipping of gradients.
#pragma once

#include <span>

#include "pare/core/tensor.h"

namespace pare::optim {

struct ClipNormOptions {
  double max_norm = 1;
  double norm_type = 2;  ///< infinity: the largest absolute value
  bool error_if_nonfinite = false;
};

/// Scales the gradients of all parameters in place by max_norm / (norm + 1e-6) where that is below
/// 1, and returns the norm of all of them together before (PyTorch's clip_grad_norm_). Throws
/// invalid_argument for a norm_type not above 0 or a negative max_norm; invalid_state for a norm
/// that is not finite, if asked to. Pascanu et al., 2013.
PARE_API double clip_grad_norm(std::span<const Tensor> parameters, const ClipNormOptions& options);

/// The norm of the gradients of all parameters together, in double. Throws invalid_argument for a
/// norm_type not above 0.
PARE_API double grad_norm(std::span<const Tensor> parameters, double norm_type = 2);

/// Clamps every element of the gradients to ±clip_value in place. Throws invalid_argument for a
/// negative value.
PARE_API void clip_grad_value(std::span<const Tensor> parameters, double clip_value);

}  // namespace pare::optim
