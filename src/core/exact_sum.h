// A sum of floats without rounding: it does not depend on their order.
#pragma once

#include <cstdint>
#include <span>

namespace pare {

/// Limbs of 32 bits, the last with the sign: bit 0 of limb 0 is 2^-149, and 2^60 floats fit.
inline constexpr std::int64_t kExactLimbs = 11;
using ExactSum = std::span<std::int64_t, kExactLimbs>;

/// x must be finite. The limbs are a function of the sum alone.
void add_exactly(ExactSum sum, float x);
void add_exactly(ExactSum sum, std::span<const std::int64_t, kExactLimbs> other);
/// The sum to double precision.
double rounded_sum(std::span<const std::int64_t, kExactLimbs> sum);

}  // namespace pare
