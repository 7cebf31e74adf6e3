// Integer calls: a convolution or matrix product of dequantized operands, run on their codes.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "graph/quantized_groups.h"

namespace pare {

struct IntegerCall {
  QuantizedGroup::Kind kind = QuantizedGroup::Kind::convolution;
  QuantizedOperand x;
  QuantizedOperand weight;
  QuantizedOperand bias;  ///< quantized where it is i32 in units of s_x·s_w, else float or none
  /// What it reads: codes, scale and zero point of x and weight, then the bias (codes or float).
  std::vector<int> reads() const;
};

/// Whether node `n` has the integer form: x in u8 or i8 with one scale; weight in i8 without zero
/// points, with one scale or one per output channel (of a transposed convolution per output channel
/// of a group, as in ONNX). A matrix product: any 8-bit second factor, an activation too. Or x of
/// two or more axes quantized as it comes, the weight a constant matrix of i8, whose sums fit 32
/// bits whatever x is: linear and matmul.
std::optional<IntegerCall> integer_call(const Graph& graph, int n);

/// The call's float result from the tensors that reads() names, in that order.
Tensor run_integer(const IntegerCall& integer, const Call& call, std::span<const Tensor> read);

}  // namespace pare
