// Elementwise ops; binary ones broadcast as NumPy does.
#pragma once

#include <limits>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kAdd, kSub, kMul, kDiv, kMaximum, kNeg, kExp, kLog, kSqrt, kClamp,
    kRelu, kRelu6, kSigmoid, kTanh, kCast, kDetach, kToFormat;

struct ClampAttributes {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  void fields(AttributeVisitor& visit) {
    visit("min", min);
    visit("max", max);
  }
};
struct CastAttributes {
  DType to = DType::f32;
  void fields(AttributeVisitor& visit) { visit("to", to); }
};
struct ToFormatAttributes {
  bool channels_last = false;
  void fields(AttributeVisitor& visit) { visit("channels_last", channels_last); }
};

/// Same dtype on both sides; shapes broadcast. Throws shape_mismatch, dtype_mismatch.
PARE_API Tensor add(const Tensor& a, const Tensor& b);
PARE_API Tensor sub(const Tensor& a, const Tensor& b);
PARE_API Tensor mul(const Tensor& a, const Tensor& b);
PARE_API Tensor div(const Tensor& a, const Tensor& b);
/// The larger of the two (NaN if either is). The gradient of a tie goes half to each, as PyTorch's.
PARE_API Tensor maximum(const Tensor& a, const Tensor& b);
PARE_API Tensor neg(const Tensor& x);
PARE_API Tensor exp(const Tensor& x);
PARE_API Tensor log(const Tensor& x);
PARE_API Tensor sqrt(const Tensor& x);
/// min ≤ result ≤ max; the gradient passes where the input lies in the closed range.
PARE_API Tensor clamp(const Tensor& x, double min, double max);
PARE_API Tensor relu(const Tensor& x);
/// min(max(x, 0), 6)
PARE_API Tensor relu6(const Tensor& x);
PARE_API Tensor sigmoid(const Tensor& x);
PARE_API Tensor tanh(const Tensor& x);
/// Converts; to an integer by truncation towards zero (saturating), to bool by x ≠ 0.
PARE_API Tensor cast(const Tensor& x, DType to);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
/// A number is a rank-0 tensor of the other side's dtype.
PARE_API Tensor operator+(const Tensor& a, double b);
PARE_API Tensor operator-(const Tensor& a, double b);
PARE_API Tensor operator*(const Tensor& a, double b);
PARE_API Tensor operator/(const Tensor& a, double b);

}  // namespace pare
