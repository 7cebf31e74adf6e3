// Inverse trigonometric functions, hyperbolic functions and their inverses.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kAsin, kAcos, kAtan, kSinh, kCosh, kAsinh, kAcosh, kAtanh;

/// Elementwise, of floating types; NaN outside of a function's domain. tanh is in elementwise.h.
/// Throw dtype_mismatch.
PARE_API Tensor asin(const Tensor& x);
PARE_API Tensor acos(const Tensor& x);
PARE_API Tensor atan(const Tensor& x);
PARE_API Tensor sinh(const Tensor& x);
PARE_API Tensor cosh(const Tensor& x);
PARE_API Tensor asinh(const Tensor& x);
PARE_API Tensor acosh(const Tensor& x);
PARE_API Tensor atanh(const Tensor& x);

}  // namespace pare
