// How a picture is cut into the tiles of F(2x2, 3x3), and the tiles into chunks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/multiversion.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/parallel.h"
#include "pare/core/shape.h"

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

/// A tile's first pixel, which may lie in the padding, and the way to the next tile.
struct Place {
  std::int64_t picture, ty, tx;
  void next(const Pictures& p) {
    if (++tx < p.tiles_x) return;
    tx = 0;
    if (++ty < p.tiles_y) return;
    ty = 0;
    ++picture;
  }
};
inline Place place_of(std::int64_t tile, const Pictures& p) {
  return {tile / (p.tiles_y * p.tiles_x), tile / p.tiles_x % p.tiles_y, tile % p.tiles_x};
}

/// The pixels of a size by size tile; those outside of the picture read `outside`.
template <int kSize, class T> struct Pixels {
  Pixels(const Pictures& p, const T* x, const Place& place, const T* outside) {
    const std::int64_t y = place.ty * 2 - p.top;
    const std::int64_t left = place.tx * 2 - p.left;
    const T* first = x + ((place.picture * p.height + y) * p.width + left) * p.channels;
    const bool whole = y >= 0 && y + kSize <= p.height && left >= 0 && left + kSize <= p.width;
    for (int i = 0; i < kSize; ++i)
      for (int j = 0; j < kSize; ++j) {
        const bool inside =
            whole || (y + i >= 0 && y + i < p.height && left + j >= 0 && left + j < p.width);
        at[i * kSize + j] = inside ? first + (i * p.width + j) * p.channels : outside;
      }
  }
  const T* at[kSize * kSize];
};

/// Whether the tiling fits: 3 by 3, stride and dilation 1, one group, padding up to 2; output
/// channels in sixteens, at most kMostChannels of either.
bool tiles(const Conv2dAttributes& attributes, const Shape& weight);
inline constexpr std::int64_t kMostChannels = 256;

struct Problem {
  std::int64_t batch;
  Pictures from, to;   // of one tiling
  std::int64_t chunk;  // tiles that are worked on at a time, in sixes
  std::int64_t tiles() const { return batch * to.tiles_y * to.tiles_x; }
  /// Elements of the transformed tiles of x, and of y, of one thread's chunk.
  std::int64_t source_elements() const { return kElements * chunk * from.channels; }
  std::int64_t result_elements() const { return kElements * chunk * to.channels; }
};
/// x [N, C, H, W] to y [N, O, H', W'], with the padding above and left of x. A chunk's transformed
/// tiles, of `source_bytes` and `result_bytes` an element, are to stay in the cache.
Problem problem_of(const Shape& x, const Shape& y, std::int64_t top, std::int64_t left,
                   std::int64_t source_bytes, std::int64_t result_bytes);
/// The same of a convolution of x that `tiles` takes.
Problem problem_of(const Conv2dAttributes& attributes, const Shape& x, std::int64_t outputs,
                   std::int64_t source_bytes, std::int64_t result_bytes);

/// Calls body(piece, first tile, end) for pieces of whole chunks, at most one piece a thread.
template <class Body> void in_pieces(const Problem& p, const Body& body) {
  const std::int64_t chunk = p.chunk;
  const std::int64_t chunks = (p.tiles() + chunk - 1) / chunk;
  const std::int64_t pieces = std::min<std::int64_t>(max_threads(), chunks);
  parallel_for(0, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece)
      body(piece, chunks * piece / pieces * chunk,
           std::min(p.tiles(), chunks * (piece + 1) / pieces * chunk));
  });
}

}  // namespace pare::winograd

#endif
