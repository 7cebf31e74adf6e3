// Products whose operands are laid out for AVX2's registers: PackedMatrix, packed_product.
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

 private:
  Tensor panels_;  // [panel][inner][16], zeros behind the last column
  std::int64_t inner_ = 0;
  std::int64_t columns_ = 0;
};

/// c [rows, columns] (its rows `c_stride` apart) = a · b, or += where `accumulate` is set; `inner`
/// is at least 1. Where PackedMatrix::available(), on several threads. Made for
/// what dnnl_sgemm is slow at: a weight's gradient aᵀ · b (of a thousand rows 4 KB apart three
/// times: all elements of a column have one place in the cache), and few rows times wide ones.
void packed_product(std::int64_t rows, std::int64_t columns, std::int64_t inner, MatrixView a,
                    MatrixView b, float* c, std::int64_t c_stride, bool accumulate);

}  // namespace pare
