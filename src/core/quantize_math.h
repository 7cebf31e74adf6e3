// The arithmetic of quantization, one element: written once for every op and method that uses it.
#pragma once

#include "core/multiversion.h"

namespace pare {

/// round_half_even(x / scale) clamped to [low, high], where low = qmin − z and high = qmax − z are
/// whole numbers of magnitude below 2^22: the code less its zero point. Clamping before rounding is
/// the same as after it, since the bounds are whole; NaN gives `low`. Adding and taking away
/// 1.5·2^23 rounds half to even on every instruction set.
PARE_INLINE float centred_code(float x, float scale, float low, float high) {
  constexpr float kRounder = 12582912.0F;
  float t = x / scale;
  t = t > low ? t : low;
  t = t < high ? t : high;
  return (t + kRounder) - kRounder;
}

/// scale · (code − z)
PARE_INLINE float fake_quantized(float x, float scale, float low, float high) {
  return scale * centred_code(x, scale, low, high);
}

}  // namespace pare
