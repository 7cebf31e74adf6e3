// A plan's convolutions on pare's own AVX2 kernels.
#pragma once

#include <memory>

#include "runtime/primitives.h"

namespace pare::runtime {

/// Null where neither kernel applies: another CPU, groups, a signed source, weights too large.
std::unique_ptr<Primitive> make_own_convolution(const ConvolutionSpec& spec);

}  // namespace pare::runtime
