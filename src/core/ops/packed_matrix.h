// PackedMatrix: the right operand of products, laid out once for AVX2's registers.
#pragma once

#include <cstdint>

#include "core/ops/gemm.h"
#include "pare/core/tensor.h"

namespace pare {

class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// Packs b [inner, columns].
  PackedMatrix(MatrixView b, std::int64_t inner, std::int64_t columns);
  /// Whether this CPU has the loops; where it has wider registers others are as fast.
  static bool available();
  bool defined() const { return panels_.defined(); }
  /// c [rows, columns] = a [rows, inner] · b, or += where `accumulate` is set; rows are dense. For
  /// few rows, which stay in the cache; in the calling thread.
  void multiply(std::int64_t rows, const float* a, float* c, bool accumulate) const;
  /// c [rows, columns] = aᵀ · b with a [inner, rows], its rows `a_stride` apart: a weight's
  /// gradient. On several threads. Such products of a thousand rows, 4 KB apart, dnnl_sgemm does
  /// three times slower: all elements of a column have one place in the cache.
  void multiply_transposed(std::int64_t rows, const float* a, std::int64_t a_stride,
                           float* c) const;

 private:
  Tensor panels_;  // [panel][inner][16], zeros behind the last column
  std::int64_t inner_ = 0;
  std::int64_t columns_ = 0;
};

}  // namespace pare
