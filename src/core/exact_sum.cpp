// A sum of floats without rounding: it does not depend on their order.
#include "core/exact_sum.h"

#include <array>
#include <cmath>

namespace pare {
namespace {

constexpr int kLowestExponent = -149;
constexpr int kLimbBits = 32;
constexpr std::int64_t kLimbMask = 0xffffffff;
constexpr std::size_t kLast = kExactLimbs - 1;

void carry(ExactSum sum) {
  for (std::size_t i = 0; i < kLast; ++i) {
    sum[i + 1] += sum[i] >> kLimbBits;
    sum[i] &= kLimbMask;
  }
}

}  // namespace

void add_exactly(ExactSum sum, float x) {
  if (x == 0) return;
  int exponent = 0;
  constexpr int kMantissa = 24;
  auto mantissa = static_cast<std::int64_t>(
      std::ldexp(std::frexp(static_cast<double>(x), &exponent), kMantissa));
  exponent -= kMantissa + kLowestExponent;
  if (exponent < 0) {  // subnormal: its low bits are zeros
    mantissa /= std::int64_t{1} << -exponent;
    exponent = 0;
  }
  const auto limb = static_cast<std::size_t>(exponent / kLimbBits);
  const std::int64_t shifted = mantissa * (std::int64_t{1} << (exponent % kLimbBits));
  sum[limb] += shifted & kLimbMask;
  sum[limb + 1] += shifted >> kLimbBits;
  carry(sum);
}

void add_exactly(ExactSum sum, std::span<const std::int64_t, kExactLimbs> other) {
  for (std::size_t i = 0; i <= kLast; ++i) sum[i] += other[i];
  carry(sum);
}

double rounded_sum(std::span<const std::int64_t, kExactLimbs> sum) {
  // Of a negative sum the magnitude: its own limbs would cancel.
  const bool negative = sum[kLast] < 0;
  std::array<std::int64_t, kExactLimbs> magnitude{};
  for (std::size_t i = 0; i <= kLast; ++i) magnitude[i] = negative ? -sum[i] : sum[i];
  carry(magnitude);
  double value = 0;
  for (std::size_t i = kExactLimbs; i-- > 0;)
    value += std::ldexp(static_cast<double>(magnitude[i]),
                        static_cast<int>(i) * kLimbBits + kLowestExponent);
  return negative ? -value : value;
}

}  // namespace pare
