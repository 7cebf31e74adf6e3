// Weights kept as codes of 8, 4 or 2 bits, with a scale for each block of neighbours if wished.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kDequantizeWeight;

/// The entry of a graph's metadata that says how its weights are stored; an ONNX file that has it
/// comes back with dequantize_weight wherever codes are constants.
inline constexpr const char* kWeightOnlyKey = "quantize.weight_only";

struct DequantizeWeightAttributes {
  std::int64_t axis = -1;  ///< of the blocks, or of the channels of a scale of rank 1
  std::int64_t block = 0;  ///< neighbours along the axis that share a scale; 0: none
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("block", block);
  }
};

/// (q − z)·s as f32: ONNX's DequantizeLinear for a weight that computes in float. Codes q are i8,
/// u8 or packed i4, u4, i2, u2. The scale (f32) has rank 0, or [C] along the axis; with a block the
/// codes' shape but ⌈n / block⌉ along the axis, where the last block may be shorter. The zero point
/// (0 where it is left out) has the codes' dtype, or i32, and the scale's shape. No gradient.
/// Throws dtype_mismatch, shape_mismatch and, for a block below 0, invalid_argument.
PARE_API Tensor dequantize_weight(const Tensor& q, const Tensor& scale,
                                  const Tensor& zero_point = {},
                                  const DequantizeWeightAttributes& attributes = {});

}  // namespace pare
