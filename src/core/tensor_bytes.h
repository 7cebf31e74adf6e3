// tensor_bytes: the size of a tensor in memory, checked.
#pragma once

#include <cstddef>

#include "pare/core/dtype.h"
#include "pare/core/shape.h"

namespace pare {

/// Bytes of a tensor's elements; packed types are rounded up to whole bytes. Throws
/// invalid_argument where their number of bits does not fit 63 bits, invalid_state for a symbolic
/// shape.
std::size_t tensor_bytes(const Shape& shape, DType dtype);

}  // namespace pare
