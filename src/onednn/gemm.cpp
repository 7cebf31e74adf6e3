// Matrix products on dnnl_sgemm, small ones on our own kernel.
#include "onednn/gemm.h"

#include "core/check.h"
#include "core/threads.h"
#include "onednn/api.h"
#include "onednn/gemm_bf16.h"
#include "onednn/small_gemm.h"
#include "pare/core/context.h"

namespace pare::onednn {

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
              float* c, std::int64_t c_stride) {
  if (context().precision == Precision::bf16 && has_bf16() &&
      multiply_bf16(m, n, k, a, b, beta, c, c_stride))
    return;
  if (multiply_small(m, n, k, a, b, beta, c, c_stride)) return;
  const ThreadScope threads;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, 1.0F, a.data,
                 a.stride, b.data, b.stride, beta, c, c_stride);
  PARE_CHECK(status == dnnl_success, internal, "oneDNN", "sgemm failed with status {}",
             static_cast<int>(status));
}

}  // namespace pare::onednn
