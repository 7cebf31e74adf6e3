// The primitive cache: finds what it holds, stays within its bound, drops the oldest.
#include "onednn/cache.h"

#include <gtest/gtest.h>

namespace pare::onednn {
namespace {

Key key(int i) {
  Key k{};
  k[0] = i;
  return k;
}

TEST(OnednnCache, DropsTheLeastRecentlyUsed) {
  Cache<int> cache(3);
  int made = 0;
  const auto get = [&](int i) {
    return cache.get(key(i), [&] {
      ++made;
      return 10 * i;
    });
  };
  for (const int i : {1, 2, 3, 1, 1}) EXPECT_EQ(get(i), 10 * i);
  EXPECT_EQ(made, 3);
  EXPECT_EQ(get(4), 40);  // 2 goes
  EXPECT_EQ(cache.size(), 3U);
  get(1);
  get(3);
  EXPECT_EQ(made, 4);
  get(2);
  EXPECT_EQ(made, 5);
  for (int i = 0; i < 1000; ++i) get(i);
  EXPECT_EQ(cache.size(), 3U);
}

}  // namespace
}  // namespace pare::onednn
