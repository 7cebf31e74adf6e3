// Learned steps: numbers that the op and its starting values share.
#pragma once

#include "pare/core/ops/learned_steps.h"

namespace pare {

/// No scale is smaller.
inline constexpr float kSmallestStep = std::numeric_limits<float>::epsilon();

/// LSQ's Qp: codes above the zero point; at least 1.
std::int64_t positive_codes(const FakeQuantizeLearnedAttributes& a);
/// The power of two that a threshold is divided by: at least Qp + 1.
std::int64_t power_of_codes(const FakeQuantizeLearnedAttributes& a);
/// Of one step; a zero point of NaN: the attribute's.
ScaleAndZeroPoint learned_parameters(float step, float zero_point,
                                     const FakeQuantizeLearnedAttributes& a);

}  // namespace pare
