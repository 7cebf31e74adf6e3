// The table of element types, and half-precision conversion.
#include "pare/core/dtype.h"

#include <bit>
#include <cmath>

namespace pare {
namespace {

constexpr DTypeTraits kTraits[kDTypeCount] = {
    {"f32", "f4", "F32", 1, 32, true, true, -3.4028234663852886e38, 3.4028234663852886e38},
    {"f16", "f2", "F16", 10, 16, true, true, -65504, 65504},
    {"bf16", nullptr, "BF16", 16, 16, true, true, -3.3895313892515355e38, 3.3895313892515355e38},
    {"f64", "f8", "F64", 11, 64, true, true, -1.7976931348623157e308, 1.7976931348623157e308},
    {"i64", "i8", "I64", 7, 64, false, true, -9223372036854775808.0, 9223372036854775807.0},
    {"i32", "i4", "I32", 6, 32, false, true, -2147483648.0, 2147483647.0},
    {"i16", "i2", "I16", 5, 16, false, true, -32768, 32767},
    {"u16", "u2", "U16", 4, 16, false, false, 0, 65535},
    {"i8", "i1", "I8", 3, 8, false, true, -128, 127},
    {"u8", "u1", "U8", 2, 8, false, false, 0, 255},
    {"bool", "b1", "BOOL", 9, 8, false, false, 0, 1},
    {"i4", nullptr, nullptr, 22, 4, false, true, -8, 7},
    {"u4", nullptr, nullptr, 21, 4, false, false, 0, 15},
    {"i2", nullptr, nullptr, 26, 2, false, true, -2, 1},
    {"u2", nullptr, nullptr, 25, 2, false, false, 0, 3},
};

}  // namespace

const DTypeTraits& traits(DType dtype) { return kTraits[static_cast<std::size_t>(dtype)]; }

float to_float(Half value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 31U;
  const std::uint32_t mantissa = value.bits & 1023U;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  if (exponent == 0) {  // zero and subnormals: mantissa · 2^-24 is exact in f32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

Half to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const float magnitude = std::fabs(value);
  if (!(magnitude < 65520.0F)) {  // rounds to infinity, or NaN
    const bool nan = magnitude != magnitude;
    return {static_cast<std::uint16_t>(sign | (nan ? 0x7e00U : 0x7c00U))};
  }
  if (magnitude < 0x1p-14F)  // subnormal: the unit is 2^-24
    return {static_cast<std::uint16_t>(
        sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24F)))};
  std::uint32_t rest = bits & 0x7fffffffU;
  rest += 0xfffU + ((rest >> 13) & 1U);
  return {static_cast<std::uint16_t>(sign | ((rest >> 13) - (112U << 10)))};
}

}  // namespace pare
