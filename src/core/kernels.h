// The kernel lists that src/kernels.cpp composes, one per op that has faster kernels.
#pragma once

#include "pare/core/op.h"

namespace pare::kernels {

extern const KernelList kConv2d, kLinear, kMatmul;

}  // namespace pare::kernels
