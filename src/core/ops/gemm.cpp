// Single-precision matrix products through Eigen.
#include "core/ops/gemm.h"

#include <Eigen/Core>
#include <algorithm>

#include "pare/core/parallel.h"

namespace pare {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Transposed = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
using Stride = Eigen::OuterStride<>;
template <class M> using Map = Eigen::Map<const M, Eigen::Unaligned, Stride>;

template <class A, class B>
void product(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b, float* c,
             std::int64_t c_stride, bool accumulate) {
  const Map<A> left(a.data, m, k, Stride(a.stride));
  const Map<B> right(b.data, k, n, Stride(b.stride));
  Eigen::Map<Matrix, Eigen::Unaligned, Stride> result(c, m, n, Stride(c_stride));
  if (accumulate) {
    result.noalias() += left * right;
  } else {
    result.noalias() = left * right;
  }
}

/// The view of rows (columns of a transposed one) from `first` on.
MatrixView rows_from(MatrixView v, std::int64_t first) {
  v.data += v.transposed ? first : first * v.stride;
  return v;
}
MatrixView columns_from(MatrixView v, std::int64_t first) {
  v.data += v.transposed ? first * v.stride : first;
  return v;
}

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b, float* c,
          std::int64_t c_stride, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!accumulate)
      for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * c_stride, n, 0.0F);
    return;
  }
  // A column-major map of the same memory is the transpose.
  if (a.transposed && b.transposed) {
    product<Transposed, Transposed>(m, n, k, a, b, c, c_stride, accumulate);
  } else if (a.transposed) {
    product<Transposed, Matrix>(m, n, k, a, b, c, c_stride, accumulate);
  } else if (b.transposed) {
    product<Matrix, Transposed>(m, n, k, a, b, c, c_stride, accumulate);
  } else {
    product<Matrix, Matrix>(m, n, k, a, b, c, c_stride, accumulate);
  }
}

void parallel_gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b,
                   float* c, std::int64_t c_stride, bool accumulate) {
  constexpr std::int64_t kWorthwhile = 1 << 20;  // multiplications for one thread
  if (m >= n) {
    const std::int64_t grain =
        std::max<std::int64_t>(8, kWorthwhile / std::max<std::int64_t>(1, n * k));
    parallel_for(0, m, grain, [&](std::int64_t begin, std::int64_t end) {
      gemm(end - begin, n, k, rows_from(a, begin), b, c + begin * c_stride, c_stride, accumulate);
    });
  } else {
    const std::int64_t grain =
        std::max<std::int64_t>(8, kWorthwhile / std::max<std::int64_t>(1, m * k));
    parallel_for(0, n, grain, [&](std::int64_t begin, std::int64_t end) {
      gemm(m, end - begin, k, a, columns_from(b, begin), c + begin, c_stride, accumulate);
    });
  }
}

}  // namespace pare
