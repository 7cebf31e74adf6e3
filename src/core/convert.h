// Copies between memory formats and between dtypes.
#pragma once

#include "pare/core/tensor.h"

namespace pare {

/// Writes the elements of `from` into `to`: same shape and dtype, each in its own memory format.
void convert_format(const Tensor& from, Tensor& to);

/// Writes the values of `from` into `to`, converted: same shape, any formats and (unpacked) dtypes.
/// To an integer by truncation towards zero, saturating, NaN to 0; integers wrap as in C++; to bool
/// by x ≠ 0.
void convert_dtype(const Tensor& from, Tensor& to);

}  // namespace pare
