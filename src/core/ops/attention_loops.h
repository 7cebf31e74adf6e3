// scaled_dot_product_attention on any matrix product.
#pragma once

#include "core/ops/gemm.h"
#include "pare/core/op.h"

namespace pare {

/// As gemm.
using Multiply = void (*)(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a,
                          MatrixView b, float* c, std::int64_t c_stride, bool accumulate);

/// Operands and output of f32, in row-major order.
void attention_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context, Multiply multiply);
void attention_backward(BackwardArgs& args, Multiply multiply);

}  // namespace pare
