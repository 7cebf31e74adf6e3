// Quantization as importers build it: dequantize_linear and quantize_linear of ONNX's operands.
#pragma once

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// How codes stand for reals: scale and zero point are values, −1 for a zero point of 0; both have
/// one element, or one for each index of the axis.
struct CodeScale {
  int scale = -1;
  int zero = -1;
  std::int64_t axis = 0;
};

/// Inputs i (scale) and j (zero point, which may be left out) of a node.
CodeScale code_scale(NodeImport& node, int i, int j, std::int64_t axis = 0);
/// A scale of 1 with the zero point that input j gives.
CodeScale unit_scale(NodeImport& node, int j, std::int64_t axis = 0);

/// f32 of codes. Constant codes are shifted to i8 with zero point 0 where all of them fit.
int dequantized(NodeImport& node, int codes, CodeScale by);
/// Codes of f32 values, of the zero point's type (u8 where there is none).
int quantized(NodeImport& node, int x, const CodeScale& by);
int quantized_to(NodeImport& node, int x, const CodeScale& by, DType codes);
/// i32 in units of the product of two scales, for the second's channels, as f32.
int dequantized_bias(NodeImport& node, int codes, const CodeScale& x, const CodeScale& weight);

/// The u8 codes, scale and zero point that DynamicQuantizeLinear chooses for x.
struct DynamicCodes {
  int codes = -1;
  CodeScale by;
};
DynamicCodes quantized_dynamically(NodeImport& node, int x);

/// 4-bit codes as bytes; others as they are.
Tensor unpacked(const Tensor& codes);

/// Constant codes in bytes. With zero points (else undefined) both are shifted to i8 and 0 where
/// all codes fit and that changes anything.
struct ByteCodes {
  Tensor codes, zeros;
};
ByteCodes in_bytes(const Tensor& codes, const Tensor& zeros, std::int64_t axis);

}  // namespace pare::onnx
