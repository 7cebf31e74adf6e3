// Along one axis every element of the result is a weighted sum of a few of the input: what resizing
// and borders are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "pare/core/tensor.h"

namespace pare {

/// index and weight are [out, count]; without weights the element itself (count 1).
struct Taps {
  std::int64_t out = 0;
  std::int64_t count = 1;
  std::vector<std::int32_t> index;
  std::vector<double> weight;
};

/// y = x with `axis` of taps.out elements in place of its own; shapes and formats otherwise the
/// same. Without weights any dtype of whole bytes, else f32 or f64.
void apply_taps(const Taps& taps, int axis, const Tensor& x, Tensor& y);
/// The gradient: gx, f32 or f64, is written whole.
void transpose_taps(const Taps& taps, int axis, const Tensor& g, Tensor& gx);

}  // namespace pare
