// Numbers that a script in Python computes too.
#pragma once

#include <cstdint>
#include <vector>

#include "pare/core/tensor.h"

namespace pare::test {

/// In [−0.5, 0.5), by integers alone: noise() of the scripts that make golden values.
inline Tensor noise(std::uint32_t number, const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::uint32_t i = 0;
  for (float& value : values) {
    std::uint32_t mixed = i++ * 2654435761U + number * 40503U;
    mixed = (mixed ^ (mixed >> 15)) * 2246822519U;
    value = static_cast<float>(static_cast<double>(mixed >> 16) / 65536 - 0.5);
  }
  return Tensor::from(values, shape);
}

}  // namespace pare::test
