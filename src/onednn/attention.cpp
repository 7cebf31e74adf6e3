// scaled_dot_product_attention on oneDNN's matrix products.
#include <algorithm>

#include "core/isa.h"
#include "core/ops/attention_loops.h"
#include "core/ops/packed_matrix.h"
#include "onednn/gemm.h"
#include "onednn/kernels.h"
#include "pare/core/context.h"
#include "pare/core/parallel.h"

namespace pare::onednn {
namespace {

/// A head's products are small, and their rows far apart: packing them for AVX2 took 0.6 to 0.7 of
/// dnnl_sgemm's time of 64 queries, 64 keys and heads of 32 (Zen 4).
bool prefers_packed(std::int64_t m, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kLargest = 1 << 18;
  return std::min({m, n, k}) >= 8 && m * n * k <= kLargest &&
         (PackedMatrix::available() || (halves_avx512() && isa_cap() >= Isa::avx2));
}

void product(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b, float* c,
             std::int64_t c_stride, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (context().precision == Precision::f32 && prefers_packed(m, n, k))
    return packed_product(m, n, k, a, b, c, c_stride, accumulate);
  multiply(m, n, k, {a.data, a.stride, a.transposed}, {b.data, b.stride, b.transposed},
           accumulate ? 1.0F : 0.0F, c, c_stride);
}

}  // namespace

bool attention_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context) {
  if (inputs[0].dtype() != DType::f32 || inputs[0].dim(-1) == 0) return false;
  pare::attention_forward(call, inputs, outputs, context, product);
  return true;
}

bool attention_backward(BackwardArgs& args) {
  const bool packed = args.inputs() < 2 || !args.has_input(1);
  if (args.input_shape(0)[-1] == 0 || args.input_shape(packed ? 0 : 2)[-1] == 0) return false;
  pare::attention_backward(args, product);
  return true;
}

}  // namespace pare::onednn
