// From a DType to the type of its elements.
#pragma once

#include "core/check.h"
#include "pare/core/dtype.h"

namespace pare {

inline bool is_half(DType d) { return d == DType::f16 || d == DType::bf16; }
/// The types that arithmetic knows (f16 and bf16 go through f32).
inline bool is_arithmetic(DType d) { return d != DType::boolean && traits(d).bits >= 8; }

/// visit(T{}) for f32 and f64.
template <class Visitor> void visit_float(DType dtype, const char* where, Visitor&& visit) {
  switch (dtype) {
    case DType::f32:
      return visit(float{});
    case DType::f64:
      return visit(double{});
    default:
      fail(ErrorCode::dtype_mismatch, where, "expected f32 or f64, got {}", dtype);
  }
}

/// visit(T{}) for f32, f64 and the integers of 8 to 64 bits.
template <class Visitor> void visit_arithmetic(DType dtype, const char* where, Visitor&& visit) {
  switch (dtype) {
    case DType::f32:
      return visit(float{});
    case DType::f64:
      return visit(double{});
    case DType::i64:
      return visit(std::int64_t{});
    case DType::i32:
      return visit(std::int32_t{});
    case DType::i16:
      return visit(std::int16_t{});
    case DType::u16:
      return visit(std::uint16_t{});
    case DType::i8:
      return visit(std::int8_t{});
    case DType::u8:
      return visit(std::uint8_t{});
    default:
      fail(ErrorCode::dtype_mismatch, where, "expected a number type, got {}", dtype);
  }
}

/// visit(T{}) for every unpacked type, Half, BFloat16 and bool included.
template <class Visitor> void visit_any(DType dtype, const char* where, Visitor&& visit) {
  switch (dtype) {
    case DType::f16:
      return visit(Half{});
    case DType::bf16:
      return visit(BFloat16{});
    case DType::boolean:
      return visit(bool{});
    case DType::i4:
    case DType::u4:
    case DType::i2:
    case DType::u2:
      fail(ErrorCode::dtype_mismatch, where, "expected an unpacked type, got {}", dtype);
    default:
      return visit_arithmetic(dtype, where, std::forward<Visitor>(visit));
  }
}

}  // namespace pare
