// What oneDNN's convolutions take: its arithmetic of int overflows beyond.
#pragma once

#include <algorithm>
#include <cstdint>

#include "pare/core/shape.h"

namespace pare::onednn {

/// Whether strides, paddings and dilations are of a size that a picture has.
template <class Attributes> bool settings_fit(const Attributes& a) {
  constexpr std::int64_t kMost = std::int64_t{1} << 15;
  const auto small = [](const auto& settings) {
    return std::ranges::all_of(settings, [](std::int64_t v) { return v <= kMost; });
  };
  return small(a.stride) && small(a.padding) && small(a.dilation);
}

/// Whether there are elements, and no more than an int counts.
inline bool elements_fit(const Shape& shape) {
  return shape.elements() > 0 && shape.elements() < std::int64_t{1} << 31;
}

}  // namespace pare::onednn
