// The loops of F(2x2, 3x3) on AVX2: transforms of tiles and the products between them.
#pragma once

#include <cstdint>
#include <limits>

#include "core/winograd_tiles.h"

#if PARE_X86

namespace pare::winograd {

/// Bᵀ d B of `tiles` tiles of x from `first` on; `zeros` holds a pixel of them.
void transform_tiles(const Pictures& p, const float* x, std::int64_t first, std::int64_t tiles,
                     const float* zeros, float* to);
/// A ∂y Aᵀ of `tiles` tiles from `first` on.
void transform_gradients(const Pictures& p, const float* dy, std::int64_t first, std::int64_t tiles,
                         const float* zeros, float* to);
/// What becomes of a sum: the bias, the residual that y holds already, the clip; NaN passes.
struct Epilogue {
  const float* bias = nullptr;  ///< null: none
  bool residual = false;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};
/// Aᵀ m A, through the epilogue, into the pixels of y.
void transform_results(const Pictures& p, const float* from, const Epilogue& epilogue,
                       std::int64_t first, std::int64_t tiles, float* y);
/// One element of `groups` groups of transformed tiles: to = a · b, where b[inner][outputs] lies in
/// panels of 16 outputs, 64-byte aligned.
void product(const float* a, const float* b, float* to, std::int64_t groups, std::int64_t inner,
             std::int64_t outputs);
/// One element of `groups` groups: to[channels][outputs] += aᵀ · b, summed over the tiles.
void add_transposed_product(const float* a, const float* b, float* to, std::int64_t groups,
                            std::int64_t channels, std::int64_t outputs);

}  // namespace pare::winograd

#endif
