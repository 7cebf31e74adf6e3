// Loops over the lines of a tensor along one axis.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/broadcast.h"

namespace pare {

/// The lines of a dense tensor along an axis: neighbours are `stride` elements apart.
struct Lines {
  std::int64_t length;
  std::int64_t stride;
  std::int64_t count;

  Lines(const Tensor& t, int axis)
      : length(t.shape()[axis]),
        stride(strides_of(t)[static_cast<std::size_t>(axis)]),
        count(length > 0 ? t.elements() / length : 0) {}
  /// Where a line begins. In a tensor of other length along the axis, but of the same format, the
  /// lines come in the same order.
  std::int64_t begin(std::int64_t line) const {
    return line / stride * stride * length + line % stride;
  }
};

/// Calls body(first, end) on ranges of lines, on several threads where it is worth it.
template <class Body> void for_lines(const Lines& lines, const Body& body) {
  if (lines.count == 0) return;
  parallel_for(0, lines.count, std::max<std::int64_t>(1, kElementGrain / lines.length), body);
}

}  // namespace pare
