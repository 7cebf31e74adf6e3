// Moments of gradients that are gone: zero before they reach the slow numbers next to zero.
#pragma once

#include "core/multiversion.h"

namespace pare::optim {

/// Where a gradient stays 0 (pictures' borders), a moment decays to numbers so small that a CPU
/// takes a hundred times as long for each; below 2^-100 none moves a weight.
PARE_INLINE float without_vanishing(float moment) {
  return moment < 0x1p-100F && moment > -0x1p-100F ? 0.0F : moment;
}

}  // namespace pare::optim
