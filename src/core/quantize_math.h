// The one arithmetic of quantization: q = clamp(round_half_even(x / s) + z, qmin, qmax).
#pragma once

#include <cmath>
#include <cstdint>

#include "core/vector_math.h"

namespace pare {

// The forms in float work on the code less its zero point, between the whole numbers low = qmin − z
// and high = qmax − z. Clamping to those before rounding is the same as after it, and keeps
// infinities and huge quotients from ever being rounded.

/// Largest magnitude of low and high for which the forms in float are exact.
inline constexpr std::int64_t kLargestFastCode = (std::int64_t{1} << 22) - 1;

/// Whether the forms in float may be used for this range.
inline bool codes_fit(std::int64_t qmin, std::int64_t qmax, std::int64_t zero) {
  const auto fits = [](std::int64_t v) { return v >= -kLargestFastCode && v <= kLargestFastCode; };
  return fits(qmin) && fits(qmax) && fits(zero) && fits(qmin - zero) && fits(qmax - zero);
}

/// |v| ≤ 2^22; NaN stays NaN. Adding and taking away 1.5·2^23 rounds half to even on every
/// instruction set.
PARE_INLINE float round_half_even(float v) {
  return (v + vec::kRoundingShift) - vec::kRoundingShift;
}

/// round_half_even(x / scale) clamped to [low, high]: the code less its zero point. NaN stays NaN.
PARE_INLINE float centred_code(float x, float scale, float low, float high) {
  float v = x / scale;
  v = v < low ? low : v;
  v = v > high ? high : v;
  return round_half_even(v);
}

/// scale · (code − z). NaN stays NaN, so that a network that has diverged shows it.
PARE_INLINE float fake_quantized(float x, float scale, float low, float high) {
  return scale * centred_code(x, scale, low, high);
}

/// Whether the unclamped code lies within the range: where the straight-through gradient passes.
PARE_INLINE bool passes_gradient(float x, float scale, float low, float high) {
  const float v = centred_code(x, scale, low - 1.0F, high + 1.0F);
  return (v >= low) & (v <= high);
}

/// The code. NaN gives the zero point.
PARE_INLINE std::int32_t quantized(float x, float scale, std::int32_t zero, float low, float high) {
  float v = x / scale;
  v = v == v ? v : 0.0F;
  v = v < low ? low : v;
  v = v > high ? high : v;
  const std::uint32_t code = vec::bits_of(v + vec::kRoundingShift) - vec::kRoundingShiftBits;
  return static_cast<std::int32_t>(code) + zero;
}

/// The same for any range of 32-bit integers.
inline std::int64_t quantized_wide(float x, float scale, std::int64_t zero, std::int64_t qmin,
                                   std::int64_t qmax) {
  const auto quotient = static_cast<double>(x / scale);
  double v = quotient == quotient ? quotient : 0.0;
  v = std::fmax(v, static_cast<double>(qmin - zero));
  v = std::fmin(v, static_cast<double>(qmax - zero));
  return static_cast<std::int64_t>(std::nearbyint(v)) + zero;
}

}  // namespace pare
