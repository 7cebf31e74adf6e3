// Products of row-major f32 matrices.
#pragma once

#include <cstdint>

namespace pare::onednn {

/// A row-major matrix as it lies in memory, or its transpose.
struct Matrix {
  const float* data;
  std::int64_t stride;  ///< elements from one stored row to the next
  bool transposed = false;
};

/// c [m, n] = a [m, k] · b [k, n] + beta · c (beta 0 or 1), in up to max_threads() threads;
/// multiplied in bf16 where context().precision is that and the CPU has it.
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
              float* c, std::int64_t c_stride);

}  // namespace pare::onednn
