// Elementwise ops; binary ones broadcast as NumPy does.
#pragma once

#include <limits>
#include <string>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kAdd, kSub, kMul, kDiv, kMaximum, kNeg, kExp, kLog, kSqrt, kClamp,
    kRelu, kRelu6, kSigmoid, kTanh, kCast, kDetach, kToFormat;
// Mathematical functions, arithmetic of two operands, comparisons, logic, choice.
PARE_API extern const OpDef kAbs, kSign, kSquare, kReciprocal, kRsqrt, kSin, kCos, kTan, kErf,
    kFloor, kCeil, kRound, kMinimum, kPow, kMod, kEqual, kNotEqual, kLess, kLessEqual, kGreater,
    kGreaterEqual, kLogicalAnd, kLogicalOr, kLogicalXor, kLogicalNot, kBitwiseAnd, kBitwiseOr,
    kBitwiseXor, kBitwiseNot, kWhere;
// Activations.
PARE_API extern const OpDef kLeakyRelu, kPrelu, kElu, kSelu, kCelu, kHardsigmoid, kHardswish,
    kHardtanh, kSoftplus, kSoftsign, kGelu, kSilu, kMish, kLogSigmoid;

struct ClampAttributes {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  void fields(AttributeVisitor& visit) {
    visit("min", min);
    visit("max", max);
  }
};
struct ModAttributes {
  bool fmod = false;  ///< the result has the sign of the dividend (C's fmod), not the divisor's
  void fields(AttributeVisitor& visit) { visit("fmod", fmod); }
};
struct LeakyReluAttributes {
  double slope = 0.01;
  void fields(AttributeVisitor& visit) { visit("slope", slope); }
};
/// Of elu and celu.
struct EluAttributes {
  double alpha = 1.0;
  void fields(AttributeVisitor& visit) { visit("alpha", alpha); }
};
struct HardtanhAttributes {
  double min = -1.0;
  double max = 1.0;
  void fields(AttributeVisitor& visit) {
    visit("min", min);
    visit("max", max);
  }
};
struct SoftplusAttributes {
  double beta = 1.0;
  double threshold = 20.0;  ///< where beta · x is above, the result is x
  void fields(AttributeVisitor& visit) {
    visit("beta", beta);
    visit("threshold", threshold);
  }
};
struct GeluAttributes {
  std::string approximate = "none";  ///< "none": through erf, "tanh": Hendrycks' approximation
  void fields(AttributeVisitor& visit) { visit("approximate", approximate); }
};
struct CastAttributes {
  DType to = DType::f32;
  void fields(AttributeVisitor& visit) { visit("to", to); }
};
struct ToFormatAttributes {
  bool channels_last = false;
  void fields(AttributeVisitor& visit) { visit("channels_last", channels_last); }
};

/// Numbers of one dtype, not bool; shapes broadcast. Throws shape_mismatch, dtype_mismatch.
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
/// min(max(x, 0), 6), as relu of numbers; sigmoid and tanh throw dtype_mismatch for integers.
PARE_API Tensor relu6(const Tensor& x);
PARE_API Tensor sigmoid(const Tensor& x);
PARE_API Tensor tanh(const Tensor& x);

PARE_API Tensor abs(const Tensor& x);
/// −1, 0 or 1 (0 of NaN). The gradient of sign, floor, ceil and round is zero, as PyTorch's.
PARE_API Tensor sign(const Tensor& x);
PARE_API Tensor square(const Tensor& x);
/// 1 / x
PARE_API Tensor reciprocal(const Tensor& x);
/// 1 / √x
PARE_API Tensor rsqrt(const Tensor& x);
PARE_API Tensor sin(const Tensor& x);
PARE_API Tensor cos(const Tensor& x);
PARE_API Tensor tan(const Tensor& x);
/// The error function 2/√π ∫₀ˣ e^(−t²) dt.
PARE_API Tensor erf(const Tensor& x);
PARE_API Tensor floor(const Tensor& x);
PARE_API Tensor ceil(const Tensor& x);
/// To the nearest integer, halves to the even one.
PARE_API Tensor round(const Tensor& x);
/// The smaller of the two (NaN if either is). The gradient of a tie goes half to each.
PARE_API Tensor minimum(const Tensor& a, const Tensor& b);
/// a to the power b, as C's pow; integers wrap, and are 0 for a negative power unless |a| = 1.
/// Shapes broadcast. Throws shape_mismatch, dtype_mismatch.
PARE_API Tensor pow(const Tensor& a, const Tensor& b);
PARE_API Tensor pow(const Tensor& a, double b);
/// The remainder of a / b with the sign of a (C's fmod). An integer's remainder by 0 is 0.
PARE_API Tensor fmod(const Tensor& a, const Tensor& b);
/// The remainder of a / b with the sign of b (Python's %). An integer's remainder by 0 is 0.
PARE_API Tensor remainder(const Tensor& a, const Tensor& b);

/// Comparisons give bool; shapes broadcast, both sides are of one dtype. equal and not_equal take
/// bool too. Integers compare exactly with any number. Throw shape_mismatch, dtype_mismatch.
PARE_API Tensor equal(const Tensor& a, const Tensor& b);
PARE_API Tensor not_equal(const Tensor& a, const Tensor& b);
PARE_API Tensor less(const Tensor& a, const Tensor& b);
PARE_API Tensor less_equal(const Tensor& a, const Tensor& b);
PARE_API Tensor greater(const Tensor& a, const Tensor& b);
PARE_API Tensor greater_equal(const Tensor& a, const Tensor& b);
PARE_API Tensor equal(const Tensor& a, double b);
PARE_API Tensor not_equal(const Tensor& a, double b);
PARE_API Tensor less(const Tensor& a, double b);
PARE_API Tensor less_equal(const Tensor& a, double b);
PARE_API Tensor greater(const Tensor& a, double b);
PARE_API Tensor greater_equal(const Tensor& a, double b);
/// Of truth values, and of numbers by x ≠ 0; give bool. Throw shape_mismatch, dtype_mismatch.
PARE_API Tensor logical_and(const Tensor& a, const Tensor& b);
PARE_API Tensor logical_or(const Tensor& a, const Tensor& b);
PARE_API Tensor logical_xor(const Tensor& a, const Tensor& b);
PARE_API Tensor logical_not(const Tensor& x);
/// Of integers or bool, both sides of one dtype. Throw shape_mismatch, dtype_mismatch.
PARE_API Tensor bitwise_and(const Tensor& a, const Tensor& b);
PARE_API Tensor bitwise_or(const Tensor& a, const Tensor& b);
PARE_API Tensor bitwise_xor(const Tensor& a, const Tensor& b);
PARE_API Tensor bitwise_not(const Tensor& x);
/// a where the condition (bool) holds, b elsewhere; all three broadcast, a and b are of one dtype.
PARE_API Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

/// x where x > 0, slope · x elsewhere.
PARE_API Tensor leaky_relu(const Tensor& x, double slope = 0.01);
/// x where x > 0, weight · x elsewhere; the weight has one element, or one per index of axis 1.
/// Throws shape_mismatch. (He et al. 2015, "Delving deep into rectifiers".)
PARE_API Tensor prelu(const Tensor& x, const Tensor& weight);
/// x where x > 0, alpha · (eˣ − 1) elsewhere.
PARE_API Tensor elu(const Tensor& x, double alpha = 1.0);
/// elu with the scale and alpha that keep mean 0 and variance 1 (Klambauer et al. 2017).
PARE_API Tensor selu(const Tensor& x);
/// x where x > 0, alpha · (e^(x/alpha) − 1) elsewhere. Throws invalid_argument for alpha = 0.
PARE_API Tensor celu(const Tensor& x, double alpha = 1.0);
/// relu6(x + 3) / 6
PARE_API Tensor hardsigmoid(const Tensor& x);
/// x · relu6(x + 3) / 6 (Howard et al. 2019, MobileNetV3).
PARE_API Tensor hardswish(const Tensor& x);
/// clamp whose gradient is zero at the bounds. Throws invalid_argument for min > max.
PARE_API Tensor hardtanh(const Tensor& x, double min = -1.0, double max = 1.0);
/// ln(1 + e^(beta·x)) / beta; x where beta · x is above the threshold. Throws invalid_argument for
/// beta = 0.
PARE_API Tensor softplus(const Tensor& x, const SoftplusAttributes& attributes = {});
/// x / (1 + |x|)
PARE_API Tensor softsign(const Tensor& x);
/// x · Φ(x) (Hendrycks and Gimpel 2016). Throws invalid_argument for another approximation than
/// "none" and "tanh".
PARE_API Tensor gelu(const Tensor& x, const std::string& approximate = "none");
/// x · sigmoid(x)
PARE_API Tensor silu(const Tensor& x);
/// x · tanh(softplus(x)) (Misra 2019).
PARE_API Tensor mish(const Tensor& x);
/// ln sigmoid(x)
PARE_API Tensor log_sigmoid(const Tensor& x);
/// The first half of the axis times the sigmoid of the second (Dauphin et al. 2016); calls of
/// slice, sigmoid and mul. Throws shape_mismatch for an axis of odd or unknown length.
PARE_API Tensor glu(const Tensor& x, int axis = -1);

/// Converts; to an integer by truncation towards zero (saturating), to bool by x ≠ 0.
PARE_API Tensor cast(const Tensor& x, DType to);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
/// A number is a rank-0 tensor of a's dtype: invalid_argument where an integer type lacks it.
PARE_API Tensor operator+(const Tensor& a, double b);
PARE_API Tensor operator-(const Tensor& a, double b);
PARE_API Tensor operator*(const Tensor& a, double b);
PARE_API Tensor operator/(const Tensor& a, double b);

}  // namespace pare
