// A plan's convolutions and int8 dense layers on pare's own AVX2 kernels.
#pragma once

#include <memory>

#include "runtime/primitives.h"

namespace pare::runtime {

/// Null where neither kernel applies: another CPU, groups of several channels, a signed source.
std::unique_ptr<Primitive> make_own_convolution(const ConvolutionSpec& spec);
/// Of int8 only; null as above.
std::unique_ptr<Primitive> make_own_dense(const DenseSpec& spec);

}  // namespace pare::runtime
