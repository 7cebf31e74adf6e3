// Packed 4-bit codes, two in a byte, the first in the lower half (ONNX's order).
#include "core/packed_codes.h"

#include "core/check.h"
#include "core/dtype_switch.h"

namespace pare {

bool is_packed(DType dtype) { return dtype == DType::i4 || dtype == DType::u4; }

std::vector<std::int32_t> code_values(const Tensor& codes) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(codes.elements()));
  if (is_packed(codes.dtype())) {
    const bool is_signed = codes.dtype() == DType::i4;
    const auto* bytes = static_cast<const std::uint8_t*>(codes.raw());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int nibble = (i % 2 == 0 ? bytes[i / 2] : bytes[i / 2] >> 4) & 15;
      values[i] = is_signed && nibble > 7 ? nibble - 16 : nibble;
    }
    return values;
  }
  visit_arithmetic(codes.dtype(), "codes", [&](auto type) {
    const auto* from = static_cast<const decltype(type)*>(codes.raw());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(from[i]);
  });
  return values;
}

Tensor codes_of(std::span<const std::int32_t> values, const Shape& shape, DType dtype) {
  PARE_ASSERT(shape.elements() == static_cast<std::int64_t>(values.size()));
  PARE_ASSERT(is_packed(dtype) || traits(dtype).bits == 8);
  Tensor codes = Tensor::zeros(shape, dtype);
  auto* bytes = static_cast<std::uint8_t*>(codes.mutable_raw());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_packed(dtype)) {
      const auto nibble = static_cast<unsigned>(values[i]) & 15U;
      bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] | nibble << (i % 2 == 0 ? 0U : 4U));
    } else {
      bytes[i] = static_cast<std::uint8_t>(values[i]);
    }
  }
  return codes;
}

}  // namespace pare
