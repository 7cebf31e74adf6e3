// Activations that clip.
#pragma once

#include <optional>

#include "pare/core/op.h"

namespace pare::quantize {

/// What a call clips its input to, either of which may be infinite: relu, relu6, clamp, hardtanh.
struct Bounds {
  double low, high;
};
std::optional<Bounds> clip_bounds(const Call& call);

}  // namespace pare::quantize
