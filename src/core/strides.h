// Element strides of a tensor in its memory format.
#pragma once

#include <array>
#include <cstdint>

#include "pare/core/tensor.h"

namespace pare {

using Strides = std::array<std::int64_t, Shape::kMaxRank>;

/// Stride, in elements, of each logical axis.
inline Strides strides_of(const Shape& shape, MemoryFormat format) {
  Strides s{};
  const int rank = shape.rank();
  std::int64_t step = 1;
  if (format == MemoryFormat::channels_last) {
    s[1] = 1;
    step = shape[1];
    for (int a = rank - 1; a >= 2; --a) {
      s[static_cast<std::size_t>(a)] = step;
      step *= shape[a];
    }
    s[0] = step;
    return s;
  }
  for (int a = rank - 1; a >= 0; --a) {
    s[static_cast<std::size_t>(a)] = step;
    step *= shape[a];
  }
  return s;
}
inline Strides strides_of(const Tensor& t) { return strides_of(t.shape(), t.format()); }

}  // namespace pare
