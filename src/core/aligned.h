// Alignment: where vectors and cache lines begin.
#pragma once

#include <cstddef>

namespace pare {

inline constexpr std::size_t kAlignment = 64;
/// Rounded up to whole cache lines.
inline constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace pare
