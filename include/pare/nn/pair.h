// Pair: a setting for height and width, written as one number or two.
#pragma once

#include <cstdint>

namespace pare::nn {

/// `.kernel = 3` means 3 by 3, `.kernel = {1, 5}` height 1 and width 5.
struct Pair {
  std::int64_t height;
  std::int64_t width;
  constexpr Pair(std::int64_t both) : height(both), width(both) {}
  constexpr Pair(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  bool operator==(const Pair&) const = default;
};

}  // namespace pare::nn
