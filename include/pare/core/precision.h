// Precision: what matrix products and convolutions multiply in.
#pragma once

#include <cstdint>

#include "pare/core/parallel.h"

namespace pare {

enum class Precision : std::uint8_t {
  f32,
  bf16,  ///< their f32 operands are rounded to bf16; sums, results and everything else stay f32
};

/// Whether the CPU has instructions for products in bf16 (AVX512_BF16 or AMX_BF16, not above
/// DNNL_MAX_CPU_ISA). Context::precision works without them too: operands are rounded and then
/// multiplied in f32, which is the same arithmetic and no faster than f32.
inline bool has_bf16(Isa isa = isa_cap()) { return isa >= Isa::avx512_bf16; }

}  // namespace pare
