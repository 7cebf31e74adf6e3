// How the weights of a convolution of bytes are laid, so that sums in 16 bits cannot saturate.
#pragma once

#include <cstdint>
#include <vector>

namespace pare {

inline constexpr std::int64_t kTapOut = 16;  // output channels of a block: two vectors of 8 sums
// Neighbouring input channels that one broadcast of four bytes brings.
template <class Lane> inline constexpr std::int64_t kTapIn = 4 / sizeof(Lane);

// These input channels under one place of the kernel, for a block of output channels.
template <class Lane> struct TapOf {
  std::int32_t offset = 0;  // bytes from the pixel's first, in the padded picture
  Lane weights[kTapOut][kTapIn<Lane>] = {};
};
using Tap = TapOf<std::int8_t>;
using WideTap = TapOf<std::int16_t>;

// The channel of the block whose sums stand at place i: so that packing 32 bits to 16, which works
// in halves, gives them in order.
inline constexpr std::int64_t channel_at(std::int64_t i) {
  return i / 4 == 1 ? i + 4 : i / 4 == 2 ? i - 4 : i;
}

// A block of output channels: first the taps that go in pairs, then the others.
template <class Lane> struct TapBlock {
  std::vector<TapOf<Lane>> taps;
  std::int64_t pairs = 0;
};

/// Finds the pairs. False where a single tap saturates.
bool order_taps(TapBlock<std::int8_t>& block);

}  // namespace pare
