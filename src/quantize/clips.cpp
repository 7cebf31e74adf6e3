// Activations that clip.
#include "quantize/clips.h"

#include <limits>

#include "pare/core/ops.h"

namespace pare::quantize {

std::optional<Bounds> clip_bounds(const Call& call) {
  if (call.op == &kRelu) return Bounds{0, std::numeric_limits<double>::infinity()};
  if (call.op == &kRelu6) return Bounds{0, 6};
  if (call.op == &kClamp) {
    const auto& a = call.attributes.as<ClampAttributes>();
    return Bounds{a.min, a.max};
  }
  if (call.op == &kHardtanh) {
    const auto& a = call.attributes.as<HardtanhAttributes>();
    return Bounds{a.min, a.max};
  }
  return std::nullopt;
}

}  // namespace pare::quantize
