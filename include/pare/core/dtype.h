// Element types and the table of facts about them.
#pragma once

#include <cstdint>

#include "pare/core/export.h"

namespace pare {

enum class DType : std::uint8_t {
  f32,
  f16,
  bf16,
  f64,
  i64,
  i32,
  i16,
  u16,
  i8,
  u8,
  boolean,
  i4,
  u4,
  i2,
  u2,
};
inline constexpr int kDTypeCount = 15;

/// One row of facts per element type.
struct DTypeTraits {
  const char* name;         ///< "f32"
  const char* numpy;        ///< numpy's descriptor without byte order ("f4"), or null
  const char* safetensors;  ///< safetensors' name ("F32"), or null
  int onnx;                 ///< number of ONNX's TensorProto.DataType
  int bits;                 ///< bits per element (4 or 2 for the packed types)
  bool floating;
  bool is_signed;
  double lowest;   ///< smallest finite value
  double highest;  ///< largest finite value
};

PARE_API const DTypeTraits& traits(DType dtype);
inline bool is_floating(DType dtype) { return traits(dtype).floating; }

/// IEEE binary16 and bfloat16 as storage types; arithmetic goes through float.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};
PARE_API float to_float(Half value);
PARE_API Half to_half(float value);  ///< rounds half to even
inline float to_float(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}
/// Rounds half to even; NaN stays NaN.
inline BFloat16 to_bfloat16(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 64U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<Half> { static constexpr DType value = DType::f16; };
template <> struct DTypeOf<BFloat16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<std::int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<std::int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<std::int16_t> { static constexpr DType value = DType::i16; };
template <> struct DTypeOf<std::uint16_t> { static constexpr DType value = DType::u16; };
template <> struct DTypeOf<std::int8_t> { static constexpr DType value = DType::i8; };
template <> struct DTypeOf<std::uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<bool> { static constexpr DType value = DType::boolean; };
template <class T> inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace pare
