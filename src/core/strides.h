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

/// Whether elements of that shape lie in the same places by both strides.
inline bool same_places(const Shape& shape, const Strides& a, const Strides& b) {
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    if (shape[axis] > 1 && a[i] != b[i]) return false;
  }
  return true;
}

/// Whether both memory formats order the elements the same.
inline bool one_order(const Shape& shape) {
  if (shape.rank() < 3 || shape.rank() > 5) return true;
  return same_places(shape, strides_of(shape, MemoryFormat::row_major),
                     strides_of(shape, MemoryFormat::channels_last));
}

}  // namespace pare
