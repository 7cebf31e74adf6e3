// The kernel lists that src/kernels.cpp composes, one per op that has faster kernels.
#pragma once

#include "pare/core/op.h"

namespace pare::kernels {

extern const KernelList kAttention, kConv1d, kConv2d, kConv3d, kConvTranspose1d, kConvTranspose2d,
    kConvTranspose3d, kGru, kLinear, kLstm, kMatmul, kRnn;

}  // namespace pare::kernels
