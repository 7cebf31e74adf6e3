// scaled_dot_product_attention on oneDNN's matrix products.
#include "core/ops/attention_loops.h"
#include "onednn/gemm.h"
#include "onednn/kernels.h"

namespace pare::onednn {
namespace {

void product(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b, float* c,
             std::int64_t c_stride, bool accumulate) {
  if (m == 0 || n == 0) return;
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
