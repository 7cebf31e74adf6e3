// MixUp and CutMix: what is mixed with what, and the labels that go with it.
#include "pare/data/mix.h"

#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/data/loader.h"

namespace pare::data {
namespace {

// Picture n is full of n + 1, its label is n.
Batch batch_of(std::int64_t count, MemoryFormat format = MemoryFormat::row_major) {
  Tensor x = Tensor::empty({count, 3, 8, 6}, DType::f32, format);
  std::vector<std::int64_t> labels;
  for (std::int64_t n = 0; n < count; ++n) {
    std::fill_n(x.mutable_data<float>() + n * 144, 144, static_cast<float>(n + 1));
    labels.push_back(n);
  }
  return {x, Tensor::from(labels, {count})};
}

TEST(MixTest, MixUpBlendsWithTheExampleBefore) {
  double sum = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Generator generator(seed);
    const Batch mixed = mix(batch_of(4), MixUp{.classes = 5, .alpha = 1}, generator);
    ASSERT_EQ(mixed.y.shape(), Shape({4, 5}));
    const auto y = mixed.y.to_vector<float>();
    const auto x = mixed.x.to_vector<float>();
    const float lambda = y[0];
    EXPECT_GE(lambda, 0);
    EXPECT_LE(lambda, 1);
    for (std::size_t n = 0; n < 4; ++n) {
      const std::size_t before = n == 0 ? 3 : n - 1;
      EXPECT_EQ(y[n * 5 + n], lambda);
      EXPECT_NEAR(y[n * 5 + before], 1 - lambda, 1e-6);
      EXPECT_EQ(y[n * 5 + 4], 0);
      const float expected =
          lambda * static_cast<float>(n + 1) + (1 - lambda) * static_cast<float>(before + 1);
      EXPECT_NEAR(x[n * 144 + 77], expected, 1e-5);
    }
    sum += static_cast<double>(lambda);
  }
  EXPECT_NEAR(sum / 200, 0.5, 0.08);
}

TEST(MixTest, BetaHasItsSpread) {
  // Of Beta(a, a) the variance is 1 / (4 (2a + 1)); small alphas give nearly 0 or 1.
  for (const double alpha : {0.01, 0.2, 1.0, 8.0}) {
    double sum = 0, squares = 0;
    constexpr int kDraws = 3000;
    Generator generator(4);
    const Batch one{Tensor::zeros({2, 1}), Tensor::from(std::vector<std::int64_t>{0, 1}, {2})};
    for (int k = 0; k < kDraws; ++k) {
      const auto y = mix(one, MixUp{.classes = 2, .alpha = alpha}, generator).y.to_vector<float>();
      ASSERT_TRUE(std::isfinite(y[0]));
      sum += static_cast<double>(y[0]);
      squares += std::pow(static_cast<double>(y[0]) - 0.5, 2);
    }
    EXPECT_NEAR(sum / kDraws, 0.5, 0.04) << alpha;
    EXPECT_NEAR(squares / kDraws, 1 / (4 * (2 * alpha + 1)), 0.02) << alpha;
  }
}

TEST(MixTest, CutMixPastesARectangleOfItsShare) {
  bool whole = false, some = false;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Generator generator(seed), again(seed);
    const CutMix how{.classes = 3};
    const Batch mixed = mix(batch_of(3), how, generator);
    const Batch last = mix(batch_of(3, MemoryFormat::channels_last), how, again);
    EXPECT_TRUE(last.x.channels_last());
    const auto x = mixed.x.to_vector<float>();
    EXPECT_EQ(last.x.to_vector<float>(), x);
    const auto y = mixed.y.to_vector<float>();
    for (std::size_t n = 0; n < 3; ++n) {
      const float other = static_cast<float>(n == 0 ? 3 : n);
      int pasted = 0;
      for (std::size_t i = 0; i < 144; ++i) {
        const float v = x[n * 144 + i];
        EXPECT_TRUE(v == other || v == static_cast<float>(n + 1));
        pasted += v == other ? 1 : 0;
      }
      EXPECT_EQ(pasted % 3, 0);
      EXPECT_NEAR(y[n * 3 + n], 1 - pasted / 144.0, 1e-6);
      whole = whole || pasted == 0;
      some = some || pasted > 30;
    }
  }
  EXPECT_TRUE(whole);
  EXPECT_TRUE(some);
}

TEST(MixTest, OneExampleIsMixedWithItself) {
  Generator generator(1);
  const Batch mixed = mix(batch_of(1), MixUp{.classes = 1}, generator);
  EXPECT_NEAR(mixed.y.to_vector<float>()[0], 1, 1e-6);
  EXPECT_NEAR(mixed.x.to_vector<float>()[0], 1, 1e-6);
}

TEST(MixTest, MistakesAreNamed) {
  Generator g(0);
  const Batch batch = batch_of(3);
  EXPECT_ERROR(mix(batch, MixUp{}, g), invalid_argument, "MixUp", "classes", "got 0");
  EXPECT_ERROR(mix(batch, MixUp{.classes = 3, .alpha = 0}, g), invalid_argument, "alpha");
  EXPECT_ERROR(mix(batch, CutMix{.classes = 3, .alpha = NAN}, g), invalid_argument, "nan");
  EXPECT_ERROR(mix(batch, MixUp{.classes = 2}, g), out_of_range, "0 … 1", "got 2");
  EXPECT_ERROR(mix({batch.x.to(DType::f64), batch.y}, MixUp{.classes = 3}, g), dtype_mismatch,
               "f64");
  EXPECT_ERROR(mix({batch.x, {}}, MixUp{.classes = 3}, g), shape_mismatch, "labels [3]", "none");
  EXPECT_ERROR(mix({batch.x, batch.y.to(DType::i32)}, MixUp{.classes = 3}, g), dtype_mismatch,
               "i32");
  EXPECT_ERROR(mix({Tensor::zeros({3, 4}), batch.y}, CutMix{.classes = 3}, g), shape_mismatch,
               "[N, C, H, W]", "[3, 4]");
  EXPECT_ERROR(Loader(TensorDataset(batch.x, batch.y), {.mix = MixUp{}}), invalid_argument,
               "classes");
}

}  // namespace
}  // namespace pare::data
