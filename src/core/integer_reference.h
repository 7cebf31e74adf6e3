// Integer convolutions and products with int32 accumulation: the reference for quantized layers.
#pragma once

#include "pare/core/ops/contraction.h"

namespace pare {

// All take codes i8 or u8 and give i32: sums of (x − x_zero) · w, without scale or bias. They throw
// what the float op throws for its shapes, dtype_mismatch for other codes, invalid_argument for a
// zero point that is no code, and out_of_range where the weights and the range of x admit a sum
// beyond int32 (no order of summation could then be relied on).

/// x [N, C, …] over one to three axes, weight i8 or u8 [O, C/groups, …] with zero point 0; the
/// result is in x's memory format. Padding counts as x_zero.
template <std::size_t N>
Tensor convolution_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight,
                           const ConvolutionAttributes<N>& attributes);
/// The same of a transposed convolution, weight [C, O/groups, …].
template <std::size_t N>
Tensor conv_transpose_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight,
                              const ConvTransposeAttributes<N>& attributes);
/// x [..., in], weight [out, in] with zero point 0.
Tensor linear_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight);
/// NumPy's matmul of (a − a_zero) and (b − b_zero).
Tensor matmul_integer(const Tensor& a, std::int32_t a_zero, const Tensor& b, std::int32_t b_zero);

}  // namespace pare
