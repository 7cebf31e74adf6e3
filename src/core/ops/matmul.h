// How the batches of a matmul lie in memory, shared by its float and its integer form.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "pare/core/shape.h"

namespace pare {

/// The shape of a · b; throws shape_mismatch.
Shape matmul_shape(const Shape& a, const Shape& b);

/// Products of [m, k] by [k, n] matrices, one for each pair of offsets, in the order of the output.
struct MatmulPlan {
  MatmulPlan(const Shape& a, const Shape& b);
  /// Products that are worth a thread.
  std::int64_t grain() const {
    return std::max<std::int64_t>(1, (1 << 18) / std::max<std::int64_t>(1, m * n * k));
  }
  std::int64_t m, n, k;
  std::vector<std::pair<std::int64_t, std::int64_t>> offsets;
  bool repeats_a = false;  ///< an element of a is read by several products
  bool repeats_b = false;
};

}  // namespace pare
