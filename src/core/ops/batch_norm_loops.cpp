// The loops of batch normalization over memory in either order.
#include "core/ops/batch_norm_loops.h"

#include <algorithm>

#include "core/multiversion.h"

namespace pare {
namespace {

// Values per channel that are summed in single precision before they join a total in double, and
// bytes that stay in the first-level cache between the two looks that a run takes.
constexpr std::int64_t kRun = 256;
constexpr std::int64_t kRunFloats = 4096;
// Channels-last rows are repeated to at least this length: one contiguous loop for any channel
// count, whose sums wait on nothing.
constexpr std::int64_t kStripe = 128;
constexpr std::int64_t kGrain = 32768;  // elements for one thread

/// Channels that take turns in memory: all of them in a channels-last row, one in a plane.
std::int64_t period_of(const NormLayout& l) { return l.channels_last ? l.channels : 1; }

/// Floats in a stripe: whole rows, or lanes of a plane.
std::int64_t stripe_of(const NormLayout& l) {
  if (!l.channels_last) return std::clamp<std::int64_t>(l.pixels, 1, kStripe);
  return (kStripe + l.channels - 1) / l.channels * l.channels;
}

/// Per-channel values repeated to a stripe.
class Stripe {
 public:
  Stripe(const NormLayout& l, const float* values)
      : values_(values), fixed_(l.channels_last), lanes_(static_cast<std::size_t>(stripe_of(l))) {
    const auto period = static_cast<std::size_t>(period_of(l));
    for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i] = values[i % period];
  }
  /// For a run that begins with channel `first`.
  const float* from(std::int64_t first) {
    if (!fixed_ && current_ != first) std::fill(lanes_.begin(), lanes_.end(), values_[first]);
    current_ = first;
    return lanes_.data();
  }

 private:
  const float* values_;
  bool fixed_;
  std::int64_t current_ = 0;
  std::vector<float> lanes_;
};

/// Memory that is looked at together: `pieces` stretches of `floats`, `step` apart, each of whole
/// stripes but for its end. Channels-last rows are one stretch; of row-major tensors, the planes of
/// one channel.
struct Run {
  std::int64_t begin, pieces, step, floats;
  std::int64_t stripe;
};

/// Calls one(place in memory, place in the stripe) for every element of the run.
template <class One> PARE_INLINE void each_element(const Run& run, const One& one) {
  const std::int64_t stripe = run.stripe;
  for (std::int64_t piece = 0; piece < run.pieces; ++piece) {
    std::int64_t p = run.begin + piece * run.step;
    const std::int64_t end = p + run.floats;
    for (; p + stripe <= end; p += stripe)
      for (std::int64_t i = 0; i < stripe; ++i) one(p + i, i);
    for (std::int64_t i = 0; i < end - p; ++i) one(p + i, i);
  }
}

PARE_INLINE void add_values_body(Run run, const float* x, float* sums) {
  each_element(run, [=](std::int64_t at, std::int64_t i) PARE_INLINE_LAMBDA { sums[i] += x[at]; });
}
PARE_MULTIVERSION(void, add_values, (Run run, const float* x, float* __restrict sums),
                  (run, x, sums))

PARE_INLINE void add_squares_body(Run run, const float* x, const float* mean, float* sums) {
  each_element(run, [=](std::int64_t at, std::int64_t i) PARE_INLINE_LAMBDA {
    const float d = x[at] - mean[i];
    sums[i] += d * d;
  });
}
PARE_MULTIVERSION(void, add_squares,
                  (Run run, const float* x, const float* mean, float* __restrict sums),
                  (run, x, mean, sums))

PARE_INLINE void add_gradients_body(Run run, const float* g, const float* x, const float* mean,
                                    float* plain, float* deviation) {
  each_element(run, [=](std::int64_t at, std::int64_t i) PARE_INLINE_LAMBDA {
    plain[i] += g[at];
    deviation[i] += g[at] * (x[at] - mean[i]);
  });
}
PARE_MULTIVERSION(void, add_gradients,
                  (Run run, const float* g, const float* x, const float* mean,
                   float* __restrict plain, float* __restrict deviation),
                  (run, g, x, mean, plain, deviation))

PARE_INLINE void scale_shift_body(Run run, const float* x, const float* scale, const float* shift,
                                  float* y) {
  each_element(run, [=](std::int64_t at, std::int64_t i)
                        PARE_INLINE_LAMBDA { y[at] = x[at] * scale[i] + shift[i]; });
}
PARE_MULTIVERSION(void, scale_shift,
                  (Run run, const float* x, const float* scale, const float* shift,
                   float* __restrict y),
                  (run, x, scale, shift, y))

struct GradientFactors {
  const float *mean, *plain, *slope, *scale;
};
PARE_INLINE void input_gradient_body(Run run, const float* g, const float* x, GradientFactors f,
                                     float* gx) {
  each_element(run, [=](std::int64_t at, std::int64_t i) PARE_INLINE_LAMBDA {
    gx[at] = (g[at] - f.plain[i] - (x[at] - f.mean[i]) * f.slope[i]) * f.scale[i];
  });
}
PARE_MULTIVERSION(void, input_gradient,
                  (Run run, const float* g, const float* x, GradientFactors f,
                   float* __restrict gx),
                  (run, g, x, f, gx))

/// Calls visit(run, first channel) with the runs of `part` of `parts`: short enough to sum in
/// single precision, and to stay in the cache.
template <class Visit>
void each_run(const NormLayout& l, std::int64_t part, std::int64_t parts, const Visit& visit) {
  if (l.count() == 0) return;
  const std::int64_t stripe = stripe_of(l);
  const std::int64_t most = std::clamp<std::int64_t>(kRunFloats / stripe, 1, kRun) * stripe;
  if (l.channels_last) {
    const std::int64_t rows = l.count();
    const std::int64_t end = rows * (part + 1) / parts * l.channels;
    for (std::int64_t p = rows * part / parts * l.channels; p < end; p += most)
      visit(Run{p, 1, 0, std::min(most, end - p), stripe}, 0);
    return;
  }
  const std::int64_t step = l.channels * l.pixels;
  const std::int64_t planes = std::max<std::int64_t>(1, most / l.pixels);
  for (std::int64_t c = l.channels * part / parts; c < l.channels * (part + 1) / parts; ++c)
    for (std::int64_t n = 0; n < l.batch; n += planes)
      for (std::int64_t p = 0; p < l.pixels; p += most)
        visit(Run{n * step + c * l.pixels + p, std::min(planes, l.batch - n), step,
                  std::min(most, l.pixels - p), stripe},
              c);
}

std::int64_t parts_of(const NormLayout& l) {
  const std::int64_t most = l.channels_last ? l.count() : l.channels;
  const std::int64_t wanted = l.batch * l.channels * l.pixels / kGrain;
  return std::clamp<std::int64_t>(std::min<std::int64_t>(wanted, max_threads()), 1,
                                  std::max<std::int64_t>(1, most));
}

/// Adds up the lanes of a stripe that stand for one channel.
void fold(const std::vector<float>& sums, std::int64_t period, double* totals) {
  for (std::size_t i = 0; i < sums.size(); i += static_cast<std::size_t>(period))
    for (std::int64_t c = 0; c < period; ++c)
      totals[c] += static_cast<double>(sums[i + static_cast<std::size_t>(c)]);
}

/// Mean and squares of `count` values joined with those of `other_count` more.
void join(double& mean, double& squares, double count, double other_mean, double other_squares,
          double other_count) {
  const double total = count + other_count;
  const double delta = other_mean - mean;
  mean += delta * other_count / total;
  squares += other_squares + delta * delta * count * other_count / total;
}

}  // namespace

Moments channel_moments(const NormLayout& l, const float* x) {
  const std::int64_t parts = parts_of(l);
  const auto channels = static_cast<std::size_t>(l.channels);
  struct Part {
    std::vector<double> mean, squares, count;
  };
  std::vector<Part> done(static_cast<std::size_t>(parts));
  parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t period = period_of(l);
    std::vector<float> sums(static_cast<std::size_t>(stripe_of(l)));
    std::vector<float> means(sums.size());
    std::vector<double> run_mean(static_cast<std::size_t>(period));
    std::vector<double> run_squares(run_mean.size());
    for (std::int64_t part = begin; part < end; ++part) {
      Part& mine = done[static_cast<std::size_t>(part)];
      mine = {std::vector<double>(channels), std::vector<double>(channels),
              std::vector<double>(channels)};
      each_run(l, part, parts, [&](const Run& run, std::int64_t first) {
        const auto count = static_cast<double>(run.pieces * run.floats / period);
        std::fill(sums.begin(), sums.end(), 0.0F);
        std::fill(run_mean.begin(), run_mean.end(), 0.0);
        add_values(run, x, sums.data());
        fold(sums, period, run_mean.data());
        for (double& mean : run_mean) mean /= count;
        for (std::size_t i = 0; i < means.size(); i += run_mean.size())
          std::copy(run_mean.begin(), run_mean.end(),
                    means.begin() + static_cast<std::ptrdiff_t>(i));
        std::fill(sums.begin(), sums.end(), 0.0F);
        std::fill(run_squares.begin(), run_squares.end(), 0.0);
        add_squares(run, x, means.data(), sums.data());
        fold(sums, period, run_squares.data());
        for (std::size_t i = 0; i < run_mean.size(); ++i) {
          const std::size_t c = static_cast<std::size_t>(first) + i;
          join(mine.mean[c], mine.squares[c], mine.count[c], run_mean[i], run_squares[i], count);
          mine.count[c] += count;
        }
      });
    }
  });
  Part& all = done[0];
  for (std::size_t part = 1; part < done.size(); ++part)
    for (std::size_t c = 0; c < channels; ++c) {
      const Part& other = done[part];
      if (other.count[c] == 0) continue;
      join(all.mean[c], all.squares[c], all.count[c], other.mean[c], other.squares[c],
           other.count[c]);
      all.count[c] += other.count[c];
    }
  return {std::move(all.mean), std::move(all.squares)};
}

GradientSums channel_gradient_sums(const NormLayout& l, const float* g, const float* x,
                                   const float* mean) {
  const std::int64_t parts = parts_of(l);
  const auto channels = static_cast<std::size_t>(l.channels);
  std::vector<GradientSums> done(static_cast<std::size_t>(parts));
  parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t period = period_of(l);
    Stripe means(l, mean);
    std::vector<float> plain(static_cast<std::size_t>(stripe_of(l)));
    std::vector<float> deviation(plain.size());
    for (std::int64_t part = begin; part < end; ++part) {
      GradientSums& mine = done[static_cast<std::size_t>(part)];
      mine = {std::vector<double>(channels), std::vector<double>(channels)};
      each_run(l, part, parts, [&](const Run& run, std::int64_t first) {
        std::fill(plain.begin(), plain.end(), 0.0F);
        std::fill(deviation.begin(), deviation.end(), 0.0F);
        add_gradients(run, g, x, means.from(first), plain.data(), deviation.data());
        fold(plain, period, mine.plain.data() + first);
        fold(deviation, period, mine.deviation.data() + first);
      });
    }
  });
  for (std::size_t part = 1; part < done.size(); ++part)
    for (std::size_t c = 0; c < channels; ++c) {
      done[0].plain[c] += done[part].plain[c];
      done[0].deviation[c] += done[part].deviation[c];
    }
  return std::move(done[0]);
}

void channel_affine(const NormLayout& l, const float* x, const float* scale, const float* shift,
                    float* y) {
  const std::int64_t parts = parts_of(l);
  parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    Stripe scales(l, scale);
    Stripe shifts(l, shift);
    for (std::int64_t part = begin; part < end; ++part)
      each_run(l, part, parts, [&](const Run& run, std::int64_t first) {
        scale_shift(run, x, scales.from(first), shifts.from(first), y);
      });
  });
}

void channel_gradient(const NormLayout& l, const float* g, const float* x, const float* mean,
                      const float* plain, const float* slope, const float* scale, float* gx) {
  const std::int64_t parts = parts_of(l);
  parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    Stripe means(l, mean);
    Stripe plains(l, plain);
    Stripe slopes(l, slope);
    Stripe scales(l, scale);
    for (std::int64_t part = begin; part < end; ++part)
      each_run(l, part, parts, [&](const Run& run, std::int64_t first) {
        input_gradient(
            run, g, x,
            {means.from(first), plains.from(first), slopes.from(first), scales.from(first)}, gx);
      });
  });
}

}  // namespace pare
