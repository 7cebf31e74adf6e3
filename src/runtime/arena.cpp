// Arena: greedy placement by size.
#include "runtime/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace pare::runtime {
namespace {

bool overlap(const Buffer& a, const Buffer& b) { return a.first <= b.last && b.first <= a.last; }

// The tightest gap between the placed buffers alive with this one, or the end of them.
std::size_t find_offset(const Buffer& buffer, const std::vector<const Buffer*>& by_offset) {
  std::size_t end = 0;
  std::size_t best = 0;
  std::size_t best_gap = std::numeric_limits<std::size_t>::max();
  for (const Buffer* other : by_offset) {
    if (!overlap(buffer, *other)) continue;
    if (other->offset >= end) {
      const std::size_t gap = other->offset - end;
      if (gap >= buffer.bytes && gap < best_gap) {
        best = end;
        best_gap = gap;
      }
    }
    end = std::max(end, other->offset + aligned(other->bytes));
  }
  return best_gap == std::numeric_limits<std::size_t>::max() ? end : best;
}

std::size_t most_alive(std::span<const Buffer> buffers) {
  int steps = 0;
  for (const Buffer& b : buffers) steps = std::max(steps, b.last + 1);
  std::vector<std::size_t> alive(static_cast<std::size_t>(steps));
  for (const Buffer& b : buffers)
    for (int s = b.first; s <= b.last; ++s) alive[static_cast<std::size_t>(s)] += aligned(b.bytes);
  return alive.empty() ? 0 : *std::max_element(alive.begin(), alive.end());
}

}  // namespace

ArenaSize place(std::span<Buffer> buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });
  ArenaSize size;
  std::vector<const Buffer*> by_offset;
  for (const std::size_t i : order) {
    Buffer& buffer = buffers[i];
    buffer.offset = find_offset(buffer, by_offset);
    size.bytes = std::max(size.bytes, buffer.offset + aligned(buffer.bytes));
    const auto place =
        std::upper_bound(by_offset.begin(), by_offset.end(), &buffer,
                         [](const Buffer* a, const Buffer* b) { return a->offset < b->offset; });
    by_offset.insert(place, &buffer);
  }
  size.live = most_alive(buffers);
  return size;
}

}  // namespace pare::runtime
