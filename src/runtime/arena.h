// Arena: places buffers of known lifetimes in one block, so that those alive together are apart.
#pragma once

#include <cstddef>
#include <span>

#include "core/aligned.h"

namespace pare::runtime {

struct Buffer {
  std::size_t bytes = 0;
  int first = 0;  ///< step that writes it first
  int last = 0;   ///< step that reads it last
  std::size_t offset = 0;
};

struct ArenaSize {
  std::size_t bytes = 0;
  std::size_t live = 0;  ///< the most that is alive at one step
};

/// Sets the offsets, multiples of 64: the largest buffers first, each at the lowest gap that fits
/// (greedy by size; Pisarchyk and Lee 2020, "Efficient memory management for deep neural net
/// inference").
ArenaSize place(std::span<Buffer> buffers);

}  // namespace pare::runtime
