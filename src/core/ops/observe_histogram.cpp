// observe_histogram: passes a tensor on and counts its values in bins.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "core/histogram.h"
#include "core/multiversion.h"
#include "core/ops/observing.h"
#include "core/value_range.h"
#include "pare/core/ops/observe.h"

namespace pare {
namespace {

// Scales are at least 2^-23: finer bins would tell nothing apart.
constexpr int kFinest = -60;
// Bin numbers stay below 2^24 in magnitude.
constexpr int kIndexBits = 23;

constexpr StatePair kState[] = {{1, 1}, {2, 2}};

std::int64_t bin_of(float x, int exponent) {
  return static_cast<std::int64_t>(std::floor(std::ldexp(static_cast<double>(x), -exponent)));
}

constexpr std::int64_t kBlock = 2048;

PARE_INLINE void bins_of_body(const float* x, std::int64_t n, double per_bin, std::int32_t first,
                              std::int32_t* bins) {
  for (std::int64_t i = 0; i < n; ++i)
    bins[i] =
        static_cast<std::int32_t>(__builtin_floor(static_cast<double>(x[i]) * per_bin)) - first;
}
PARE_MULTIVERSION(void, bins_of,
                  (const float* x, std::int64_t n, double per_bin, std::int32_t first,
                   std::int32_t* bins),
                  (x, n, per_bin, first, bins))

void count_values(const float* x, std::int64_t n, const HistogramGrid& grid, std::int64_t* counts,
                  std::int64_t bins) {
  const double per_bin = std::ldexp(1.0, -grid.exponent);
  std::mutex mutex;
  parallel_for(0, n, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    // Neighbouring elements often share a bin: alternating between two counters keeps one
    // increment from waiting for the other.
    std::vector<std::int64_t> mine(static_cast<std::size_t>(2 * bins), 0);
    std::int64_t* even = mine.data();
    std::int64_t* odd = even + bins;
    std::int32_t where[kBlock];
    for (std::int64_t at = begin; at < end; at += kBlock) {
      const std::int64_t m = std::min(kBlock, end - at);
      bins_of(x + at, m, per_bin, static_cast<std::int32_t>(grid.first), where);
      std::int64_t i = 0;
      for (; i + 1 < m; i += 2) {
        ++even[where[i]];
        ++odd[where[i + 1]];
      }
      if (i < m) ++even[where[i]];
    }
    const std::lock_guard lock(mutex);
    for (std::int64_t b = 0; b < bins; ++b)
      counts[b] += mine[static_cast<std::size_t>(b)] + mine[static_cast<std::size_t>(bins + b)];
  });
}

void move_counts(const std::int64_t* old, const HistogramGrid& from, std::int64_t* now,
                 const HistogramGrid& to, std::int64_t bins) {
  const int shift = to.exponent - from.exponent;
  for (std::int64_t i = 0; i < bins; ++i) {
    if (old[i] == 0) continue;
    const std::int64_t at = ((from.first + i) >> std::min(shift, 62)) - to.first;
    // The counts come from files too.
    PARE_CHECK(at >= 0 && at < bins, corrupt_data, "observe_histogram",
               "expected counts within the range seen, got {} in bin {} of {}", old[i], i, bins);
    now[at] += old[i];
  }
}

void observe(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  const Tensor& x = inputs[0];
  const std::int64_t bins = inputs[1].elements();
  const ValueRange old = read_range(inputs[2]);
  PARE_CHECK(old.empty() || (std::isfinite(old.min) && std::isfinite(old.max)), corrupt_data,
             "observe_histogram", "expected a finite range, got {} to {}", old.min, old.max);
  ValueRange now = old;
  now.join(value_range(x, "observe_histogram"));
  auto* counts = outputs[1].mutable_data<std::int64_t>();
  std::fill_n(counts, bins, 0);
  write_range(outputs[2], now);
  if (now.empty()) return;
  const HistogramGrid grid = histogram_grid(now, bins);
  if (!old.empty())
    move_counts(inputs[1].data<std::int64_t>(), histogram_grid(old, bins), counts, grid, bins);
  count_values(x.data<float>(), x.elements(), grid, counts, bins);
}

}  // namespace

HistogramGrid histogram_grid(const ValueRange& range, std::int64_t bins) {
  const double largest = std::max(std::fabs(static_cast<double>(range.min)),
                                  std::fabs(static_cast<double>(range.max)));
  const int finest = largest == 0 ? kFinest : std::max(kFinest, std::ilogb(largest) - kIndexBits);
  const double span = static_cast<double>(range.max) - static_cast<double>(range.min);
  int exponent = finest;
  if (span > 0) exponent = std::max(finest, std::ilogb(span / static_cast<double>(bins)) - 1);
  while (bin_of(range.max, exponent) - bin_of(range.min, exponent) >= bins) ++exponent;
  return {exponent, bin_of(range.min, exponent)};
}

void add_counts(const Tensor& counts, const ValueRange& from, Tensor& sum, const ValueRange& to) {
  const std::int64_t bins = counts.elements();
  move_counts(counts.data<std::int64_t>(), histogram_grid(from, bins),
              sum.mutable_data<std::int64_t>(), histogram_grid(to, bins), bins);
}

constinit const OpDef kObserveHistogram = {
    .name = "observe_histogram",
    .min_inputs = 3,
    .max_inputs = 3,
    .state = kState,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "observe_histogram",
                     "expected f32, got {}", args.dtype(0));
          PARE_CHECK(
              args.dtype(1) == DType::i64 && args.shape(1).rank() == 1 && args.shape(1)[0] >= 2,
              shape_mismatch, "observe_histogram",
              "expected counts i64 [bins] of at least 2 bins as input 1, got {} {}", args.dtype(1),
              args.shape(1));
          check_range_input(args, 2);
          args.output(0, args.shape(0), DType::f32);
          if (!context().observing) return;
          args.output(1, args.shape(1), DType::i64);
          args.output(2, args.shape(2), DType::f32);
        },
    .forward =
        [](const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs, const Context&) {
          if (outputs[1].defined()) observe(inputs, outputs);
          pass_on(inputs[0], outputs[0]);
        },
    .backward = [](BackwardArgs& args) { args.set(0, args.grad_output(0)); },
    .defaults = [] { return Attributes::of(ObserveAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = tie_all_axes},
};

Tensor observe_histogram(const Tensor& x, const Tensor& counts, const Tensor& range,
                         const ObserveAttributes& attributes) {
  return apply({&kObserveHistogram, Attributes::of(attributes)},
               detail::Borrowed(x, counts, range));
}

}  // namespace pare
