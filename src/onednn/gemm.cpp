// Matrix products on dnnl_sgemm, or on our own kernels where it is slow.
#include "onednn/gemm.h"

#include <algorithm>

#include "core/check.h"
#include "core/ops/packed_matrix.h"
#include "core/threads.h"
#include "onednn/api.h"
#include "onednn/gemm_bf16.h"
#include "onednn/small_gemm.h"
#include "pare/core/context.h"

namespace pare::onednn {
namespace {

/// Rows so far apart that the elements of a column share few places in a cache. dnnl_sgemm copies
/// operands by columns: of such ones slowly, unless the other operand makes much use of the copy.
bool crowded(const Matrix& m) { return m.stride % 128 == 0; }

/// On AVX2 packed_product took 0.5 to 0.9 of the time of these, and 1.0 to 1.1 of that of others.
bool prefers_packed(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix& a,
                    const Matrix& b) {
  return !b.transposed && std::min({m, n, k}) >= 16 && m * n * k >= 1 << 20 &&
         ((a.transposed && crowded(a) && n <= 512) || (crowded(b) && m <= 128)) &&
         PackedMatrix::available();
}

}  // namespace

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
              float* c, std::int64_t c_stride) {
  if (context().precision == Precision::bf16 && has_bf16() &&
      multiply_bf16(m, n, k, a, b, beta, c, c_stride))
    return;
  if (multiply_small(m, n, k, a, b, beta, c, c_stride)) return;
  if (prefers_packed(m, n, k, a, b))
    return packed_product(m, n, k, {a.data, a.stride, a.transposed}, {b.data, b.stride}, c,
                          c_stride, beta != 0);
  const ThreadScope threads;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, 1.0F, a.data,
                 a.stride, b.data, b.stride, beta, c, c_stride);
  PARE_CHECK(status == dnnl_success, internal, "oneDNN", "sgemm failed with status {}",
             static_cast<int>(status));
}

}  // namespace pare::onednn
