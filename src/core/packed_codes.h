// Packed codes of 4 or 2 bits, several in a byte, the first in its lowest bits (ONNX's order).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pare/core/tensor.h"

namespace pare {

/// i4, u4, i2 or u2.
bool is_packed(DType dtype);

/// Integers of any dtype as numbers, row-major; packed ones are unpacked.
std::vector<std::int32_t> code_values(const Tensor& codes);
/// Codes of 8, 4 or 2 bits, packed where the dtype is. What they hold must fit.
Tensor codes_of(std::span<const std::int32_t> values, const Shape& shape, DType dtype);

}  // namespace pare
