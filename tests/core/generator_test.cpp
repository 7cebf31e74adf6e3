// Tests of Generator and parallel_for.
#include "pare/core/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <numeric>

#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

using ::testing::ElementsAre;

TEST(Generator, IsPhilox) {
  // Random123's known answer for counter 0, key 0.
  Generator g(0);
  std::vector<std::uint32_t> words;
  for (int i = 0; i < 4; ++i) words.push_back(g.next_u32());
  EXPECT_THAT(words, ElementsAre(0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U));
}

TEST(Generator, DrawsTheSameForAnyThreadCount) {
  const auto draw = [](int threads) {
    ContextScope scope;
    scope->threads = threads;
    Generator g(3);
    (void)g.uniform();  // an odd position
    const auto a = g.normal({100003}).to_vector<float>();
    const auto b = g.uniform({100003}).to_vector<float>();
    return std::pair(a, b);
  };
  EXPECT_EQ(draw(1), draw(4));
}

TEST(Generator, HasTheRightMoments) {
  Generator g(1);
  const auto x = g.normal({200000}, 2, 3).to_vector<float>();
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  double variance = 0;
  for (const float v : x)
    variance += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  variance /= static_cast<double>(x.size());
  EXPECT_NEAR(mean, 2, 0.03);
  EXPECT_NEAR(variance, 9, 0.15);
  const auto u = g.uniform({100000}, -1, 1).to_vector<float>();
  EXPECT_NEAR(std::accumulate(u.begin(), u.end(), 0.0) / 1e5, 0, 0.01);
  const auto ones = g.bernoulli({100000}, 0.25F).to_vector<float>();
  EXPECT_NEAR(std::accumulate(ones.begin(), ones.end(), 0.0) / 1e5, 0.25, 0.01);
}

TEST(Generator, PermutesAndForks) {
  Generator g(5);
  auto order = g.permutation(1000);
  EXPECT_NE(order.front() + order.back(), 999);
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  Generator a = g.fork(1);
  Generator b = g.fork(2);
  Generator again = g.fork(1);
  EXPECT_NE(a.next_u32(), b.next_u32());
  a = g.fork(1);
  EXPECT_EQ(a.next_u32(), again.next_u32());
  EXPECT_ERROR(g.below(0), invalid_argument, "generator: expected a bound above 0, got 0");
  EXPECT_ERROR(g.permutation(-1), invalid_argument, "a count of 0 or more, got -1");
  EXPECT_TRUE(g.permutation(0).empty());
}

TEST(Generator, ResumesFromItsState) {
  Generator g(5);
  (void)g.uniform({7});
  const auto state = g.state();
  const auto next = g.next_u32();
  Generator other;
  other.set_state(state);
  EXPECT_EQ(other.next_u32(), next);
}

TEST(ParallelFor, CoversTheRangeOnce) {
  for (const int threads : {1, 2, 5}) {
    ContextScope scope;
    scope->threads = threads;
    std::vector<std::atomic<int>> hits(1001);
    parallel_for(0, 1001, 10, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    for (const auto& h : hits) ASSERT_EQ(h.load(), 1);
  }
}

TEST(ParallelFor, PassesExceptionsOn) {
  ContextScope scope;
  scope->threads = 3;
  EXPECT_THROW(parallel_for(0, 100, 1,
                            [](std::int64_t, std::int64_t e) {
                              if (e == 100) throw Error(ErrorCode::stopped, "here");
                            }),
               Error);
}

}  // namespace
}  // namespace pare
