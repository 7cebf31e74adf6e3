// Depthwise convolutions of bytes on AVX2, exact in 32 bits: a ByteConvolution.
#pragma once

#include <memory>

#include "core/byte_convolution.h"

namespace pare {

/// Null where a group has several channels, in or out, where there are fewer than 16, or where a
/// residual stands beside channels that are no multiple of 16.
std::unique_ptr<ByteConvolution> make_byte_depthwise(const ByteConvolutionSpec& spec);

}  // namespace pare
