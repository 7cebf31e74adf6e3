// Where the bins of an observer's histogram lie.
#pragma once

#include <cstdint>

#include "core/value_range.h"

namespace pare {

/// Bin i of a histogram holds [(first + i)·2^exponent, (first + i + 1)·2^exponent).
struct HistogramGrid {
  int exponent;
  std::int64_t first;
};

/// The finest grid whose `bins` bins hold the range (not empty). It follows from the range alone,
/// and a wider range never gives a finer grid: so bins merge exactly as the range grows.
HistogramGrid histogram_grid(const ValueRange& range, std::int64_t bins);

/// Adds the counts of a histogram over the range `from` to one over `to`, which holds it.
void add_counts(const Tensor& counts, const ValueRange& from, Tensor& sum, const ValueRange& to);

}  // namespace pare
