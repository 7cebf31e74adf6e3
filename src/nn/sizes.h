// Settings of one, two or three spatial axes as arrays.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "pare/nn/pair.h"
#include "pare/nn/triple.h"

namespace pare::nn {

inline std::array<std::int64_t, 1> array_of(std::int64_t v) { return {v}; }
inline std::array<std::int64_t, 2> array_of(Pair v) { return {v.height, v.width}; }
inline std::array<std::int64_t, 3> array_of(Triple v) { return {v.depth, v.height, v.width}; }

/// The same on both sides of each axis: before all of them, then after.
template <std::size_t N>
std::array<std::int64_t, 2 * N> both_sides(const std::array<std::int64_t, N>& v) {
  std::array<std::int64_t, 2 * N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = out[N + i] = v[i];
  return out;
}

/// "[3, 5]"
template <std::size_t N> std::string to_text(const std::array<std::int64_t, N>& v) {
  std::string text = "[";
  for (std::size_t i = 0; i < N; ++i) text += (i ? ", " : "") + std::to_string(v[i]);
  return text + "]";
}

}  // namespace pare::nn
