// How the weights of a convolution of bytes are laid, so that sums in 16 bits cannot saturate.
#pragma once

#include <cstdint>
#include <vector>

namespace pare {

inline constexpr std::int64_t kTapOut = 16;  // output channels of a block: two vectors of 8 sums
inline constexpr std::int64_t kTapIn = 4;  // neighbouring input channels that one broadcast brings

// Four input channels under one place of the kernel, for a block of output channels.
struct Tap {
  std::int32_t offset = 0;  // bytes from the pixel's first, in the padded picture
  std::int8_t weights[kTapOut][kTapIn] = {};
};

// The channel of the block whose sums stand at place i: so that packing 32 bits to 16, which works
// in halves, gives them in order.
inline constexpr std::int64_t channel_at(std::int64_t i) {
  return i / 4 == 1 ? i + 4 : i / 4 == 2 ? i - 4 : i;
}

// A block of output channels: first the taps that go in pairs, then the others.
struct TapBlock {
  std::vector<Tap> taps;
  std::int64_t pairs = 0;
};

/// Finds the pairs. False where a single tap saturates.
bool order_taps(TapBlock& block);

}  // namespace pare
