// A reshape to sizes that are meant as they are.
#pragma once

#include <cstdint>
#include <vector>

#include "pare/core/tensor.h"

namespace pare {

/// reshape to a shape of as many elements whose zeros are sizes: in ONNX's Reshape they would copy
/// an axis of x.
Tensor reshape_exactly(const Tensor& x, const std::vector<std::int64_t>& shape);

}  // namespace pare
