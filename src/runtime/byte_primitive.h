// A plan's int8 convolutions on pare's own AVX2 kernel.
#pragma once

#include <memory>

#include "runtime/primitives.h"

namespace pare::runtime {

/// Null where the kernel does not apply: f32, a signed source, VNNI, groups, weights too large.
std::unique_ptr<Primitive> make_byte_convolution(const ConvolutionSpec& spec);

}  // namespace pare::runtime
