// exp, log, tanh and sigmoid without branches, so that loops over them become vector code.
#pragma once

#include <cstdint>
#include <limits>

#include "core/multiversion.h"

namespace pare::vec {

// Adding and subtracting 1.5·2^23 rounds |v| ≤ 2^22 half to even; the sum's low bits are the
// integer.
inline constexpr float kRoundingShift = 12582912.0F;
inline constexpr std::uint32_t kRoundingShiftBits = 0x4b400000U;

PARE_INLINE std::uint32_t bits_of(float v) { return __builtin_bit_cast(std::uint32_t, v); }
PARE_INLINE float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
/// 2^n for −126 ≤ n ≤ 127.
PARE_INLINE float power_of_two(std::int32_t n) {
  return float_of(static_cast<std::uint32_t>(n + 127) << 23);
}

/// e^r · 2^n for |r| ≤ ½ ln 2, where n was rounded by adding to kRoundingShift, to `shifted`.
PARE_INLINE float exp_reduced(float r, float shifted) {
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  // 2^n in two factors: n reaches beyond the exponents of normal numbers on both sides.
  const auto k = static_cast<std::int32_t>(bits_of(shifted) - kRoundingShiftBits);
  const std::int32_t half = k >> 1;
  return p * power_of_two(half) * power_of_two(k - half);
}

/// e^x within 2 units in the last place; subnormal results, overflow and NaN as std::exp.
/// (Range reduction by ln 2 in two parts and the polynomial of Cephes, S. Moshier.)
PARE_INLINE float exp(float x) {
  x = x < -104.0F ? -104.0F : x;
  x = x > 89.0F ? 89.0F : x;
  const float shifted = x * 1.44269504F + kRoundingShift;
  const float n = shifted - kRoundingShift;
  const float r = x - n * 0.693359375F;
  return exp_reduced(r - n * -2.12194440e-4F, shifted);
}

/// ln x within 2 units in the last place; −inf at 0, NaN below, subnormals included (Cephes).
PARE_INLINE float log(float x) {
  const bool tiny = x < 1.17549435e-38F;
  const float scaled = tiny ? x * 8388608.0F : x;
  const std::uint32_t bits = bits_of(scaled);
  float m = float_of((bits & 0x7fffffU) | 0x3f000000U);
  const bool low = m < 0.707106781186547524F;
  const std::int32_t exponent =
      static_cast<std::int32_t>(bits >> 23) - (tiny ? 149 : 126) - (low ? 1 : 0);
  m = (low ? m + m : m) - 1.0F;
  const float e = static_cast<float>(exponent);
  const float z = m * m;
  float p = 7.0376836292e-2F;
  p = p * m - 1.1514610310e-1F;
  p = p * m + 1.1676998740e-1F;
  p = p * m - 1.2420140846e-1F;
  p = p * m + 1.4249322787e-1F;
  p = p * m - 1.6668057665e-1F;
  p = p * m + 2.0000714765e-1F;
  p = p * m - 2.4999993993e-1F;
  p = p * m + 3.3333331174e-1F;
  float y = p * m * z + e * -2.12194440e-4F - 0.5F * z;
  y = m + y + e * 0.693359375F;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  y = x == kInfinity ? x : y;
  y = x == 0.0F ? -kInfinity : y;
  return x >= 0.0F ? y : std::numeric_limits<float>::quiet_NaN();
}

/// tanh x within 3 units in the last place (Cephes; above 0.625 through exp).
PARE_INLINE float tanh(float x) {
  const float a = x < 0.0F ? -x : x;
  const float z = x * x;
  float p = -5.70498872745e-3F;
  p = p * z + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  const float small = p * z * x + x;
  const float large = 1.0F - 2.0F / (exp(a + a) + 1.0F);
  return a < 0.625F ? small : (x < 0.0F ? -large : large);
}

/// 1 / (1 + e^−x)
PARE_INLINE float sigmoid(float x) { return 1.0F / (1.0F + exp(-x)); }

}  // namespace pare::vec
