// Which taps of a convolution of bytes can be added in 16 bits.
#include "core/byte_taps.h"

#include <cstddef>

namespace pare {
namespace {

// What can be added in 16 bits: 255 · 128 < 2^15.
constexpr int kMostWeight = 128;

// Whether no sum of the taps' products, over neighbours and in any order, leaves 16 bits.
bool fits(const Tap* const* taps, std::size_t count) {
  for (std::int64_t o = 0; o < kTapOut; ++o)
    for (std::int64_t half = 0; half < kTapIn<std::int8_t>; half += 2) {
      int up = 0;
      int down = 0;
      for (std::size_t t = 0; t < count; ++t)
        for (std::int64_t i = half; i < half + 2; ++i) {
          const int w = taps[t]->weights[o][i];
          (w > 0 ? up : down) += w;
        }
      if (up > kMostWeight || -down > kMostWeight) return false;
    }
  return true;
}

}  // namespace

bool order_taps(TapBlock<std::int8_t>& block) {
  std::vector<const Tap*> left;
  for (const Tap& tap : block.taps) {
    const Tap* one = &tap;
    if (!fits(&one, 1)) return false;
    left.push_back(one);
  }
  std::vector<Tap> paired;
  std::vector<Tap> single;
  while (!left.empty()) {
    const Tap* pair[2] = {left.back(), nullptr};
    left.pop_back();
    bool found = false;
    for (std::size_t i = left.size(); i-- > 0 && !found;) {
      pair[1] = left[i];
      if (!fits(pair, 2)) continue;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
      found = true;
    }
    if (found)
      paired.insert(paired.end(), {*pair[0], *pair[1]});
    else
      single.push_back(*pair[0]);
  }
  block.pairs = static_cast<std::int64_t>(paired.size() / 2);
  block.taps = std::move(paired);
  block.taps.insert(block.taps.end(), single.begin(), single.end());
  return true;
}

}  // namespace pare
