// Triple: a setting for depth, height and width, written as one number or three.
#pragma once

#include <cstdint>

namespace pare::nn {

/// `.kernel = 3` means 3 by 3 by 3, `.kernel = {1, 3, 5}` depth 1, height 3 and width 5.
struct Triple {
  std::int64_t depth;
  std::int64_t height;
  std::int64_t width;
  constexpr Triple(std::int64_t all) : depth(all), height(all), width(all) {}
  constexpr Triple(std::int64_t d, std::int64_t h, std::int64_t w)
      : depth(d), height(h), width(w) {}
  bool operator==(const Triple&) const = default;
};

}  // namespace pare::nn
