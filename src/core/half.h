// Conversions to and from binary16 and bfloat16 without branches, so that loops become vector code.
#pragma once

#include <cstdint>

#include "core/multiversion.h"
#include "pare/core/dtype.h"

namespace pare::vec {

/// Exact.
PARE_INLINE float widen(Half h) {
  const std::uint32_t magnitude = h.bits & 0x7fffU;
  // Scaling by 2^112 corrects the exponent's bias, subnormals included.
  const float value = __builtin_bit_cast(float, magnitude << 13) * 0x1p112F;
  const std::uint32_t special = magnitude >= 0x7c00U ? 0x7f800000U : 0U;
  const std::uint32_t sign = static_cast<std::uint32_t>(h.bits & 0x8000U) << 16;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, value) | special | sign);
}
PARE_INLINE float widen(BFloat16 b) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(b.bits) << 16);
}

/// Rounds half to even; too large becomes infinite, NaN stays NaN.
PARE_INLINE Half narrow_to_half(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  // Below 2^−14 the sum with 0.5 leaves the subnormal's bits, rounded, at its low end.
  const std::uint32_t small =
      __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, magnitude) + 0.5F) - 0x3f000000U;
  const std::uint32_t normal = (magnitude + 0xc8000fffU + ((magnitude >> 13) & 1U)) >> 13;
  std::uint32_t h = magnitude < 0x38800000U ? small : normal;
  h = magnitude >= 0x47800000U ? 0x7c00U : h;
  h = magnitude > 0x7f800000U ? 0x7e00U : h;
  return {static_cast<std::uint16_t>(h | sign)};
}
PARE_INLINE BFloat16 narrow_to_bfloat16(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const std::uint32_t quiet = (bits >> 16) | 64U;
  return {static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded)};
}

}  // namespace pare::vec
