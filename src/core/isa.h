// What the CPU's instructions are worth, beyond which of them it has.
#pragma once

namespace pare {

/// Whether this CPU computes vectors of 512 bits in halves (Zen 4): then kernels for AVX-512 are no
/// faster than those for AVX2, and the ones that do less work win as they do there.
bool halves_avx512();

}  // namespace pare
