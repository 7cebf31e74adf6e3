// F(2x2, 3x3): 3 by 3 convolutions of stride 1 with 16 products for 2 by 2 pixels instead of 36.
#pragma once

#include "core/winograd_loops.h"
#include "pare/core/tensor.h"

#if PARE_X86

/// Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural
/// Networks", 2016), in f32, channels-last. With B, G and A of the paper, d a tile of 4 by 4 pixels
/// of x, g a filter and y the 2 by 2 pixels that belong to the tile:
///   y = Aᵀ [(G g Gᵀ) · (Bᵀ d B)] A, products element by element, summed over the channels: one
///   matrix product over tiles and channels for each of the sixteen elements.
/// Rounding errors are about twice those of the plain sum of products.
namespace pare::winograd {

/// Whether these loops may run here and take such a convolution: one that can be tiled, with input
/// channels in eights.
bool applies(const Conv2dAttributes& attributes, const Shape& weight);

/// How far weights of one filter, of the next channel and of the next output lie apart.
struct FilterStrides {
  std::int64_t tap, channel, output;
};
FilterStrides strides_of(const Shape& weight, MemoryFormat format);
/// G g Gᵀ of all filters, turned by 180 degrees if so wished, as `convolve` reads them: to holds
/// 16 · channels · outputs floats at a 64-byte aligned address.
void transform_filters(const float* weight, FilterStrides strides, std::int64_t channels,
                       std::int64_t outputs, bool turned, float* to);
/// The filters [outputs, channels, 3, 3] that were transformed so, not turned, to about the
/// rounding of the largest weight of each.
void restore_filters(const float* from, std::int64_t channels, std::int64_t outputs, float* weight);

/// The transformed tiles [first, first + tiles) of x, whole groups: zeros fill the last.
void gather_tiles(const Problem& p, const float* x, std::int64_t first, std::int64_t tiles,
                  float* to);
/// The tiles that fill the last group become zero.
void zero_rest(float* groups, std::int64_t tiles, std::int64_t channels);
/// As many zeros as a pixel may have channels.
const float* zeros();

/// The convolution; `working` holds source_elements() + result_elements() floats for each of
/// max_threads().
void convolve(const Problem& p, const float* x, const float* filters, const Epilogue& epilogue,
              float* y, float* working);

}  // namespace pare::winograd

#endif
