// expm1, log1p, erf, pow and rounding without branches; the functions of doubles beside them, so
// that templates can call either.
#pragma once

#include <cmath>

#include "core/vector_math.h"

namespace pare::vec {

inline double exp(double x) { return std::exp(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline double expm1(double x) { return std::expm1(x); }
inline double log1p(double x) { return std::log1p(x); }
inline double erf(double x) { return std::erf(x); }
inline double floor(double x) { return std::floor(x); }
inline double ceil(double x) { return std::ceil(x); }
inline double round(double x) { return std::nearbyint(x); }
inline double pow(double a, double b) { return std::pow(a, b); }
inline double log(double x) { return std::log(x); }

PARE_INLINE float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffffU); }
PARE_INLINE double magnitude(double x) { return __builtin_fabs(x); }
/// |x| with the sign bit of `sign`.
PARE_INLINE float with_sign(float x, float sign) {
  return float_of((bits_of(x) & 0x7fffffffU) | (bits_of(sign) & 0x80000000U));
}

/// e^x − 1 within 4 units in the last place (exp's polynomial where no power of two comes in).
PARE_INLINE float expm1(float x) {
  float p = 1.9875691500e-4F;
  p = p * x + 1.3981999507e-3F;
  p = p * x + 8.3334519073e-3F;
  p = p * x + 4.1665795894e-2F;
  p = p * x + 1.6666665459e-1F;
  p = p * x + 5.0000001201e-1F;
  const float small = p * (x * x) + x;
  const float large = exp(x) - 1.0F;
  return magnitude(x) < 0.3465735F ? small : large;
}

/// ln(1 + x) for x ≥ 0, within 4 units in the last place: what 1 + x rounds away is put back as a
/// factor (W. Kahan).
PARE_INLINE float log1p(float x) {
  const float w = 1.0F + x;
  const float d = w - 1.0F;
  const float y = d == 0.0F ? x : log(w) * (x / d);
  return x == std::numeric_limits<float>::infinity() ? x : y;
}

/// From here on erf is computed from what it lacks to 1.
inline constexpr float kErfTail = 0.9277F;
/// erf a for 0 ≤ a < kErfTail: a minimax polynomial of erf(a)/a − 1 in a².
PARE_INLINE float erf_near(float a) {
  const float s = a * a;
  const float s2 = s * s;
  const float low = 1.2837915e-1F - 3.7612486e-1F * s;
  const float middle = 1.1281721e-1F - 2.6763124e-2F * s;
  const float high = 4.988004e-3F - 5.9642525e-4F * s;
  const float p = low + s2 * (middle + s2 * high);
  return p * a + a;
}
/// 1 − erf a for a ≥ kErfTail: a minimax polynomial of its logarithm; beyond 6 that of 6.
PARE_INLINE float erf_tail(float a) {
  const float t = a > 6.0F ? 6.0F : a;
  const float t2 = t * t;
  const float t4 = t2 * t2;
  // In pairs (Estrin): ten steps in a row would wait for one another.
  const float q01 = 3.4551905e-4F - 1.1304005F * t;
  const float q23 = -6.3139194e-1F - 1.10681608e-1F * t;
  const float q45 = 2.69187e-2F - 5.0169085e-3F * t;
  const float q67 = 6.8063382e-4F - 6.2756663e-5F * t;
  const float q89 = 3.4934703e-6F - 8.8196281e-8F * t;
  const float q = q01 + t2 * q23 + t4 * ((q45 + t2 * q67) + t4 * q89);
  return exp(q);
}
/// Within 3 units in the last place.
PARE_INLINE float erf(float x) {
  const float a = magnitude(x);
  const float near = erf_near(a);
  const float far = 1.0F - erf_tail(a);
  return with_sign(a < kErfTail ? near : far, x);
}
/// The normal distribution at x: Φ(x), and e^(−x²/2).
template <class T> struct Normal { T cdf, bell; };
/// Within 8 units in the last place, the lower tail too, where 1 + erf would lose all digits; both
/// 0 beyond 13.19, where they are below 2^-125: so e^(−x²/2) needs one power of two.
PARE_INLINE Normal<float> normal(float x) {
  float a = magnitude(x);
  const bool gone = a > 13.19F;
  a = gone ? 13.19F : a;
  const float half = -0.5F * a;
  // −x²/2 in two parts: the product of the upper halves of the digits is exact.
  const float upper = float_of(bits_of(a) & 0xfffff000U);
  const float half_upper = float_of(bits_of(half) & 0xfffff000U);
  const float high = half_upper * upper;
  const float low = (a - upper) * (half + half_upper);
  const float shifted = high * 1.44269504F + kRoundingShift;
  const float n = shifted - kRoundingShift;
  const float r = (high - n * 0.693359375F) - n * -2.12194440e-4F + low;
  // A minimax polynomial of (e^r − 1 − r) / r².
  float p = 1.381422160e-3F;
  p = p * r + 8.368899114e-3F;
  p = p * r + 4.166840389e-2F;
  p = p * r + 1.666651964e-1F;
  p = p * r + 4.999999404e-1F;
  p = p * (r * r) + r + 1.0F;
  const float power = float_of(bits_of(p) + ((bits_of(shifted) - kRoundingShiftBits) << 23));
  const float bell = gone ? 0.0F : power;
  // A minimax polynomial of Φ(−a) / bell in t.
  const float t = 1.0F / (1.0F + 0.42F * 0.707106781F * a);
  const float t2 = t * t;
  const float t4 = t2 * t2;
  // In pairs (Estrin): eight steps in a row would wait for one another.
  const float q01 = 1.297050299e-05F + 1.181633768e-01F * t;
  const float q23 = 1.217858085e-01F + 8.865291492e-02F * t;
  const float q45 = 1.571030101e-01F - 1.015999106e-01F * t;
  const float q67 = 2.551612493e-01F - 1.784736824e-01F * t;
  const float q = (q01 + t2 * q23) + t4 * ((q45 + t2 * q67) + t4 * 3.919428286e-02F);
  const float tail = q * bell;
  return {x < 0.0F ? tail : 1.0F - tail, bell};
}
inline Normal<double> normal(double x) {
  return {0.5 * std::erfc(x * -0.70710678118654752), std::exp(-0.5 * x * x)};
}

/// To the nearest integer, halves to even; the sign of zero stays.
PARE_INLINE float round(float x) {
  const float a = magnitude(x);
  const float r = (a + 8388608.0F) - 8388608.0F;
  return a < 8388608.0F ? with_sign(r, x) : x;
}
/// One instruction from SSE4.1 on, which every clone of a loop but the baseline's has.
PARE_INLINE float floor(float x) { return __builtin_floorf(x); }
PARE_INLINE float ceil(float x) { return __builtin_ceilf(x); }

/// log2 of a positive finite normal number, within 2^-40, as needed to raise a float to a power.
PARE_INLINE double log2_of(double x) {
  const auto bits = __builtin_bit_cast(std::uint64_t, x);
  // From √½ on mantissas count as above one half.
  const std::uint64_t shifted = bits - 0x3fe6a09e00000000ULL;
  const auto exponent = static_cast<std::int32_t>(static_cast<std::uint32_t>(shifted >> 32)) >> 20;
  const double m =
      __builtin_bit_cast(double, (shifted & 0xfffffffffffffULL) + 0x3fe6a09e00000000ULL);
  const double f = (m - 1.0) / (m + 1.0);
  const double z = f * f;
  double p = 1.0 / 15;  // the series of the area tangent
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  p = p * z + 1.0;
  return 2.8853900817779268 * f * p + static_cast<double>(exponent);
}
/// 2^t for |t| ≤ 200, within 2^-35 of itself.
PARE_INLINE double two_to(double t) {
  constexpr double kShift = 6755399441055744.0;  // 1.5·2^52
  const double shifted = t + kShift;
  const double r = (t - (shifted - kShift)) * 0.6931471805599453;
  double p = 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const std::uint64_t n =
      __builtin_bit_cast(std::uint64_t, shifted) - __builtin_bit_cast(std::uint64_t, kShift);
  return p * __builtin_bit_cast(double, (n + 1023) << 52);
}

/// a^b within 1 unit in the last place; every special case as C's pow.
PARE_INLINE float pow(float a, float b) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float size = magnitude(a);
  double l = log2_of(static_cast<double>(size));
  l = size == 0.0F ? -1e300 : l;
  l = size == kInfinity ? 1e300 : l;
  double t = static_cast<double>(b) * l;
  t = t < -200.0 ? -200.0 : t;
  t = t > 200.0 ? 200.0 : t;
  auto p = static_cast<float>(two_to(t));
  p = ((size == 1.0F) | (b == 0.0F)) ? 1.0F : p;
  const bool integer = round(b) == b;
  const float half = b * 0.5F;
  const bool odd = integer & (round(half) != half);
  p = ((a < 0.0F) & (a > -kInfinity) & !integer) ? std::numeric_limits<float>::quiet_NaN() : p;
  p = odd ? with_sign(p, a) : p;
  p = ((a != a) | (b != b)) ? a + b : p;
  return ((a == 1.0F) | (b == 0.0F)) ? 1.0F : p;
}

}  // namespace pare::vec
