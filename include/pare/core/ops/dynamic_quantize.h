// Activations quantized by the range that they have: ONNX's DynamicQuantizeLinear, also by rows.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kDynamicQuantizeLinear;

struct DynamicQuantizeAttributes {
  /// A range for each row (all indices but the last), else one for all of x.
  bool per_row = false;
  void fields(AttributeVisitor& visit) { visit("per_row", per_row); }
};

struct DynamicallyQuantized {
  Tensor codes;       ///< u8, x's shape
  Tensor scale;       ///< f32, rank 0; per row x's shape with a last axis of 1
  Tensor zero_point;  ///< u8, the scale's shape
};
/// f32 x to codes clamp(round_half_even(x / scale) + zero_point, 0, 255), where with low = min(x,
/// 0) and high = max(x, 0) the scale is (high − low) / 255 (1 where that is 0) and the zero point
/// clamp(round_half_even(−low / scale), 0, 255). A range with NaN or infinity in it has the scale
/// NaN and codes of 0, so that what is computed from them is NaN. dequantize_linear takes all
/// three. Throws dtype_mismatch, and shape_mismatch for rows of a tensor without axes.
PARE_API DynamicallyQuantized
dynamic_quantize_linear(const Tensor& x, const DynamicQuantizeAttributes& attributes = {});

}  // namespace pare
