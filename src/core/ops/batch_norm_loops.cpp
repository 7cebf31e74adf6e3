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
std::vector<float> striped(const NormLayout& l, const float* values) {
  std::vector<float> out(static_cast<std::size_t>(stripe_of(l)));
  const auto period = static_cast<std::size_t>(period_of(l));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = values[i % period];
  return out;
}

PARE_INLINE void add_stripes_body(const float* x, std::int64_t floats, std::int64_t stripe,
                                  float* sums) {
  std::int64_t p = 0;
  for (; p + stripe <= floats; p += stripe)
    for (std::int64_t i = 0; i < stripe; ++i) sums[i] += x[p + i];
  for (std::int64_t i = 0; i < floats - p; ++i) sums[i] += x[p + i];
}
PARE_MULTIVERSION(void, add_stripes,
                  (const float* x, std::int64_t floats, std::int64_t stripe,
                   float* __restrict sums),
                  (x, floats, stripe, sums))

PARE_INLINE void add_squares_body(const float* x, std::int64_t floats, std::int64_t stripe,
                                  const float* mean, float* sums) {
  std::int64_t p = 0;
  for (; p + stripe <= floats; p += stripe)
    for (std::int64_t i = 0; i < stripe; ++i) {
      const float d = x[p + i] - mean[i];
      sums[i] += d * d;
    }
  for (std::int64_t i = 0; i < floats - p; ++i) {
    const float d = x[p + i] - mean[i];
    sums[i] += d * d;
  }
}
PARE_MULTIVERSION(void, add_squares,
                  (const float* x, std::int64_t floats, std::int64_t stripe, const float* mean,
                   float* __restrict sums),
                  (x, floats, stripe, mean, sums))

PARE_INLINE void add_gradients_body(const float* g, const float* x, std::int64_t floats,
                                    std::int64_t stripe, const float* mean, float* plain,
                                    float* deviation) {
  std::int64_t p = 0;
  for (; p + stripe <= floats; p += stripe)
    for (std::int64_t i = 0; i < stripe; ++i) {
      plain[i] += g[p + i];
      deviation[i] += g[p + i] * (x[p + i] - mean[i]);
    }
  for (std::int64_t i = 0; i < floats - p; ++i) {
    plain[i] += g[p + i];
    deviation[i] += g[p + i] * (x[p + i] - mean[i]);
  }
}
PARE_MULTIVERSION(void, add_gradients,
                  (const float* g, const float* x, std::int64_t floats, std::int64_t stripe,
                   const float* mean, float* __restrict plain, float* __restrict deviation),
                  (g, x, floats, stripe, mean, plain, deviation))

PARE_INLINE void affine_stripes_body(const float* x, std::int64_t floats, std::int64_t stripe,
                                     const float* scale, const float* shift, float* y) {
  std::int64_t p = 0;
  for (; p + stripe <= floats; p += stripe)
    for (std::int64_t i = 0; i < stripe; ++i) y[p + i] = x[p + i] * scale[i] + shift[i];
  for (std::int64_t i = 0; i < floats - p; ++i) y[p + i] = x[p + i] * scale[i] + shift[i];
}
PARE_MULTIVERSION(void, affine_stripes,
                  (const float* x, std::int64_t floats, std::int64_t stripe, const float* scale,
                   const float* shift, float* __restrict y),
                  (x, floats, stripe, scale, shift, y))

struct GradientFactors {
  const float *mean, *plain, *slope, *scale;
};
PARE_INLINE void gradient_stripes_body(const float* g, const float* x, std::int64_t floats,
                                       std::int64_t stripe, GradientFactors f, float* gx) {
  const auto one = [=](std::int64_t at, std::int64_t i) PARE_INLINE_LAMBDA {
    return (g[at] - f.plain[i] - (x[at] - f.mean[i]) * f.slope[i]) * f.scale[i];
  };
  std::int64_t p = 0;
  for (; p + stripe <= floats; p += stripe)
    for (std::int64_t i = 0; i < stripe; ++i) gx[p + i] = one(p + i, i);
  for (std::int64_t i = 0; i < floats - p; ++i) gx[p + i] = one(p + i, i);
}
PARE_MULTIVERSION(void, gradient_stripes,
                  (const float* g, const float* x, std::int64_t floats, std::int64_t stripe,
                   GradientFactors f, float* __restrict gx),
                  (g, x, floats, stripe, f, gx))

/// Contiguous memory: channels-last rows, or the plane of one channel.
struct Piece {
  std::int64_t begin, end;  // in floats
  std::int64_t first;       // channel
};

/// Calls visit(piece) with the pieces of `part` of `parts`.
template <class Visit>
void each_piece(const NormLayout& l, std::int64_t part, std::int64_t parts, const Visit& visit) {
  if (l.channels_last) {
    const std::int64_t rows = l.count();
    visit(Piece{rows * part / parts * l.channels, rows * (part + 1) / parts * l.channels, 0});
    return;
  }
  for (std::int64_t c = l.channels * part / parts; c < l.channels * (part + 1) / parts; ++c)
    for (std::int64_t n = 0; n < l.batch; ++n) {
      const std::int64_t begin = (n * l.channels + c) * l.pixels;
      visit(Piece{begin, begin + l.pixels, c});
    }
}

std::int64_t parts_of(const NormLayout& l) {
  const std::int64_t most = l.channels_last ? l.count() : l.channels;
  const std::int64_t wanted = l.batch * l.channels * l.pixels / kGrain;
  return std::clamp<std::int64_t>(std::min<std::int64_t>(wanted, max_threads()), 1,
                                  std::max<std::int64_t>(1, most));
}

/// Floats of one run of a piece: whole rows, short enough to sum in single precision.
std::int64_t run_floats(const NormLayout& l) {
  const std::int64_t stripe = stripe_of(l);
  return std::clamp<std::int64_t>(kRunFloats / stripe, 1, kRun) * stripe;
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
    for (std::int64_t part = begin; part < end; ++part) {
      Part& mine = done[static_cast<std::size_t>(part)];
      mine = {std::vector<double>(channels), std::vector<double>(channels),
              std::vector<double>(channels)};
      const std::int64_t period = period_of(l);
      const std::int64_t stripe = stripe_of(l);
      std::vector<float> sums(static_cast<std::size_t>(stripe));
      std::vector<float> means(static_cast<std::size_t>(stripe));
      std::vector<double> run(static_cast<std::size_t>(period));
      std::vector<double> run_mean(static_cast<std::size_t>(period));
      each_piece(l, part, parts, [&](const Piece& piece) {
        const std::int64_t step = run_floats(l);
        for (std::int64_t p = piece.begin; p < piece.end; p += step) {
          const std::int64_t floats = std::min(step, piece.end - p);
          const auto count = static_cast<double>(floats / period);
          std::fill(sums.begin(), sums.end(), 0.0F);
          std::fill(run.begin(), run.end(), 0.0);
          add_stripes(x + p, floats, stripe, sums.data());
          fold(sums, period, run.data());
          for (std::int64_t i = 0; i < stripe; ++i)
            means[static_cast<std::size_t>(i)] =
                static_cast<float>(run[static_cast<std::size_t>(i % period)] / count);
          for (std::int64_t c = 0; c < period; ++c)
            run_mean[static_cast<std::size_t>(c)] = run[static_cast<std::size_t>(c)] / count;
          std::fill(sums.begin(), sums.end(), 0.0F);
          std::fill(run.begin(), run.end(), 0.0);
          add_squares(x + p, floats, stripe, means.data(), sums.data());
          fold(sums, period, run.data());
          for (std::int64_t c = 0; c < period; ++c) {
            const auto i = static_cast<std::size_t>(c);
            const auto at = static_cast<std::size_t>(piece.first + c);
            join(mine.mean[at], mine.squares[at], mine.count[at], run_mean[i], run[i], count);
            mine.count[at] += count;
          }
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
    for (std::int64_t part = begin; part < end; ++part) {
      GradientSums& mine = done[static_cast<std::size_t>(part)];
      mine = {std::vector<double>(channels), std::vector<double>(channels)};
      const std::int64_t period = period_of(l);
      const std::int64_t stripe = stripe_of(l);
      std::vector<float> means = striped(l, mean);
      std::vector<float> plain(static_cast<std::size_t>(stripe));
      std::vector<float> deviation(static_cast<std::size_t>(stripe));
      each_piece(l, part, parts, [&](const Piece& piece) {
        if (period == 1) std::fill(means.begin(), means.end(), mean[piece.first]);
        const std::int64_t step = run_floats(l);
        for (std::int64_t p = piece.begin; p < piece.end; p += step) {
          std::fill(plain.begin(), plain.end(), 0.0F);
          std::fill(deviation.begin(), deviation.end(), 0.0F);
          add_gradients(g + p, x + p, std::min(step, piece.end - p), stripe, means.data(),
                        plain.data(), deviation.data());
          fold(plain, period, mine.plain.data() + piece.first);
          fold(deviation, period, mine.deviation.data() + piece.first);
        }
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
    const std::int64_t period = period_of(l);
    std::vector<float> scales = striped(l, scale);
    std::vector<float> shifts = striped(l, shift);
    for (std::int64_t part = begin; part < end; ++part)
      each_piece(l, part, parts, [&](const Piece& piece) {
        if (period == 1) {
          std::fill(scales.begin(), scales.end(), scale[piece.first]);
          std::fill(shifts.begin(), shifts.end(), shift[piece.first]);
        }
        affine_stripes(x + piece.begin, piece.end - piece.begin,
                       static_cast<std::int64_t>(scales.size()), scales.data(), shifts.data(),
                       y + piece.begin);
      });
  });
}

void channel_gradient(const NormLayout& l, const float* g, const float* x, const float* mean,
                      const float* plain, const float* slope, const float* scale, float* gx) {
  const std::int64_t parts = parts_of(l);
  parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t period = period_of(l);
    const float* values[] = {mean, plain, slope, scale};
    std::vector<float> lanes[4];
    for (int k = 0; k < 4; ++k) lanes[k] = striped(l, values[k]);
    for (std::int64_t part = begin; part < end; ++part)
      each_piece(l, part, parts, [&](const Piece& piece) {
        if (period == 1)
          for (int k = 0; k < 4; ++k)
            std::fill(lanes[k].begin(), lanes[k].end(), values[k][piece.first]);
        gradient_stripes(g + piece.begin, x + piece.begin, piece.end - piece.begin,
                         static_cast<std::int64_t>(lanes[0].size()),
                         {lanes[0].data(), lanes[1].data(), lanes[2].data(), lanes[3].data()},
                         gx + piece.begin);
      });
  });
}

}  // namespace pare
