// Copies between strided blocks: what all movement ops are made of.
#pragma once

#include <cstddef>

#include "core/strides.h"
#include "pare/core/shape.h"

namespace pare {

/// A block of elements: where its first lies and the step, in elements, along each axis.
struct StridedTarget {
  void* data;
  Strides strides;
};
struct StridedSource {
  const void* data;
  Strides strides;  ///< may be 0 (broadcast) or negative
};

/// Copies `sizes` elements of `element_bytes` (1, 2, 4 or 8) each, on several threads. The target's
/// elements are distinct.
void copy_strided(const Shape& sizes, std::size_t element_bytes, StridedTarget to,
                  StridedSource from);

/// Bytes of an element; throws unsupported for the packed types.
std::size_t movable_bytes(DType dtype, const char* where);

}  // namespace pare
