// Convolutions of bytes by F(2x2, 3x3) in 16 bits, exact: a ByteConvolution.
#pragma once

#include <memory>

#include "core/byte_convolution.h"

namespace pare {

/// Null where the shape cannot be tiled or its channels are no multiples of 16 or few. With filters
/// 2G g (2G)ᵀ all numbers are whole: transformed bytes reach 1020, transformed filters 9 · 128, and
/// four times the sum of up to 256 channels stays within 32 bits. So weights of full range are
/// exact, too.
std::unique_ptr<ByteConvolution> make_byte_winograd(const ByteConvolutionSpec& spec);

}  // namespace pare
