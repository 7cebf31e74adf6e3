// The arithmetic of bf16 in f32.
#pragma once

#include "pare/core/tensor.h"

namespace pare {

/// A copy with every value rounded to the nearest bf16, half to even; tensors that are not f32 and
/// undefined ones as they are.
Tensor rounded_to_bf16(const Tensor& tensor);

}  // namespace pare
