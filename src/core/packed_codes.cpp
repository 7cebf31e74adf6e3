// Packed codes of 4 or 2 bits, several in a byte, the first in its lowest bits (ONNX's order).
#include "core/packed_codes.h"

#include "core/check.h"
#include "core/dtype_switch.h"

namespace pare {

bool is_packed(DType dtype) { return traits(dtype).bits < 8; }

std::vector<std::int32_t> code_values(const Tensor& codes) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(codes.elements()));
  if (is_packed(codes.dtype())) {
    const DTypeTraits& facts = traits(codes.dtype());
    const auto bits = static_cast<unsigned>(facts.bits);
    const std::size_t in_a_byte = 8 / bits;
    const int count = 1 << bits, half = facts.is_signed ? count / 2 : count;
    const auto* bytes = static_cast<const std::uint8_t*>(codes.raw());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const unsigned shift = bits * static_cast<unsigned>(i % in_a_byte);
      const int code = (bytes[i / in_a_byte] >> shift) & (count - 1);
      values[i] = code < half ? code : code - count;
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
  PARE_ASSERT(traits(dtype).bits <= 8);
  Tensor codes = Tensor::zeros(shape, dtype);
  const auto bits = static_cast<unsigned>(traits(dtype).bits);
  const std::size_t in_a_byte = 8 / bits;
  auto* bytes = static_cast<std::uint8_t*>(codes.mutable_raw());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const unsigned code = static_cast<unsigned>(values[i]) & ((1U << bits) - 1);
    const unsigned shift = bits * static_cast<unsigned>(i % in_a_byte);
    bytes[i / in_a_byte] = static_cast<std::uint8_t>(bytes[i / in_a_byte] | code << shift);
  }
  return codes;
}

}  // namespace pare
