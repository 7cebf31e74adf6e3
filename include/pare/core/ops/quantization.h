// The one arithmetic of quantization: q = clamp(round_half_even(x / s) + z, qmin, qmax).
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kFakeQuantize, kQuantizeLinear, kDequantizeLinear;

struct FakeQuantizeAttributes {
  std::int64_t qmin = -128;
  std::int64_t qmax = 127;
  std::int64_t axis = -1;  ///< channel axis of a scale of rank 1; −1 for one scale
  void fields(AttributeVisitor& visit) {
    visit("qmin", qmin);
    visit("qmax", qmax);
    visit("axis", axis);
  }
};
struct QuantizeAttributes {
  DType dtype = DType::u8;
  std::int64_t axis = -1;
  std::int64_t qmin = 0;  ///< may be narrower than the dtype (s7)
  std::int64_t qmax = 255;
  void fields(AttributeVisitor& visit) {
    visit("dtype", dtype);
    visit("axis", axis);
    visit("qmin", qmin);
    visit("qmax", qmax);
  }
};
struct DequantizeAttributes {
  std::int64_t axis = -1;
  void fields(AttributeVisitor& visit) { visit("axis", axis); }
};

/// s·(q − z) for f32 x; scale f32 and zero_point i32, rank 0 or [C] along `axis`. The gradient
/// passes where the unclamped q lies in [qmin, qmax] (straight-through; Bengio et al. 2013).
PARE_API Tensor fake_quantize(const Tensor& x, const Tensor& scale, const Tensor& zero_point,
                              const FakeQuantizeAttributes& attributes);
/// ONNX's QuantizeLinear: f32 → i8, u8, i16, u16 or i32. zero_point i32 (stored as the dtype's).
PARE_API Tensor quantize_linear(const Tensor& x, const Tensor& scale, const Tensor& zero_point,
                                const QuantizeAttributes& attributes);
/// ONNX's DequantizeLinear: (q − z)·s, i8, u8, i16, u16 or i32 → f32.
PARE_API Tensor dequantize_linear(const Tensor& q, const Tensor& scale, const Tensor& zero_point,
                                  const DequantizeAttributes& attributes = {});

}  // namespace pare
