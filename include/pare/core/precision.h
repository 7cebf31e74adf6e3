// Precision: what matrix products and convolutions multiply in.
#pragma once

#include <cstdint>

#include "pare/core/export.h"
#include "pare/core/parallel.h"

namespace pare {

enum class Precision : std::uint8_t {
  f32,
  bf16,  ///< their f32 operands are rounded to bf16; sums, results and everything else stay f32
};

/// The calling thread's precision, f32 unless a PrecisionScope says otherwise. It holds for the
/// products of the forward pass, and for those of the backward pass of what was recorded under it.
PARE_API Precision precision();

/// Sets the precision until the end of the scope.
class PARE_API PrecisionScope {
 public:
  explicit PrecisionScope(Precision precision);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Precision saved_;
};

/// Whether the CPU has instructions for products in bf16 (AVX512_BF16 or AMX_BF16, not above
/// DNNL_MAX_CPU_ISA). PrecisionScope works without them too: operands are rounded and then
/// multiplied in f32, which is the same arithmetic and no faster than f32.
inline bool has_bf16(Isa isa = isa_cap()) { return isa >= Isa::avx512_bf16; }

}  // namespace pare
