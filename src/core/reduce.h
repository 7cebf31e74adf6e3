// Sums, products and extremes over any axes of a tensor in either memory format.
#pragma once

#include <cstdint>

#include "core/strides.h"

namespace pare {

enum class Reduction : std::uint8_t {
  sum,
  mean,
  product,
  max,
  min,
  // Of floating types alone:
  sum_of_magnitudes,
  sum_of_squares,
  largest_magnitude,
  smallest_magnitude,
};

/// Reduces `x` (f32, f64 or an integer) over the axes whose bit is set in `axes` into `out` (same
/// dtype). `out_strides` says, per axis of x that is kept, where its elements lie in `out`. f32 is
/// summed in short runs per vector lane, and those in f64; integers in i64. NaN is an extreme.
/// Throws invalid_argument for an extreme of no elements.
void reduce(Reduction kind, const Tensor& x, std::uint32_t axes, const Strides& out_strides,
            Tensor& out);

}  // namespace pare
