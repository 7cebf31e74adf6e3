// Single-precision matrix products for the portable contractions.
#pragma once

#include <cstdint>

namespace pare {

/// A row-major matrix in memory, read as its transpose where `transposed` is set.
struct MatrixView {
  const float* data;
  std::int64_t stride;  ///< elements from one row in memory to the next
  bool transposed = false;
};

/// c [m, n] (rows `c_stride` apart) = a [m, k] · b [k, n], or += where `accumulate` is set.
/// In the calling thread.
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b, float* c,
          std::int64_t c_stride, bool accumulate);

/// The same on several threads, each with rows (or, of few rows, columns) of its own.
void parallel_gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b,
                   float* c, std::int64_t c_stride, bool accumulate);

}  // namespace pare
