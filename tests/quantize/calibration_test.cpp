// Searches for ranges against NumPy, ONNX Runtime and brute force; states that merge and resume.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/histogram.h"
#include "core/quantize_math.h"
#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/golden_calibration.h"
#include "quantize/nets.h"
#include "quantize/range_search.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::expect_error;
using test::graph_of;
using test::infer_with;
using test::sqnr;

constexpr std::int64_t kBins = 2048;

// As in make_golden_calibration.py.
std::vector<float> data_named(const std::string& name) {
  constexpr int kValues = 20000;
  std::vector<float> x(kValues);
  for (int i = 0; i < kValues; ++i) {
    const double u = (i + 0.5) / kValues;
    const double v = 2 * u - 1;
    double value = 0;
    if (name == "laplace")
      value = (u < 0.5 ? std::log(2 * u) : -std::log(2 - 2 * u)) * 0.7 + 0.2;
    else if (name == "exponential")
      value = u < 0.4 ? 0 : -std::log(1 - (u - 0.4) / 0.6);
    else
      value = 1.5 * v + 18 * std::pow(v, 41) - (v < -0.999 ? 2 : 0);
    x[static_cast<std::size_t>(i)] = static_cast<float>(value);
  }
  return x;
}

struct Counted {
  Tensor counts = Tensor::zeros({kBins}, DType::i64);
  Tensor range = empty_range();
  explicit Counted(const std::vector<float>& values) {
    observe_histogram(Tensor::from(values, {static_cast<std::int64_t>(values.size())}), counts,
                      range);
  }
  Histogram histogram() const { return histogram_of(counts, read_range(range)); }
};

TEST(Searches, PercentilesMatchNumPy) {
  for (const golden::Calibrated& row : golden::kNumPy) {
    const std::vector<float> x = data_named(row.data);
    const Counted counted(x);
    const Histogram h = counted.histogram();
    const ChosenRange range = percentile_range(h, row.percentile, row.symmetric);
    const auto near = static_cast<float>(2 * h.width);
    EXPECT_NEAR(range.max, std::min(row.max, h.max), near) << row.data << " " << row.percentile;
    // NumPy's magnitudes know nothing of the side that they are on.
    EXPECT_NEAR(range.min, std::max(row.min, h.min), near) << row.data << " " << row.percentile;
  }
}

TEST(Searches, PercentilesMatchOnnxRuntimeToOneValue) {
  for (const golden::Calibrated& row : golden::kOnnxRuntime) {
    if (row.method != std::string("percentile")) continue;
    std::vector<float> x = data_named(row.data);
    const Counted counted(x);
    const ChosenRange range = percentile_range(counted.histogram(), row.percentile, row.symmetric);
    if (row.symmetric)
      for (float& v : x) v = std::fabs(v);
    std::sort(x.begin(), x.end());
    // It compares shares that are rounded, and takes the inner edges of its bins, which are wider.
    const double outside = static_cast<double>(x.size()) * (100 - row.percentile) / 100;
    const auto k = static_cast<std::size_t>(std::lround(row.symmetric ? outside : outside / 2));
    const float slack = 0.03F;
    const auto from_top = [&](std::size_t i) { return x[x.size() - 1 - i]; };
    const float least = std::min(from_top(k + 1), counted.histogram().max) - slack;
    const float most = from_top(k - 1) + slack;
    EXPECT_GE(row.max, least) << row.data << " " << row.percentile;
    EXPECT_LE(row.max, most) << row.data << " " << row.percentile;
    EXPECT_GE(range.max, least) << row.data << " " << row.percentile;
    EXPECT_LE(range.max, most) << row.data << " " << row.percentile;
  }
}

// KL(P‖Q) of the bins [start, end) by its definition.
double divergence(const std::vector<double>& counts, std::size_t start, std::size_t end,
                  std::size_t levels) {
  std::vector<double> inside(counts.begin() + static_cast<std::ptrdiff_t>(start),
                             counts.begin() + static_cast<std::ptrdiff_t>(end));
  std::vector<double> p = inside, q(inside.size(), 0);
  for (std::size_t i = 0; i < start; ++i) p.front() += counts[i];
  for (std::size_t i = end; i < counts.size(); ++i) p.back() += counts[i];
  const std::size_t n = inside.size();
  for (std::size_t g = 0; g < levels; ++g) {
    double sum = 0, filled = 0;
    const std::size_t from = g * n / levels, to = (g + 1) * n / levels;
    for (std::size_t i = from; i < to; ++i) {
      sum += inside[i];
      filled += p[i] > 0 ? 1 : 0;
    }
    for (std::size_t i = from; i < to; ++i)
      if (p[i] > 0) q[i] = sum > 0 ? sum / filled : 1e-4;
  }
  double p_total = 0, q_total = 0, result = 0;
  for (std::size_t i = 0; i < n; ++i) {
    p_total += p[i];
    q_total += q[i];
  }
  for (std::size_t i = 0; i < n; ++i)
    if (p[i] > 0) result += p[i] / p_total * std::log(p[i] / p_total / (q[i] / q_total));
  return result;
}

TEST(Searches, EntropyIsTheLeastDivergence) {
  for (const char* name : {"laplace", "exponential", "mixture"})
    for (const bool symmetric : {false, true}) {
      const Counted counted(data_named(name));
      const Histogram h = counted.histogram();
      const Codes codes{
          .qmin = symmetric ? -64 : 0, .qmax = symmetric ? 63 : 127, .symmetric = symmetric};
      const ChosenRange chosen = entropy_range(h, codes);
      // 0 is an edge of the bins, and within what was seen.
      const std::size_t margin = kBins;
      std::vector<double> counts(margin, 0);
      for (const std::int64_t c : h.counts) counts.push_back(static_cast<double>(c));
      counts.resize(counts.size() + margin, 0);
      const auto zero = static_cast<std::size_t>(static_cast<std::int64_t>(margin) - h.first);
      counts[zero] = std::min(counts[zero], counts[zero + 1]);
      const auto below = static_cast<std::size_t>(std::ceil(-std::min(h.min, 0.0F) / h.width));
      const auto above = static_cast<std::size_t>(std::floor(h.max / h.width)) + 1;
      double least = std::numeric_limits<double>::infinity(), best = 0;
      for (std::size_t k = 1; k <= std::max(below, above); ++k) {
        const std::size_t b = symmetric ? k : std::min(k, below);
        const std::size_t a = symmetric ? k : std::min(k, above);
        if (a + b < 128) continue;
        const double now = divergence(counts, zero - b, zero + a, 128);
        if (now < least - 1e-12) {
          least = now;
          best = static_cast<double>(k) * h.width;
        }
      }
      EXPECT_NEAR(chosen.max, std::min(static_cast<float>(best), h.max), 1e-6) << name;
      EXPECT_NEAR(chosen.min, std::max(static_cast<float>(-best), h.min), 1e-6) << name;
    }
}

// Its smoothing is another, and it does not leave out the zeros of the exponential data.
TEST(Searches, EntropyIsNearOnnxRuntimes) {
  for (const golden::Calibrated& row : golden::kOnnxRuntime) {
    if (row.method != std::string("entropy") || row.data == std::string("exponential")) continue;
    const Counted counted(data_named(row.data));
    const ChosenRange range =
        entropy_range(counted.histogram(), {.qmin = -64, .qmax = 63, .symmetric = true});
    EXPECT_NEAR(range.max, row.max, 0.15F * row.max) << row.data;
    EXPECT_NEAR(range.min, row.min, -0.15F * row.min) << row.data;
  }
}

double square_error(const std::vector<float>& x, const ChosenRange& range, const Codes& codes) {
  const ScaleAndZeroPoint p = affine_parameters(range.min, range.max, codes);
  double sum = 0;
  for (const float v : x) {
    const double d = v - fake_quantized(v, p.scale, static_cast<float>(codes.qmin - p.zero_point),
                                        static_cast<float>(codes.qmax - p.zero_point));
    sum += d * d;
  }
  return sum;
}

TEST(Searches, MseIsAboutTheLeastErrorOfAllRanges) {
  for (const char* name : {"laplace", "exponential", "mixture"})
    for (const Codes& codes : {Codes{.qmin = 0, .qmax = 255}, Codes{.qmin = 0, .qmax = 15},
                               Codes{.qmin = -8, .qmax = 7, .symmetric = true}}) {
      const std::vector<float> x = data_named(name);
      const Counted counted(x);
      const Histogram h = counted.histogram();
      double least = std::numeric_limits<double>::infinity();
      for (int i = 0; i < 20; ++i)
        for (int j = 0; j < 20; ++j)
          least = std::min(
              least, square_error(x,
                                  {std::min(h.min, 0.0F) * (1 - 0.05F * static_cast<float>(i)),
                                   h.max * (1 - 0.05F * static_cast<float>(j))},
                                  codes));
      const double mine = square_error(x, mse_range(h, codes), codes);
      EXPECT_LE(mine, 1.03 * least) << name << " " << codes.qmax;
      EXPECT_LE(mine, square_error(x, {h.min, h.max}, codes) * 1.0001) << name;
    }
}

TEST(Searches, ConstantsAndOneSidedRangesAreKept) {
  for (const float value : {0.0F, 3.0F, -0.001F, 1e30F}) {
    const Counted counted(std::vector<float>(10, value));
    for (const ChosenRange& range :
         {percentile_range(counted.histogram(), 99, false), entropy_range(counted.histogram(), {}),
          mse_range(counted.histogram(), {})}) {
      EXPECT_EQ(range.min, value);
      EXPECT_EQ(range.max, value);
    }
  }
  // 0 lies outside of what was seen: the bins are those of the range that holds it.
  for (const float sign : {1.0F, -1.0F}) {
    std::vector<float> x;
    for (int i = 0; i < 1000; ++i) x.push_back(sign * (1000 + static_cast<float>(i) / 1000));
    const Counted counted(x);
    for (const ChosenRange& range :
         {percentile_range(counted.histogram(), 99.9, false),
          entropy_range(counted.histogram(), {}), mse_range(counted.histogram(), {})}) {
      EXPECT_GE(range.min, sign * 1000.5F - 0.5F);
      EXPECT_LE(range.max, sign * 1000.5F + 0.5F);
      EXPECT_LE(range.min, range.max);
    }
  }
}

TEST(MeanMinMax, IsTheExactMeanInAnyOrder) {
  Generator generator(4);
  Tensor x = generator.normal({60, 5, 7}, 0, 3);
  float* values = x.mutable_data<float>();
  values[17] = 3e30F;  // hides the others in a sum that rounds
  values[35 * 12 + 1] = -3e30F;
  values[35 * 20 + 2] = 1e-42F;
  std::vector<long double> low, high;
  for (std::int64_t i = 0; i < 60; ++i) {
    low.push_back(*std::min_element(values + 35 * i, values + 35 * (i + 1)));
    high.push_back(*std::max_element(values + 35 * i, values + 35 * (i + 1)));
  }
  // The large ones apart, the rest sums up exactly enough in 64 bits of mantissa.
  const auto mean = [](std::vector<long double> v) {
    std::sort(v.begin(), v.end(), [](auto a, auto b) { return std::fabs(a) < std::fabs(b); });
    long double sum = 0;
    for (const long double t : v) sum += t;
    return static_cast<float>(sum / static_cast<long double>(v.size()));
  };
  std::vector<float> first;
  for (const int threads : {1, 3})
    for (const std::int64_t per_batch : {60, 17, 1}) {
      ContextScope scope;
      scope->threads = threads;
      const Tensor sums = empty_range_sums(), range = empty_range();
      for (std::int64_t at = 0; at < 60; at += per_batch)
        observe_mean_min_max(slice(x, 0, at, std::min<std::int64_t>(at + per_batch, 60)), sums,
                             range);
      const ValueRange found = mean_range(sums);
      EXPECT_NEAR(found.min, mean(low), std::fabs(mean(low)) * 1e-6F);
      EXPECT_NEAR(found.max, mean(high), std::fabs(mean(high)) * 1e-6F);
      if (first.empty()) first = {found.min, found.max};
      EXPECT_EQ((std::vector<float>{found.min, found.max}), first) << per_batch;
      EXPECT_EQ(range.to_vector<float>(), (std::vector<float>{-3e30F, 3e30F}));
    }
  // Backwards, and with what cancels: the sum is 0 to the last bit.
  const Tensor sums = empty_range_sums(), range = empty_range();
  for (const float v : {1e38F, 1.5F, -1e38F, 1e-44F, -1.5F, -1e-44F})
    observe_mean_min_max(Tensor::full({1, 2}, v), sums, range);
  EXPECT_EQ(mean_range(sums).min, 0.0F);
  EXPECT_EQ(mean_range(sums).max, 0.0F);
  EXPECT_EQ(sums.to_vector<std::int64_t>()[0], 6);
  observe_mean_min_max(Tensor::zeros({0, 4}), sums, range);
  observe_mean_min_max(Tensor::scalar(-6), sums, range);
  EXPECT_FLOAT_EQ(mean_range(sums).min, -6.0F / 7);
}

TEST(MeanMinMax, RefusesWhatIsNotFiniteAndOtherStates) {
  const Tensor sums = empty_range_sums(), range = empty_range();
  EXPECT_ERROR(observe_mean_min_max(Tensor::from({1, std::numeric_limits<float>::infinity()}, {2}),
                                    sums, range),
               invalid_argument, "observe_mean_min_max",
               "expected finite values, got inf at element 1");
  EXPECT_TRUE(mean_range(sums).empty());
  EXPECT_ERROR(observe_mean_min_max(Tensor::zeros({2}), Tensor::zeros({3}, DType::i64), range),
               shape_mismatch, "observe_mean_min_max", "expected sums i64 [23] as input 1");
  EXPECT_ERROR(observe_mean_min_max(Tensor::zeros({2}, DType::f64), sums, range), dtype_mismatch,
               "expected f32, got f64");
}

const Shape kShape{8, 3, 8, 8};

Graph branchy() {
  Branchy net;
  return graph_of(net, Tensor::zeros(kShape));
}

QConfig portable_with(const Observer& observer) {
  QConfig config = QConfig::portable();
  config.observer = observer;
  return config;
}

Tensor pictures(std::int64_t count) { return Generator(21).normal({count, 3, 8, 8}, 0.1F, 1); }

void calibrate(Graph& prepared, const Tensor& x, std::int64_t from, std::int64_t to,
               std::int64_t per_batch) {
  const NoGrad no_grad;
  for (std::int64_t at = from; at < to; at += per_batch)
    prepared(slice(x, 0, at, std::min(at + per_batch, to)));
}

// As PyTorch's users write one: three standard deviations around the mean.
struct ThreeSigma : RangeSearch {
  std::string name() const override { return "three_sigma"; }
  ChosenRange choose(const Histogram& seen, const Codes&) const override {
    double count = 0, sum = 0, squares = 0;
    for (std::size_t i = 0; i < seen.counts.size(); ++i) {
      const auto c = static_cast<double>(seen.counts[i]);
      const double x =
          (static_cast<double>(seen.first) + static_cast<double>(i) + 0.5) * seen.width;
      count += c;
      sum += c * x;
      squares += c * x * x;
    }
    const double mean = sum / count;
    const double sigma = std::sqrt(std::max(squares / count - mean * mean, 0.0));
    return {std::clamp(static_cast<float>(mean - 3 * sigma), seen.min, seen.max),
            std::clamp(static_cast<float>(mean + 3 * sigma), seen.min, seen.max)};
  }
};
const ConvertOptions kMine{.searches = {std::make_shared<ThreeSigma>()}};

std::vector<Observer> all_observers() {
  return {Observer::min_max,      Observer::histogram,
          Observer::percentile,   Percentile{.percentile = 99.9},
          Observer::entropy,      Observer::mse,
          Observer::mean_min_max, std::make_shared<ThreeSigma>()};
}

std::vector<float> scales_of(const Graph& prepared) {
  std::vector<float> scales;
  for (const ActivationRange& a : convert(prepared, kMine).report.activations)
    scales.insert(scales.end(), {a.scale, static_cast<float>(a.zero_point)});
  return scales;
}

// Convolutions may sum in another order for another batch or number of threads: the inputs of the
// observers are the same here because the images of a batch are computed alike.
TEST(Calibration, IsCloseWithEveryObserver) {
  Graph graph = branchy();
  const Tensor x = pictures(24);
  const Tensor expected = infer_with(graph, x);
  for (const Observer& observer : all_observers()) {
    Graph prepared = prepare(graph, portable_with(observer));
    calibrate(prepared, x, 0, 24, 8);
    Graph int8 = convert(prepared, kMine).graph;
    EXPECT_GT(sqnr(expected, infer_with(int8, x)), 20) << observer.to_string();
    for (const auto& [key, text] : int8.metadata()) EXPECT_EQ(key, "quantize.isa");
  }
}

TEST(Calibration, MergedStatesAreThoseOfOneRun) {
  const Tensor x = pictures(24);
  for (const Observer& observer : all_observers()) {
    const Graph prepared = prepare(branchy(), portable_with(observer));
    Graph whole = prepared.copy(), first = prepared.copy(), second = prepared.copy();
    calibrate(whole, x, 0, 24, 8);
    calibrate(second, x, 0, 16, 8);
    calibrate(first, x, 16, 24, 8);
    merge_observers(first, second);
    EXPECT_EQ(scales_of(first), scales_of(whole)) << observer.to_string();
    // An empty one adds nothing, to an empty one it is the other.
    Graph empty = prepared.copy();
    merge_observers(first, prepared);
    merge_observers(empty, first);
    EXPECT_EQ(scales_of(empty), scales_of(whole)) << observer.to_string();
  }
}

TEST(Calibration, IsResumedFromAFile) {
  const Tensor x = pictures(24);
  const test::TemporaryFolder folder;
  const std::string path = folder.path("prepared.pare");
  for (const Observer& observer : all_observers()) {
    Graph whole = prepare(branchy(), portable_with(observer));
    Graph half = whole.copy();
    calibrate(whole, x, 0, 24, 8);
    calibrate(half, x, 0, 8, 8);
    io::save_graph(half, path);
    Graph resumed = io::load_graph(path);
    calibrate(resumed, x, 8, 24, 8);
    EXPECT_EQ(scales_of(resumed), scales_of(whole)) << observer.to_string();
  }
}

TEST(Calibration, MergingRefusesOrderAndOtherGraphs) {
  Graph average = prepare(branchy(), portable_with(Observer::moving_average));
  EXPECT_ERROR(merge_observers(average, average.copy()), unsupported, "merge_observers",
               "moving average", "_observer'");
  Graph histogram = prepare(branchy(), portable_with(Observer::histogram));
  Graph limits = prepare(branchy(), portable_with(Observer::min_max));
  calibrate(limits, pictures(8), 0, 8, 8);
  EXPECT_ERROR(merge_observers(histogram, limits), invalid_argument, "the same observers");
  EXPECT_TRUE(observed_ranges(histogram).empty());
  Graph plain = branchy();
  EXPECT_ERROR(merge_observers(plain, limits), invalid_argument, "without observers");
  EXPECT_ERROR(merge_observers(limits, plain), invalid_argument, "in one only");
}

TEST(Calibration, AUsersSearchIsUsedAndAskedFor) {
  Graph prepared = prepare(branchy(), portable_with(std::make_shared<ThreeSigma>()));
  calibrate(prepared, pictures(8), 0, 8, 8);
  EXPECT_ERROR(convert(prepared), invalid_argument, "range search 'three_sigma'", "convert");
  EXPECT_ERROR(observed_ranges(prepared), invalid_argument, "'three_sigma'");
  for (const ActivationRange& a : observed_ranges(prepared, kMine.searches))
    if (a.seen_min < 0) {
      EXPECT_LT(a.max, a.seen_max) << a.value;
      EXPECT_GT(a.min, a.seen_min) << a.value;
    }
  struct Endless : RangeSearch {
    std::string name() const override { return "three_sigma"; }
    ChosenRange choose(const Histogram&, const Codes&) const override {
      return {0, std::numeric_limits<float>::infinity()};
    }
  };
  EXPECT_ERROR(convert(prepared, {.searches = {std::make_shared<Endless>()}}), invalid_argument,
               "three_sigma", "expected to choose a finite range");
  struct Named : ThreeSigma {
    std::string name() const override { return "entropy"; }
  };
  EXPECT_ERROR(prepare(branchy(), portable_with(std::make_shared<Named>())), invalid_argument,
               "prepare", "a word of its own", "'entropy'");
  EXPECT_ERROR(prepare(branchy(), portable_with(Observer::custom)), invalid_argument,
               "expected a range search");
}

TEST(Calibration, SharedRangesAreThoseOfAllTheirActivations) {
  const Tensor x = pictures(16);
  for (const Observer& observer : all_observers()) {
    Graph prepared = prepare(branchy(), portable_with(observer));
    calibrate(prepared, x, 0, 16, 8);
    std::vector<float> shared;
    for (const ActivationRange& a : convert(prepared, kMine).report.activations)
      if (a.value.starts_with("relu_2") || a.value.starts_with("relu6")) shared.push_back(a.scale);
    ASSERT_EQ(shared.size(), 2U);
    EXPECT_EQ(shared[0], shared[1]) << observer.to_string();
  }
}

TEST(Calibration, NeedsSomethingToHaveBeenSeen) {
  for (const Observer& observer : all_observers()) {
    Graph prepared = prepare(branchy(), portable_with(observer));
    expect_error(ErrorCode::invalid_state, {"convert", "calibrated observers", "'"},
                 [&] { convert(prepared, kMine); });
    const NoGrad no_grad;
    prepared(Tensor::zeros({0, 3, 8, 8}));  // nothing
    expect_error(ErrorCode::invalid_state, {"convert", "calibrated observers"},
                 [&] { convert(prepared, kMine); });
    prepared(Tensor::zeros({1, 3, 8, 8}));  // a constant
    const Converted converted = convert(prepared, kMine);
    for (const ActivationRange& a : converted.report.activations) {
      EXPECT_TRUE(std::isfinite(a.scale)) << a.value;
      EXPECT_GT(a.scale, 0) << a.value;
    }
  }
}

}  // namespace
}  // namespace pare::quantize
