// Quantized groups: which nodes of a Q/DQ graph belong to one step on integers.
#pragma once

#include <cstdint>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// An operand of a node. Where a dequantize_linear node with constant scale and zero point gives
/// it, also the codes and how they stand for real numbers: scale · (code − zero point). The same
/// where codes, scale and zero point are those of a dynamic_quantize_linear node; only what asks
/// for such operands (dynamic_operand) gets them.
struct QuantizedOperand {
  int value = -1;          ///< what the node reads; −1 for an optional input left out
  int dequantize = -1;     ///< the node that gives it; −1: the operand is not quantized
  int codes = -1;          ///< values
  int scale = -1;          ///< f32, of rank 0 or 1
  int zero_point = -1;     ///< i32 or of the codes' type (ONNX's), of the scale's shape
  std::int64_t axis = -1;  ///< the channel axis of a scale of rank 1
  int dynamic = -1;        ///< the dynamic_quantize_linear node; −1: the scale is constant
  bool quantized() const { return dequantize >= 0; }
};

/// dequantize_linear… → op → [add of a dequantized residual] → [activation] → [quantize_linear].
/// Each node but the last has no other reader. All its quantized operands have constant scales.
struct QuantizedGroup {
  enum class Kind : std::uint8_t {
    convolution,     ///< over one to three axes; these have integer arithmetic (integer_call.h)
    conv_transpose,  ///< the same
    linear,
    matmul,  ///< of an activation and a constant or another activation
    other,   ///< the op's float form between dequantization and quantization
  };
  Kind kind = Kind::other;
  int op = -1;  ///< node
  /// Those of op, in order. A bias is quantized (i32 in units of s_x·s_w) or float.
  std::vector<QuantizedOperand> inputs;
  int add = -1;  ///< node, −1: none
  QuantizedOperand residual;
  int activation = -1;  ///< node (relu, relu6), −1: none
  int quantize = -1;    ///< node, −1: the group's result is float
  int result = -1;      ///< value: the codes, or a float
};

/// The operand that `node` reads as input `i`.
QuantizedOperand quantized_operand(const Graph& graph, int node, int i);
/// The same where it is quantized as it comes; else one that is not quantized.
QuantizedOperand dynamic_operand(const Graph& graph, int node, int i);

/// The groups in the order of their ops. Kind `other` only between dequantization and quantization;
/// a convolution, linear or matrix product needs quantized inputs but may give a float.
std::vector<QuantizedGroup> quantized_groups(const Graph& graph);

}  // namespace pare
