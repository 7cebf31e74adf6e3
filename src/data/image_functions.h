// Helpers that the functions on pictures share.
#pragma once

#include <array>
#include <cstdint>

#include "pare/core/tensor.h"

namespace pare::data {

/// The picture in row-major order. Throws shape_mismatch and dtype_mismatch for what is none.
Tensor checked_picture(const Tensor& picture, const char* where);

}  // namespace pare::data
