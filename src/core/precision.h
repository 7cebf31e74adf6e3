// The arithmetic of bf16 in f32, and which ops have products.
#pragma once

#include <cstdint>
#include <span>

#include "pare/core/op.h"
#include "pare/core/precision.h"

namespace pare {

/// An op that multiplies in the thread's precision. Its kernels get f32 operands and multiply in
/// bf16; they are tried before the operands are rounded for the others.
struct ProductOp {
  const OpDef* op;
  std::uint32_t operands;  ///< bit i: input i is multiplied
  std::span<const ForwardKernel> forward = {};
  std::span<const BackwardKernel> backward = {};
};

namespace kernels {
/// All of them; src/kernels.cpp composes the list.
std::span<const ProductOp> product_ops();
}  // namespace kernels

/// Null where the op has no products.
const ProductOp* product_op(const OpDef& op);

/// A copy with every value rounded to the nearest bf16, half to even; tensors that are not f32 and
/// undefined ones as they are.
Tensor rounded_to_bf16(const Tensor& tensor);

}  // namespace pare
