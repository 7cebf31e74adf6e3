// Matrix products.
#pragma once

#include "pare/core/op.h"
#include "pare/core/ops/convolution.h"

namespace pare {

PARE_API extern const OpDef kMatmul, kLinear;

/// NumPy's matmul of f32: the last two axes are multiplied, the others broadcast; rank 1 is a row
/// or column. Throws dtype_mismatch, shape_mismatch.
PARE_API Tensor matmul(const Tensor& a, const Tensor& b);
/// x [..., in] · weightᵀ [out, in] + bias [out] (may be undefined), f32. Throws as matmul.
PARE_API Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace pare
