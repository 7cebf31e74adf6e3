// A plan's f32 primitives against loops in double precision, and what all primitives promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "pare/core/context.h"
#include "runtime/primitives.h"

namespace pare {
namespace {

using runtime::Epilogue;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Block = std::unique_ptr<void, Free>;
Block block(std::size_t bytes) { return Block(std::aligned_alloc(64, (bytes + 64) / 64 * 64)); }

std::vector<float> numbers(std::int64_t count, std::uint32_t seed) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) {
    seed = seed * 1664525U + 1013904223U;
    v = static_cast<float>(seed >> 8) / static_cast<float>(1 << 23) - 1.0F;
  }
  return out;
}

const Epilogue kEpilogues[] = {{},
                               {.low = 0},
                               {.low = 0, .high = 0.5},
                               {.high = 0.25},
                               {.residual = true},
                               {.residual = true, .low = 0}};

double finish(double v, const Epilogue& e, float previous) {
  if (e.residual) v += static_cast<double>(previous);
  return std::min(std::max(v, e.low), e.high);
}

/// A transform may have rounded them.
void expect_given_back(const runtime::Primitive& primitive, const void* constants,
                       const std::vector<float>& weights) {
  const Tensor weight = primitive.weight(constants);
  ASSERT_TRUE(weight.defined()) << primitive.name();
  const auto found = weight.to_vector<float>();
  ASSERT_EQ(found.size(), weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i)
    ASSERT_NEAR(found[i], weights[i], 4e-7) << primitive.name();
}

TEST(Primitives, GroupedConvolutionsGiveTheirWeightsBack) {
  for (const std::int64_t groups : {1, 3, 24}) {
    const std::int64_t channels = 24, in = channels / groups, out = 48;
    const auto weights = numbers(out * in * 9, 1);
    for (const bool narrow : {false, true}) {
      const runtime::Encoding encoding{.dtype = narrow ? DType::bf16 : DType::f32};
      const auto primitive =
          runtime::kPrimitives.convolution({.batch = 1,
                                            .height = 9,
                                            .width = 7,
                                            .weight = Tensor::from(weights, {out, in, 3, 3}),
                                            .bias = {},
                                            .weight_scales = {},
                                            .attributes = {.groups = groups},
                                            .source = encoding,
                                            .destination = encoding,
                                            .epilogue = {}});
      if (!primitive && narrow) continue;  // no bf16 on this CPU
      ASSERT_TRUE(primitive);
      const Block constants = block(primitive->constant_bytes());
      primitive->fill(constants.get());
      auto expected = weights;
      if (narrow)
        for (float& w : expected) w = to_float(to_bfloat16(w));
      expect_given_back(*primitive, constants.get(), expected);
    }
  }
}

TEST(Primitives, ConvolutionInFloat) {
  const std::int64_t n = 2, c = 16, h = 7, w = 6, o = 24, k = 3;
  const auto weights = numbers(o * c * k * k, 1);
  const auto bias = numbers(o, 2);
  const auto x = numbers(n * h * w * c, 3);
  const auto before = numbers(n * h * w * o, 4);
  for (const bool biased : {false, true})
    for (const Epilogue& epilogue : kEpilogues) {
      const auto primitive =
          runtime::kPrimitives.convolution({.batch = n,
                                            .height = h,
                                            .width = w,
                                            .weight = Tensor::from(weights, {o, c, k, k}),
                                            .bias = biased ? Tensor::from(bias, {o}) : Tensor(),
                                            .weight_scales = {},
                                            .attributes = {.padding = {1, 1, 1, 1}},
                                            .source = {},
                                            .destination = {},
                                            .epilogue = epilogue});
      ASSERT_TRUE(primitive);
      EXPECT_FALSE(primitive->slow()) << primitive->name();
      const Block constants = block(primitive->constant_bytes());
      const Block scratch = block(primitive->scratch_bytes());
      primitive->fill(constants.get());
      expect_given_back(*primitive, constants.get(), weights);
      auto y = before;
      primitive->execution(constants.get())->run(x.data(), y.data(), scratch.get());
      std::size_t at = 0;
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t r = 0; r < h; ++r)
          for (std::int64_t s = 0; s < w; ++s)
            for (std::int64_t p = 0; p < o; ++p, ++at) {
              double v = biased ? bias[static_cast<std::size_t>(p)] : 0;
              for (std::int64_t ky = 0; ky < k; ++ky)
                for (std::int64_t kx = 0; kx < k; ++kx) {
                  const std::int64_t sy = r + ky - 1;
                  const std::int64_t sx = s + kx - 1;
                  if (sy < 0 || sy >= h || sx < 0 || sx >= w) continue;
                  for (std::int64_t q = 0; q < c; ++q)
                    v += static_cast<double>(
                             x[static_cast<std::size_t>(((i * h + sy) * w + sx) * c + q)]) *
                         weights[static_cast<std::size_t>(((p * c + q) * k + ky) * k + kx)];
                }
              ASSERT_NEAR(y[at], finish(v, epilogue, before[at]), 2e-5) << at;
            }
    }
}

TEST(Primitives, DenseInFloat) {
  const std::int64_t rows = 3, in = 50, out = 20;
  const auto weights = numbers(out * in, 1);
  const auto bias = numbers(out, 2);
  const auto x = numbers(rows * in, 3);
  const auto before = numbers(rows * out, 4);
  for (const bool biased : {false, true})
    for (const Epilogue& epilogue : kEpilogues) {
      const auto primitive =
          runtime::kPrimitives.dense({.rows = rows,
                                      .weight = Tensor::from(weights, {out, in}),
                                      .bias = biased ? Tensor::from(bias, {out}) : Tensor(),
                                      .weight_scales = {},
                                      .source = {},
                                      .destination = {},
                                      .epilogue = epilogue});
      ASSERT_TRUE(primitive);
      const Block constants = block(primitive->constant_bytes());
      const Block scratch = block(primitive->scratch_bytes());
      primitive->fill(constants.get());
      expect_given_back(*primitive, constants.get(), weights);
      auto y = before;
      primitive->execution(constants.get())->run(x.data(), y.data(), scratch.get());
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t p = 0; p < out; ++p) {
          double v = biased ? bias[static_cast<std::size_t>(p)] : 0;
          for (std::int64_t q = 0; q < in; ++q)
            v += static_cast<double>(x[static_cast<std::size_t>(r * in + q)]) *
                 weights[static_cast<std::size_t>(p * in + q)];
          const auto at = static_cast<std::size_t>(r * out + p);
          ASSERT_NEAR(y[at], finish(v, epilogue, before[at]), 2e-5) << at;
        }
    }
}

TEST(Primitives, OnePrimitiveServesManyThreads) {
  const std::int64_t c = 16, size = 12;
  const auto weights = numbers(c * c * 9, 1);
  ContextScope scope;
  scope->threads = 1;
  const auto primitive =
      runtime::kPrimitives.convolution({.batch = 1,
                                        .height = size,
                                        .width = size,
                                        .weight = Tensor::from(weights, {c, c, 3, 3}),
                                        .bias = {},
                                        .weight_scales = {},
                                        .attributes = {.padding = {1, 1, 1, 1}},
                                        .source = {},
                                        .destination = {},
                                        .epilogue = {.low = 0}});
  ASSERT_TRUE(primitive);
  const Block constants = block(primitive->constant_bytes());
  primitive->fill(constants.get());
  const auto run = [&](std::uint32_t seed) {
    const ContextScope one;
    one->threads = 1;
    const auto x = numbers(c * size * size, seed);
    std::vector<float> y(x.size());
    const Block scratch = block(primitive->scratch_bytes());
    primitive->execution(constants.get())->run(x.data(), y.data(), scratch.get());
    return y;
  };
  std::vector<std::vector<float>> want;
  for (std::uint32_t i = 0; i < 4; ++i) want.push_back(run(i));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::uint32_t i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) wrong[i] += run(i) != want[i];
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace pare
