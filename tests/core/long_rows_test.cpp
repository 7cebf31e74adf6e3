// Ops whose loops take many elements at a time, against one element at a time, over rows long
// enough to reach every part of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(LongRows, UniformDrawsAreTheWordsOfTheGenerator) {
  for (const int skipped : {0, 1, 2, 3, 5})
    for (const std::int64_t count : {1, 3, 127, 128, 131, 517, 1000}) {
      Generator one(9), many(9);
      for (int i = 0; i < skipped; ++i) {
        one.next_u32();
        many.next_u32();
      }
      std::vector<float> expected(static_cast<std::size_t>(count)), found = expected;
      for (float& v : expected) v = one.uniform();
      many.fill_uniform(found.data(), count);
      EXPECT_EQ(found, expected) << skipped << " " << count;
      EXPECT_EQ(many.state(), one.state());
    }
  // Across 2^32 blocks: the counter's second word.
  Generator one(3), many(3);
  one.set_state({3, 5, (std::uint64_t{1} << 34) - 70});
  many.set_state(one.state());
  std::vector<float> expected(600), found(600);
  for (float& v : expected) v = one.uniform();
  many.fill_uniform(found.data(), 600);
  EXPECT_EQ(found, expected);
}

TEST(LongRows, ArgmaxFindsTheFirst) {
  Generator generator(2);
  for (const std::int64_t length : {1, 31, 32, 33, 64, 100, 200})
    for (const bool with_nan : {false, true}) {
      // Few distinct values, so that there are ties everywhere.
      std::vector<float> values(static_cast<std::size_t>(4 * length));
      for (float& v : values) v = static_cast<float>(generator.below(3));
      if (with_nan) values[static_cast<std::size_t>(length + length / 2)] = kNan;
      if (with_nan) values[static_cast<std::size_t>(4 * length - 1)] = -kNan;
      const Tensor x = Tensor::from(values, {4, length});
      const auto largest = argmax(x).to_vector<std::int64_t>();
      const auto smallest = argmin(x).to_vector<std::int64_t>();
      for (std::int64_t r = 0; r < 4; ++r) {
        const float* row = values.data() + r * length;
        std::int64_t high = 0, low = 0;
        for (std::int64_t i = 1; i < length; ++i) {
          if (!std::isnan(row[high]) && !(row[i] <= row[high])) high = i;
          if (!std::isnan(row[low]) && !(row[i] >= row[low])) low = i;
        }
        EXPECT_EQ(largest[static_cast<std::size_t>(r)], high) << length << " row " << r;
        EXPECT_EQ(smallest[static_cast<std::size_t>(r)], low) << length << " row " << r;
      }
    }
}

template <class T> void expect_sorted(DType dtype) {
  Generator generator(4);
  const std::int64_t length = 300;
  std::vector<float> given(static_cast<std::size_t>(length));
  for (float& v : given) v = static_cast<float>(generator.below(90)) - 45.0F;
  const Tensor x = Tensor::from(given, {length}).to(dtype);
  const std::vector<T> values = x.to_vector<T>();
  for (const bool largest : {false, true}) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(length));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      const T left = values[static_cast<std::size_t>(a)],
              right = values[static_cast<std::size_t>(b)];
      return largest ? left > right : left < right;
    });
    for (const std::int64_t k : {1, 5, 32, 33, 299, 300}) {
      const Sorted found = topk(x, {.k = k, .largest = largest});
      const std::vector<std::int64_t> expected(order.begin(), order.begin() + k);
      EXPECT_EQ(found.indices.to_vector<std::int64_t>(), expected) << traits(dtype).name << k;
    }
    EXPECT_EQ(sort(x, {.descending = largest}).indices.to_vector<std::int64_t>(), order);
  }
}

TEST(LongRows, SortsEveryTypeStably) {
  expect_sorted<float>(DType::f32);
  expect_sorted<double>(DType::f64);
  expect_sorted<std::int64_t>(DType::i64);
  expect_sorted<std::int32_t>(DType::i32);
  expect_sorted<std::int8_t>(DType::i8);
}

TEST(LongRows, PowersOfOneNumber) {
  Generator generator(5);
  Tensor x = generator.uniform({2, 700}, -3, 3);
  x.mutable_data<float>()[600] = 0;
  for (const double power : {2.0, 3.0, 0.5, -1.0, 0.0}) {
    Tensor base = x.clone().set_requires_grad();
    const Tensor y = pow(base, power);
    sum(y).backward();
    const std::vector<float> in = x.to_vector<float>(), out = y.to_vector<float>(),
                             slope = base.grad().to_vector<float>();
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double v = static_cast<double>(in[i]);
      const double expected = std::pow(v, power);
      const double expected_slope = power == 0 ? 0 : power * std::pow(v, power - 1);
      const auto close = [](float found, double wanted) {
        if (std::isnan(wanted)) return std::isnan(found);
        if (std::isinf(wanted)) return static_cast<double>(found) == wanted;
        return std::fabs(static_cast<double>(found) - wanted) <= 1e-6 * std::fabs(wanted);
      };
      EXPECT_TRUE(close(out[i], expected)) << in[i] << "^" << power << " = " << out[i];
      EXPECT_TRUE(close(slope[i], expected_slope)) << in[i] << "^" << power << ": " << slope[i];
    }
  }
  // One number to many powers.
  const Tensor powers = generator.uniform({700}, -3, 3);
  const std::vector<float> b = powers.to_vector<float>(),
                           y = pow(Tensor::full({1}, 1.7), powers).to_vector<float>();
  for (std::size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(y[i], std::pow(1.7F, b[i]), 2e-6F * y[i]);
}

TEST(LongRows, RemaindersOfHugeQuotientsBetweenOthers) {
  Generator generator(6);
  std::vector<float> a = generator.uniform({5000}, -100, 100).to_vector<float>();
  std::vector<float> b = generator.uniform({5000}, 0.5F, 3).to_vector<float>();
  a[17] = 1e30F;
  a[2500] = kInfinity;
  b[4999] = kInfinity;
  b[4000] = 0;
  a[30] = kNan;
  a[31] = 4.9e8F, b[31] = 1;
  a[32] = 16777216.0F, b[32] = 0.03125F;
  const Tensor x = Tensor::from(a, {5000}), y = Tensor::from(b, {5000});
  const std::vector<float> found = fmod(x, y).to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float expected = std::fmod(a[i], b[i]);
    if (std::isnan(expected))
      EXPECT_TRUE(std::isnan(found[i])) << i;
    else
      EXPECT_EQ(found[i], expected) << a[i] << " " << b[i];
  }
}

TEST(LongRows, CastsSaturate) {
  std::vector<float> values(700, 1.75F);
  values[0] = 3e9F;
  values[1] = -3e9F;
  values[2] = kNan;
  values[3] = 2147483520.0F;
  values[4] = -2147483648.0F;
  values[650] = kInfinity;
  values[651] = -kInfinity;
  values[652] = -1.75F;
  values[653] = 300;
  const Tensor x = Tensor::from(values, {700});
  const auto wide = x.to(DType::i32).to_vector<std::int32_t>();
  EXPECT_EQ(wide[0], 2147483647);
  EXPECT_EQ(wide[1], -2147483647 - 1);
  EXPECT_EQ(wide[2], 0);
  EXPECT_EQ(wide[3], 2147483520);
  EXPECT_EQ(wide[4], -2147483647 - 1);
  EXPECT_EQ(wide[650], 2147483647);
  EXPECT_EQ(wide[651], -2147483647 - 1);
  EXPECT_EQ(wide[652], -1);
  EXPECT_EQ(wide[653], 300);
  const auto longest = x.to(DType::i64).to_vector<std::int64_t>();
  EXPECT_EQ(longest[0], 3'000'000'000);
  EXPECT_EQ(longest[650], std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(longest[651], std::numeric_limits<std::int64_t>::lowest());
  const auto bytes = x.to(DType::u8).to_vector<std::uint8_t>();
  EXPECT_EQ(bytes[1], 0);
  EXPECT_EQ(bytes[653], 255);
  EXPECT_EQ(x.to(DType::f64).to(DType::i32).to_vector<std::int32_t>(), wide);
}

// Far out the lower tail of Φ is tiny, and must keep its digits.
TEST(LongRows, GeluKeepsItsTail) {
  std::vector<float> values;
  for (int i = -1500; i <= 1500; ++i) values.push_back(static_cast<float>(i) * 0.01F);
  const auto n = static_cast<std::int64_t>(values.size());
  Tensor x = Tensor::from(values, {n}).set_requires_grad();
  const Tensor y = gelu(x);
  sum(y).backward();
  const std::vector<float> found = y.to_vector<float>(), slope = x.grad().to_vector<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = static_cast<double>(values[i]);
    const double cdf = 0.5 * std::erfc(-v / std::sqrt(2.0));
    const double density = std::exp(-0.5 * v * v) / std::sqrt(2 * std::acos(-1.0));
    EXPECT_NEAR(found[i], v * cdf, 1e-6 * std::fabs(v * cdf) + 1e-37) << v;
    EXPECT_NEAR(slope[i], cdf + v * density, 4e-7 * (cdf + std::fabs(v) * density) + 1e-37) << v;
  }
}

// Groups longer than a run of their sums, whose planes end within a vector, and single pixels.
TEST(LongRows, GroupNormIsThatOfSingleElements) {
  ContextScope scope;
  scope->threads = 2;
  Generator generator(6);
  for (const Shape& shape : std::vector<Shape>{{2, 6, 31, 67}, {3, 6, 5, 1}, {4, 600}}) {
    SCOPED_TRACE(shape.to_string());
    constexpr std::int64_t kGroups = 3;
    const std::int64_t channels = shape[1];
    const std::int64_t pixels = shape.elements(2, shape.rank());
    const std::int64_t length = channels / kGroups * pixels;
    Tensor x = generator.normal(shape, 3, 2);
    Tensor weight = generator.uniform({channels}, 0.5F, 2);
    const Tensor bias = generator.normal({channels});
    const Tensor g = generator.normal(shape);
    x.set_requires_grad();
    weight.set_requires_grad();
    const Tensor y = group_norm(x, weight, bias, {.groups = kGroups, .epsilon = 0.5});
    y.backward(g);
    const float* at = x.data<float>();
    const float* slope = g.data<float>();
    std::vector<double> of_weight(static_cast<std::size_t>(channels));
    for (std::int64_t first = 0; first < x.elements(); first += length) {
      double mean = 0, variance = 0, plain = 0, along = 0;
      const auto channel = [&](std::int64_t i) { return (first + i) / pixels % channels; };
      for (std::int64_t i = 0; i < length; ++i) mean += at[first + i] / double(length);
      for (std::int64_t i = 0; i < length; ++i)
        variance += (at[first + i] - mean) * (at[first + i] - mean) / double(length);
      const double inverse = 1 / std::sqrt(variance + 0.5);
      for (std::int64_t i = 0; i < length; ++i) {
        const double own = (at[first + i] - mean) * inverse;
        const double wanted = weight.data<float>()[channel(i)] * slope[first + i];
        plain += wanted / double(length);
        along += wanted * own / double(length);
        of_weight[static_cast<std::size_t>(channel(i))] += slope[first + i] * own;
      }
      for (std::int64_t i = 0; i < length; ++i) {
        const double own = (at[first + i] - mean) * inverse;
        const double w = weight.data<float>()[channel(i)];
        ASSERT_NEAR(y.data<float>()[first + i], own * w + bias.data<float>()[channel(i)], 2e-5);
        ASSERT_NEAR(x.grad().data<float>()[first + i],
                    inverse * (w * slope[first + i] - plain - own * along), 2e-5);
      }
    }
    for (std::int64_t c = 0; c < channels; ++c)
      ASSERT_NEAR(weight.grad().data<float>()[c], of_weight[static_cast<std::size_t>(c)], 2e-4);
  }
}

}  // namespace
}  // namespace pare
