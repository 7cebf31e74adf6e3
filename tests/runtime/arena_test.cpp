// Tests of the arena's placement.
#include "runtime/arena.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace pare::runtime {
namespace {

void expect_apart(const std::vector<Buffer>& buffers) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_EQ(buffers[i].offset % kAlignment, 0U);
    for (std::size_t j = 0; j < i; ++j) {
      const Buffer& a = buffers[i];
      const Buffer& b = buffers[j];
      if (a.first > b.last || b.first > a.last) continue;
      EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset)
          << i << " and " << j;
    }
  }
}

TEST(Arena, KeepsApartWhatIsAliveTogether) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Buffer> buffers(1 + random() % 30);
    for (Buffer& b : buffers) {
      b.bytes = 1 + random() % 5000;
      b.first = static_cast<int>(random() % 40);
      b.last = b.first + static_cast<int>(random() % 10);
    }
    const ArenaSize size = place(buffers);
    expect_apart(buffers);
    EXPECT_GE(size.bytes, size.live);
    for (const Buffer& b : buffers) EXPECT_LE(b.offset + b.bytes, size.bytes);
  }
}

TEST(Arena, AChainNeedsItsTwoLargestNeighbours) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < 10; ++i) buffers.push_back({1024, i, i + 1, 0});
  const ArenaSize size = place(buffers);
  EXPECT_EQ(size.bytes, 2048U);
  EXPECT_EQ(size.live, 2048U);
  expect_apart(buffers);
}

TEST(Arena, NothingToPlace) {
  const ArenaSize size = place({});
  EXPECT_EQ(size.bytes, 0U);
  EXPECT_EQ(size.live, 0U);
}

}  // namespace
}  // namespace pare::runtime
