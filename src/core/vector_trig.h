// sin, cos and tan without branches, for arguments up to kTrigLimit.
#pragma once

#include <cmath>

#include "core/vector_math.h"

namespace pare::vec {

/// Beyond it the reduction by π/2 in three parts is no longer exact.
inline constexpr float kTrigLimit = 8192.0F;

/// x less a multiple of π/2, and which multiple. (Reduction and polynomials: Cephes, S. Moshier.)
struct Reduced {
  float sine, cosine;      ///< of the remainder in [−π/4, π/4]
  std::uint32_t quadrant;  ///< modulo 4 in the low bits
};
PARE_INLINE Reduced reduced(float x) {
  const float shifted = x * 0.636619772F + kRoundingShift;
  const float n = shifted - kRoundingShift;
  float r = x - n * 1.5703125F;
  r = r - n * 4.837512969970703125e-4F;
  r = r - n * 7.54978995489188216e-8F;
  const float z = r * r;
  float s = -1.9515295891e-4F;
  s = s * z + 8.3321608736e-3F;
  s = s * z - 1.6666654611e-1F;
  float c = 2.443315711809948e-5F;
  c = c * z - 1.388731625493765e-3F;
  c = c * z + 4.166664568298827e-2F;
  return {s * z * r + r, c * z * z - 0.5F * z + 1.0F, bits_of(shifted) - kRoundingShiftBits};
}

/// Within 2 units in the last place, and within 2^-24 near the zeros other than 0.
PARE_INLINE float sin(float x) {
  const Reduced d = reduced(x);
  const float y = (d.quadrant & 1U) != 0 ? d.cosine : d.sine;
  return float_of(bits_of(y) ^ ((d.quadrant & 2U) << 30));
}
PARE_INLINE float cos(float x) {
  const Reduced d = reduced(x);
  const float y = (d.quadrant & 1U) != 0 ? d.sine : d.cosine;
  return float_of(bits_of(y) ^ (((d.quadrant + 1U) & 2U) << 30));
}
PARE_INLINE float tan(float x) {
  const Reduced d = reduced(x);
  const bool odd = (d.quadrant & 1U) != 0;
  return (odd ? -d.cosine : d.sine) / (odd ? d.sine : d.cosine);
}

}  // namespace pare::vec
