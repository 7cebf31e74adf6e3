// The loops of F(2x2, 3x3) on AVX2: transforms of tiles and the products between them.
#pragma once

#include <cstdint>

#include "core/multiversion.h"

#if PARE_X86

namespace pare::winograd {

inline constexpr std::int64_t kElements = 16;  // of a transformed tile
inline constexpr std::int64_t kRows = 6;       // tiles that one pass of the product takes
inline constexpr std::int64_t kColumns = 16;   // and channels of its result: two vectors

/// Channels-last pictures seen as tiles of 2 by 2 pixels at (2·ty, 2·tx) minus the padding.
struct Pictures {
  std::int64_t height, width, channels;
  std::int64_t top, left;         // padding
  std::int64_t tiles_y, tiles_x;  // per picture
};

// Transformed tiles lie in groups of six: [tile / 6][element][tile % 6][channel], so that a group
// stays in the nearest cache and its elements do not compete for the same places of it.
inline std::int64_t offset_of(std::int64_t tile, std::int64_t channels) {
  return (tile / kRows * kElements * kRows + tile % kRows) * channels;
}

/// Bᵀ d B of `tiles` tiles of x from `first` on; `zeros` holds a pixel of them.
void transform_tiles(const Pictures& p, const float* x, std::int64_t first, std::int64_t tiles,
                     const float* zeros, float* to);
/// A ∂y Aᵀ of `tiles` tiles from `first` on.
void transform_gradients(const Pictures& p, const float* dy, std::int64_t first, std::int64_t tiles,
                         const float* zeros, float* to);
/// Aᵀ m A, and the bias where there is one, into the pixels of y.
void transform_results(const Pictures& p, const float* from, const float* bias, std::int64_t first,
                       std::int64_t tiles, float* y);
/// One element of `groups` groups of transformed tiles: to = a · b, where b[inner][outputs] lies in
/// panels of 16 outputs, 64-byte aligned.
void product(const float* a, const float* b, float* to, std::int64_t groups, std::int64_t inner,
             std::int64_t outputs);
/// One element of `groups` groups: to[channels][outputs] += aᵀ · b, summed over the tiles.
void add_transposed_product(const float* a, const float* b, float* to, std::int64_t groups,
                            std::int64_t channels, std::int64_t outputs);

}  // namespace pare::winograd

#endif
