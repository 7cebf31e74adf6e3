// Observers: ranges and scales against PyTorch's, and independence from batches and threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "pare/pare.h"
#include "quantize/golden_observers.h"
#include "quantize/range_search.h"

namespace pare {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kBins = 2048;

Tensors batches() {
  Tensors result;
  for (const auto& b : golden::kBatches)
    result.push_back(Tensor::from(std::vector<float>(std::begin(b), std::end(b)), {200}));
  return result;
}

// As in make_golden_observers.py.
Tensor tails() {
  std::vector<float> values(20010);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double u = static_cast<double>(i % 2001) / 1000 - 1;
    values[i] = static_cast<float>(50 * u * std::pow(u * u, 4) + 0.3);
  }
  return Tensor::from(values, {20010});
}

struct HistogramState {
  Tensor counts = Tensor::zeros({kBins}, DType::i64);
  Tensor range = empty_range();
};

void expect_row(const golden::ObserverRow& row, const ValueRange& range, float tolerance) {
  EXPECT_NEAR(range.min, row.min, tolerance) << row.name;
  EXPECT_NEAR(range.max, row.max, tolerance) << row.name;
  const ScaleAndZeroPoint p = affine_parameters(range.min, range.max, 0, 255, false);
  EXPECT_NEAR(p.scale, row.scale, row.scale * 1e-6F + tolerance / 255) << row.name;
  EXPECT_EQ(p.zero_point, row.zero_point) << row.name;
}

void expect_rows(const golden::ObserverRow (&rows)[3], const Tensors& batches) {
  const Tensor all = empty_range();
  const Tensor average = empty_range();
  const HistogramState histogram;
  for (const Tensor& x : batches) {
    observe_min_max(x, all);
    observe_min_max(x, average, {.averaging = 0.01});
    observe_histogram(x, histogram.counts, histogram.range);
  }
  expect_row(rows[0], read_range(all), 0);
  expect_row(rows[1], read_range(average), 1e-6F);
  // PyTorch's bins are not ours: the chosen ends may differ by a bin of either.
  const ValueRange seen = read_range(histogram.range);
  const float bin = 2 * (seen.max - seen.min) / static_cast<float>(kBins);
  const ChosenRange chosen =
      quantize::least_squares_range(quantize::histogram_of(histogram.counts, seen), 256);
  expect_row(rows[2], {chosen.min, chosen.max}, 2 * bin);
}

TEST(Observers, MatchPyTorch) { expect_rows(golden::kPlain, batches()); }
TEST(Observers, MatchPyTorchOnThinTails) { expect_rows(golden::kTails, {tails()}); }
TEST(Observers, MatchPyTorchAfterRelu) {
  Tensors positive;
  for (const Tensor& x : batches()) positive.push_back(relu(x));
  expect_rows(golden::kRelu, positive);
}

TEST(Observers, ScalesOfWeightsMatchPyTorch) {
  const Tensor w = Tensor::from(
      std::vector<float>(std::begin(golden::kWeight), std::end(golden::kWeight)), {6, 20});
  const std::vector<float> scales = symmetric_scale(w).to_vector<float>();
  for (std::size_t c = 0; c < 6; ++c) EXPECT_FLOAT_EQ(scales[c], golden::kWeightScales[c]) << c;
  const Tensor turned = transpose(w, {1, 0});
  EXPECT_EQ(symmetric_scale(turned, {.axis = 1}).to_vector<float>(), scales);
  EXPECT_FLOAT_EQ(static_cast<float>(symmetric_scale(w, {.axis = -1}).item()),
                  *std::max_element(scales.begin(), scales.end()));
}

Tensor random_values(std::int64_t n) {
  Generator generator(3);
  Tensor x = generator.normal({n}, 0.3F, 2);
  float* values = x.mutable_data<float>();
  // Magnitudes from subnormal to huge come late, so that the grid must grow on the way.
  values[n / 2] = 1e-40F;
  values[n / 2 + 1] = -3e-39F;
  values[n / 3 * 2] = 700;
  values[n - 5] = -3e20F;
  return x;
}

HistogramState histogram_of(const Tensor& x, std::int64_t per_batch, int threads) {
  ContextScope scope;
  scope->threads = threads;
  HistogramState state;
  for (std::int64_t at = 0; at < x.elements(); at += per_batch)
    observe_histogram(slice(x, 0, at, std::min(at + per_batch, x.elements())), state.counts,
                      state.range);
  return state;
}

TEST(Observers, HistogramDoesNotDependOnBatchesOrThreads) {
  constexpr std::int64_t kValues = 300000;
  const Tensor x = random_values(kValues);
  for (const std::int64_t n : {kValues, kValues - 6, kValues / 2}) {
    const Tensor part = slice(x, 0, 0, n);
    const HistogramState whole = histogram_of(part, n, 1);
    const auto counts = whole.counts.to_vector<std::int64_t>();
    std::int64_t total = 0;
    for (const std::int64_t c : counts) total += c;
    EXPECT_EQ(total, n);
    for (const std::int64_t per_batch : {n, n / 3, std::int64_t{977}})
      for (const int threads : {1, 2, 4}) {
        const HistogramState split = histogram_of(part, per_batch, threads);
        EXPECT_EQ(split.counts.to_vector<std::int64_t>(), counts) << n << " by " << per_batch;
        EXPECT_EQ(split.range.to_vector<float>(), whole.range.to_vector<float>());
      }
  }
}

TEST(Observers, HistogramUsesMostOfItsBins) {
  Generator generator(1);
  HistogramState state;
  observe_histogram(generator.uniform({100000}, 0, 3), state.counts, state.range);
  const auto counts = state.counts.to_vector<std::int64_t>();
  EXPECT_GE(std::count_if(counts.begin(), counts.end(), [](std::int64_t c) { return c > 0; }),
            kBins / 2);
}

TEST(Observers, AConstantIsRepresented) {
  for (const float value : {0.0F, 3.0F, -0.001F, 1e30F}) {
    HistogramState state;
    observe_histogram(Tensor::full({10}, value), state.counts, state.range);
    const ChosenRange range = quantize::least_squares_range(
        quantize::histogram_of(state.counts, read_range(state.range)), 256);
    EXPECT_EQ(range.min, value);
    EXPECT_EQ(range.max, value);
  }
}

TEST(Observers, SeeNothingWhereTheContextSaysSo) {
  ContextScope scope;
  scope->observing = false;
  const Tensor range = empty_range();
  const Tensor x = Tensor::from({1, 2, 3}, {3});
  EXPECT_EQ(observe_min_max(x, range).to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(observe_fake_quantize(x, range, {}).to_vector<float>(), x.to_vector<float>());
  EXPECT_TRUE(read_range(range).empty());
}

template <class Observe> void expect_refusal(Observe&& observe) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    const Tensor x = Tensor::from({1, bad, 3}, {3});
    try {
      observe(x);
      ADD_FAILURE() << bad << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::invalid_argument);
      EXPECT_THAT(e.what(), HasSubstr("expected finite values"));
      EXPECT_THAT(e.what(), HasSubstr("element 1"));
    }
  }
}

TEST(Observers, RefuseWhatIsNotFinite) {
  const Tensor range = empty_range();
  const HistogramState state;
  expect_refusal([&](const Tensor& x) { observe_min_max(x, range); });
  expect_refusal([&](const Tensor& x) { observe_histogram(x, state.counts, state.range); });
  expect_refusal([&](const Tensor& x) { observe_fake_quantize(x, range, {}); });
  EXPECT_TRUE(read_range(range).empty());
  EXPECT_TRUE(read_range(state.range).empty());
}

TEST(ScaleRule, HoldsZeroAndTheCodesOfBothEnds) {
  Generator generator(5);
  const std::vector<float> ends = generator.normal({400}, 0, 10).to_vector<float>();
  for (std::size_t i = 0; i + 1 < ends.size(); i += 2) {
    const double low = std::min(ends[i], ends[i + 1]), high = std::max(ends[i], ends[i + 1]);
    for (const bool even : {false, true}) {
      const ScaleAndZeroPoint p = affine_parameters(low, high, 0, 255, even);
      EXPECT_GE(p.zero_point, 0);
      EXPECT_LE(p.zero_point, 255);
      EXPECT_EQ(even ? p.zero_point % 2 : 0, 0);
      const double slack = even ? 1.01 : 0.51;
      EXPECT_GE(std::min(low, 0.0) / p.scale + p.zero_point, -slack);
      EXPECT_LE(std::max(high, 0.0) / p.scale + p.zero_point, 255 + slack);
    }
  }
  EXPECT_EQ(affine_parameters(0.5, 2, 0, 255, true).zero_point, 0);
  EXPECT_EQ(affine_parameters(-2, -1, 0, 255, true).zero_point, 254);
  EXPECT_EQ(affine_parameters(0, 0, 0, 255, true).scale, std::numeric_limits<float>::epsilon());
  EXPECT_THROW(affine_parameters(0, std::numeric_limits<double>::infinity(), 0, 255, true), Error);
  EXPECT_THROW(affine_parameters(1, 0, 0, 255, true), Error);
}

TEST(ObserveFakeQuantize, IsFakeQuantizeByTheRangeItFound) {
  Generator generator(11);
  const Tensor range = empty_range();
  for (int step = 0; step < 5; ++step) {
    Tensor x = generator.normal({4, 8, 6, 6}, 0.2F, 1);
    if (step % 2 == 1) x = x.to(MemoryFormat::channels_last);
    x.set_requires_grad();
    const Tensor y = observe_fake_quantize(x, range, {}, {.averaging = 0.01});
    Tensor same = x.clone();
    same.set_requires_grad();
    const ValueRange now = read_range(range);
    const ScaleAndZeroPoint p = affine_parameters(now.min, now.max, 0, 255, true);
    const Tensor expected =
        fake_quantize(same, Tensor::scalar(p.scale), Tensor::scalar(p.zero_point, DType::i32),
                      {.qmin = 0, .qmax = 255, .axis = -1});
    EXPECT_EQ(y.to_vector<float>(), expected.to_vector<float>());
    const Tensor gradient = generator.normal(x.shape());
    y.backward(gradient);
    expected.backward(gradient);
    EXPECT_EQ(x.grad().to_vector<float>(), same.grad().to_vector<float>()) << step;
  }
}

TEST(ObserveFakeQuantize, TakesInARelu) {
  Generator generator(12);
  const Tensor mine = empty_range(), theirs = empty_range();
  const Tensor other = Tensor::from({-2, 3}, {2});
  for (int step = 0; step < 6; ++step) {
    const Tensors others = step < 4 ? Tensors{} : Tensors{other};
    ContextScope scope;
    scope->observing = step != 0;  // the first goes without a range
    Tensor x = generator.normal({3, 5, 4, 4});
    x.mutable_data<float>()[3] = 0;
    Tensor same = x.clone();
    x.set_requires_grad();
    same.set_requires_grad();
    const Tensor y = observe_fake_quantize(x, mine, others, {.averaging = 0.01, .relu = true});
    const Tensor expected = observe_fake_quantize(relu(same), theirs, others, {.averaging = 0.01});
    EXPECT_EQ(y.to_vector<float>(), expected.to_vector<float>());
    EXPECT_EQ(mine.to_vector<float>(), theirs.to_vector<float>());
    const Tensor gradient = generator.normal(x.shape());
    y.backward(gradient);
    expected.backward(gradient);
    EXPECT_EQ(x.grad().to_vector<float>(), same.grad().to_vector<float>()) << step;
  }
}

TEST(ObserveFakeQuantize, JoinsTheRangesOfOthers) {
  const Tensor mine = empty_range();
  const Tensor other = Tensor::from({-1, 8}, {2});
  const Tensor x = Tensor::from({0, 1, 2}, {3});
  const Tensor y = observe_fake_quantize(x, mine, {other});
  const ScaleAndZeroPoint p = affine_parameters(-1, 8, 0, 255, true);
  const auto values = y.to_vector<float>();
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_FLOAT_EQ(values[i], p.scale * std::nearbyint(static_cast<float>(i) / p.scale));
  EXPECT_EQ(mine.to_vector<float>(), (std::vector<float>{0, 2}));
  EXPECT_EQ(other.to_vector<float>(), (std::vector<float>{-1, 8}));
}

}  // namespace
}  // namespace pare
