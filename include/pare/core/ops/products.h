// Products that are composed of other ops: einsum, bilinear and PyTorch's named forms of matmul.
#pragma once

#include <string_view>

#include "pare/core/tensor.h"

namespace pare {

/// Einstein's summation, "bij,bjk->bik": letters name axes, equal letters are equal axes, those not
/// in the result are summed; "..." stands for axes that broadcast, a letter twice in one operand
/// for its diagonal. Without "->" the result has the ellipsis, then the letters that occur once, in
/// alphabetical order (upper case first). Runs as transpose, reshape, mul, sum and matmul, from
/// left to right. Throws invalid_argument for an equation that cannot be read or does not fit the
/// ranks, shape_mismatch for sizes that differ, and what those ops throw. A sum over no elements
/// is 0.
PARE_API Tensor einsum(std::string_view equation, const Tensors& operands);

/// y[…, o] = Σ_ij x1[…, i] · weight[o, i, j] · x2[…, j] + bias[o], with x1 [..., in1] and
/// x2 [..., in2] of the same leading axes, weight [out, in1, in2], bias [out] or undefined. Throws
/// shape_mismatch.
PARE_API Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& weight,
                         const Tensor& bias = {});

/// Σ a·b of two vectors of the same length, a scalar. Throws shape_mismatch.
PARE_API Tensor dot(const Tensor& a, const Tensor& b);
/// a [n], b [m] → [n, m], the products of all pairs. Throws shape_mismatch.
PARE_API Tensor outer(const Tensor& a, const Tensor& b);
/// a [B, n, k] · b [B, k, m] → [B, n, m]; nothing broadcasts. Throws shape_mismatch.
PARE_API Tensor bmm(const Tensor& a, const Tensor& b);

struct AddmmOptions {
  double beta = 1;   ///< times the summand
  double alpha = 1;  ///< times the product
};
/// beta · c + alpha · a [n, k] · b [k, m], where c broadcasts to [n, m]. With beta 0 c is not read.
/// Throws shape_mismatch.
PARE_API Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b,
                      const AddmmOptions& options = {});
/// The same of batches: a [B, n, k], b [B, k, m].
PARE_API Tensor baddbmm(const Tensor& c, const Tensor& a, const Tensor& b,
                        const AddmmOptions& options = {});

}  // namespace pare
