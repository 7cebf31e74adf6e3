// The range of a tensor's values, and how an observer's range follows it.
#pragma once

#include "pare/core/tensor.h"

namespace pare {

class InferArgs;

/// Empty while min > max.
struct ValueRange {
  float min;
  float max;
  bool empty() const { return min > max; }
  void join(const ValueRange& other);
};
ValueRange empty_value_range();

/// The exact range of n finite values.
ValueRange range_of(const float* x, std::int64_t n);
/// The exact range of an f32 tensor's values, whatever the thread count; empty of no elements.
/// Throws invalid_argument naming `where` for NaN or infinity.
ValueRange value_range(const Tensor& x, const char* where);

/// The rule for scales of weights around 0: largest / qmax; 2⁻²³ where all values are 0.
float scale_of_magnitude(float largest, float qmax);

/// Reads a range tensor (f32 [2]).
ValueRange read_range(const Tensor& range);
void write_range(Tensor& range, const ValueRange& value);
/// The mean of the samples' ranges that observe_mean_min_max has summed up; empty of none.
ValueRange mean_range(const Tensor& sums);
/// Adds up what two of them have seen.
void add_range_sums(Tensor& sums, const Tensor& others);
/// Throws unless input i of an observer is f32 [2].
void check_range_input(const InferArgs& args, int i);

/// `old` after a batch of range `seen` (ObserveAttributes::averaging).
ValueRange moved_range(const ValueRange& old, const ValueRange& seen, double averaging);

}  // namespace pare
