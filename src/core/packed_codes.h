// Packed 4-bit codes, two in a byte, the first in the lower half (ONNX's order).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pare/core/tensor.h"

namespace pare {

/// i4 or u4.
bool is_packed(DType dtype);

/// Integers of any dtype as numbers, row-major; packed ones are unpacked.
std::vector<std::int32_t> code_values(const Tensor& codes);
/// Codes of i8, u8, i4 or u4, packed where the dtype is. What they hold must fit.
Tensor codes_of(std::span<const std::int32_t> values, const Shape& shape, DType dtype);

}  // namespace pare
