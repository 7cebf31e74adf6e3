// What group and instance normalization share.
#include "core/ops/sample_norm.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/reduce_kernels.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

using reduction::V8;
using reduction::V8Unaligned;

/// Elements that stay in the first-level cache between the looks at them, and are summed in single
/// precision before they join a total in double.
constexpr std::int64_t kRun = 4096;

PARE_INLINE double squared_deviations(const float* x, std::int64_t n, float mean) {
  V8 lane[4] = {};
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (int k = 0; k < 4; ++k) {
      const V8 d = *reinterpret_cast<const V8Unaligned*>(x + i + k * 8) - mean;
      lane[k] += d * d;
    }
  lane[0] = (lane[0] + lane[1]) + (lane[2] + lane[3]);
  double total = 0;
  for (int k = 0; k < 8; ++k) total += static_cast<double>(lane[0][k]);
  for (; i < n; ++i) {
    const double d = static_cast<double>(x[i] - mean);
    total += d * d;
  }
  return total;
}

/// Mean and sum of squared deviations of neighbours.
PARE_INLINE void run_moments_body(const float* x, std::int64_t count, double* mean,
                                  double* squares) {
  *mean = *squares = 0;
  for (std::int64_t i = 0; i < count; i += kRun) {
    const std::int64_t n = std::min(kRun, count - i);
    double sum = 0;
    reduction::reduce_row<reduction::Sum>(x + i, n, sum);
    const double own = sum / static_cast<double>(n);
    const double own_squares = squared_deviations(x + i, n, static_cast<float>(own));
    const double before = static_cast<double>(i);
    const double delta = own - *mean;
    const double share = static_cast<double>(n) / (before + static_cast<double>(n));
    *mean += delta * share;
    *squares += own_squares + delta * delta * before * share;
  }
}
PARE_MULTIVERSION(void, run_moments,
                  (const float* x, std::int64_t count, double* mean, double* squares),
                  (x, count, mean, squares))

/// Of each of `channels` planes: Σ g and Σ g · (x − mean).
PARE_INLINE void plane_sums_body(NormLayout d, const float* g, const float* x, const float* mean,
                                 double* plain, double* deviation) {
  for (std::int64_t c = 0; c < d.channels; ++c) {
    double sum = 0;
    double product = 0;
    const float m = mean[c];
    for (std::int64_t i = 0; i < d.pixels;) {
      const std::int64_t end = std::min(d.pixels, i + kRun);
      V8 a[2] = {};
      V8 b[2] = {};
      for (; i + 16 <= end; i += 16)
        for (int k = 0; k < 2; ++k) {
          const V8 values = *reinterpret_cast<const V8Unaligned*>(g + i + k * 8);
          a[k] += values;
          b[k] += values * (*reinterpret_cast<const V8Unaligned*>(x + i + k * 8) - m);
        }
      a[0] += a[1];
      b[0] += b[1];
      for (int k = 0; k < 8; ++k) {
        sum += static_cast<double>(a[0][k]);
        product += static_cast<double>(b[0][k]);
      }
      for (; i < end; ++i) {
        sum += static_cast<double>(g[i]);
        product += static_cast<double>(g[i]) * static_cast<double>(x[i] - m);
      }
    }
    plain[c] = sum;
    deviation[c] = product;
    g += d.pixels;
    x += d.pixels;
  }
}
PARE_MULTIVERSION(void, plane_sums,
                  (NormLayout d, const float* g, const float* x, const float* mean, double* plain,
                   double* deviation),
                  (d, g, x, mean, plain, deviation))

/// y = x · scale + shift
PARE_INLINE void affine_loop_body(NormLayout d, const float* x, const float* scale,
                                  const float* shift, float* y) {
  if (d.channels_last) {
    for (std::int64_t p = 0; p < d.pixels; ++p) {
      const float* from = x + p * d.channels;
      float* __restrict to = y + p * d.channels;
      for (std::int64_t c = 0; c < d.channels; ++c) to[c] = from[c] * scale[c] + shift[c];
    }
    return;
  }
  for (std::int64_t c = 0; c < d.channels; ++c) {
    const float* from = x + c * d.pixels;
    float* __restrict to = y + c * d.pixels;
    const float a = scale[c], b = shift[c];
    for (std::int64_t p = 0; p < d.pixels; ++p) to[p] = from[p] * a + b;
  }
}
PARE_MULTIVERSION(void, affine_loop,
                  (NormLayout d, const float* x, const float* scale, const float* shift, float* y),
                  (d, x, scale, shift, y))

/// dx = g · scale − (plain + (x − mean) · slope), the last three of each channel.
struct Line {
  const float *scale, *mean, *plain, *slope;
};
PARE_INLINE void gradient_loop_body(NormLayout d, const float* g, const float* x, Line line,
                                    float* dx) {
  const auto one = [](float gv, float xv, float scale, float mean, float plain, float slope)
                       PARE_INLINE_LAMBDA { return gv * scale - (plain + (xv - mean) * slope); };
  if (d.channels_last) {
    for (std::int64_t p = 0; p < d.pixels; ++p) {
      const float* gr = g + p * d.channels;
      const float* xr = x + p * d.channels;
      float* __restrict out = dx + p * d.channels;
      for (std::int64_t c = 0; c < d.channels; ++c)
        out[c] = one(gr[c], xr[c], line.scale[c], line.mean[c], line.plain[c], line.slope[c]);
    }
    return;
  }
  for (std::int64_t c = 0; c < d.channels; ++c) {
    const float* gr = g + c * d.pixels;
    const float* xr = x + c * d.pixels;
    float* __restrict out = dx + c * d.pixels;
    const float scale = line.scale[c], mean = line.mean[c];
    const float plain = line.plain[c], slope = line.slope[c];
    for (std::int64_t p = 0; p < d.pixels; ++p)
      out[p] = one(gr[p], xr[p], scale, mean, plain, slope);
  }
}
PARE_MULTIVERSION(void, gradient_loop,
                  (NormLayout d, const float* g, const float* x, Line line, float* dx),
                  (d, g, x, line, dx))

}  // namespace

SampleNorm::SampleNorm(const Tensor& x, std::int64_t group_count)
    : batch(x.dim(0)),
      groups(group_count),
      group_channels(x.dim(1) / group_count),
      sample{1, x.dim(1), x.shape().elements(2, x.rank()),
             x.channels_last() || x.shape().elements(2, x.rank()) == 1} {}

struct SampleNorm::Piece {
  std::int64_t group, groups;  ///< the first of [N · groups], and how many
  std::int64_t channel;        ///< the first
  std::int64_t offset;         ///< of its elements
  NormLayout layout;
  bool dense;  ///< all its elements belong to one group
};

template <class Run> void SampleNorm::each_piece(const Run& run) const {
  const bool dense = !sample.channels_last || sample.pixels == 1;
  const std::int64_t count = dense ? 1 : groups;
  NormLayout layout = sample;
  layout.channels = count * group_channels;
  const std::int64_t elements = layout.channels * layout.pixels;
  constexpr std::int64_t kGrain = 32768;  // elements for one thread
  parallel_for(0, batch * groups / count, kGrain / std::max<std::int64_t>(1, elements) + 1,
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<float> values(at(4 * layout.channels));
                 for (std::int64_t i = begin; i < end; ++i)
                   run(Piece{.group = i * count,
                             .groups = count,
                             .channel = i * count % groups * group_channels,
                             .offset = i * elements,
                             .layout = layout,
                             .dense = dense},
                       values.data());
               });
}

/// x is that of the piece; mean and variance that of its first group.
void SampleNorm::moments(const Piece& piece, const float* x, double* mean, double* variance) const {
  const auto count = static_cast<double>(group_elements());
  if (piece.dense) {
    double squares = 0;
    run_moments(x, group_elements(), mean, &squares);
    *variance = squares / count;
    return;
  }
  const auto pixels = static_cast<double>(sample.pixels);
  const Moments m = channel_moments(piece.layout, x);
  for (std::int64_t g = 0; g < piece.groups; ++g) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t k = 0; k < group_channels; ++k)
      sum += m.mean[at(g * group_channels + k)] / static_cast<double>(group_channels);
    for (std::int64_t k = 0; k < group_channels; ++k) {
      const double off = m.mean[at(g * group_channels + k)] - sum;
      squares += m.squares[at(g * group_channels + k)] + off * off * pixels;
    }
    mean[g] = sum;
    variance[g] = squares / count;
  }
}

SampleNorm::Statistics SampleNorm::forward(const float* x, double epsilon, const Affine& affine,
                                           float* mean, float* inverse, float* y) const {
  Statistics s{std::vector<double>(at(batch * groups)), std::vector<double>(at(batch * groups))};
  each_piece([&](const Piece& piece, float* values) {
    moments(piece, x + piece.offset, &s.mean[at(piece.group)], &s.variance[at(piece.group)]);
    for (std::int64_t g = piece.group; g < piece.group + piece.groups; ++g) {
      mean[g] = static_cast<float>(s.mean[at(g)]);
      inverse[g] = static_cast<float>(1 / std::sqrt(s.variance[at(g)] + epsilon));
    }
    normalize_piece(piece, x, mean, inverse, affine, values, y);
  });
  return s;
}

void SampleNorm::normalize_piece(const Piece& piece, const float* x, const float* mean,
                                 const float* inverse, const Affine& affine, float* values,
                                 float* y) const {
  float* const scale = values;
  float* const shift = values + piece.layout.channels;
  for (std::int64_t c = 0; c < piece.layout.channels; ++c) {
    const std::int64_t g = piece.group + c / group_channels;
    scale[c] = inverse[g] * (affine.weight ? affine.weight[piece.channel + c] : 1);
    shift[c] = (affine.bias ? affine.bias[piece.channel + c] : 0) - mean[g] * scale[c];
  }
  affine_loop(piece.layout, x + piece.offset, scale, shift, y + piece.offset);
}

void SampleNorm::normalize(const float* x, const float* mean, const float* inverse,
                           const Affine& affine, float* y) const {
  each_piece([&](const Piece& piece, float* values) {
    normalize_piece(piece, x, mean, inverse, affine, values, y);
  });
}

void SampleNorm::gradient(const Operands& o, float* dx, std::vector<double>& of_weight,
                          std::vector<double>& of_bias) const {
  const std::int64_t channels = sample.channels;
  // Each sample's sums in places of their own: the total does not depend on the threads.
  std::vector<double> plain_sums(at(batch * channels));
  std::vector<double> slope_sums(at(batch * channels));
  each_piece([&](const Piece& piece, float* values) {
    const std::int64_t count = piece.layout.channels;
    float* const scale = values;
    float* const mean = scale + count;
    float* const plain = mean + count;
    float* const slope = plain + count;
    const float* inverse = o.inverse + piece.group;
    const float* weight = o.weight ? o.weight + piece.channel : nullptr;
    const float* x = o.x + piece.offset;
    const float* g = o.g + piece.offset;
    for (std::int64_t c = 0; c < count; ++c) {
      mean[c] = o.mean[piece.group + c / group_channels];
      scale[c] = inverse[c / group_channels] * (weight ? weight[c] : 1);
    }
    double* const plain_sum = &plain_sums[at(piece.group * group_channels)];
    double* const slope_sum = &slope_sums[at(piece.group * group_channels)];
    if (piece.dense) {
      plane_sums(piece.layout, g, x, mean, plain_sum, slope_sum);
    } else {
      const GradientSums sums = channel_gradient_sums(piece.layout, g, x, mean);
      std::copy(sums.plain.begin(), sums.plain.end(), plain_sum);
      std::copy(sums.deviation.begin(), sums.deviation.end(), slope_sum);
    }
    for (std::int64_t k = 0; k < piece.groups; ++k) {
      const auto i = static_cast<double>(inverse[k]);
      const double share = o.constant ? 0 : 1 / static_cast<double>(group_elements());
      double total = 0;
      double total_slope = 0;
      for (std::int64_t c = k * group_channels; c < (k + 1) * group_channels; ++c) {
        const double w = weight ? static_cast<double>(weight[c]) : 1;
        total += w * plain_sum[c];
        total_slope += w * slope_sum[c];
        slope_sum[c] *= i;
      }
      std::fill_n(plain + k * group_channels, group_channels,
                  static_cast<float>(total * i * share));
      std::fill_n(slope + k * group_channels, group_channels,
                  static_cast<float>(total_slope * i * i * i * share));
    }
    if (dx) gradient_loop(piece.layout, g, x, {scale, mean, plain, slope}, dx + piece.offset);
  });
  of_weight.assign(at(channels), 0);
  of_bias.assign(at(channels), 0);
  for (std::int64_t n = 0; n < batch; ++n)
    for (std::int64_t c = 0; c < channels; ++c) {
      of_weight[at(c)] += slope_sums[at(n * channels + c)];
      of_bias[at(c)] += plain_sums[at(n * channels + c)];
    }
}

void check_sample_norm(const InferArgs& args, std::span<const char* const> names) {
  const char* where = args.call.op->name;
  const Shape& x = args.shape(0);
  PARE_CHECK(x.rank() >= 2 && (x.symbolic(1) || x[1] > 0), shape_mismatch, where,
             "expected x of shape [N, C, …], got {}", x);
  for (int i = 0; i < args.inputs(); ++i) {
    if (!args.has(i)) continue;
    const char* name = i == 0 ? "x" : names[static_cast<std::size_t>(i - 1)];
    PARE_CHECK(args.dtype(i) == DType::f32, dtype_mismatch, where, "expected {} f32, got {}", name,
               args.dtype(i));
    if (i == 0) continue;
    const Shape& shape = args.shape(i);
    PARE_CHECK(shape.rank() == 1 && shape.same_axis(0, x, 1), shape_mismatch, where,
               "expected {} of shape [{}] for x {}, got {}", name,
               x.symbolic(1) ? x.symbol(1) : std::to_string(x[1]), x, shape);
  }
}

void backward_sample_norm(BackwardArgs& args, const SampleNorm& norm, const float* mean,
                          const float* inverse, bool constant) {
  const Tensor& x = args.input(0);
  const Tensor g = in_format(args.grad_output(0), x.format());
  const auto has = [&](int i) { return i < args.inputs() && args.has_input(i); };
  Tensor dx;
  if (args.needs(0)) dx = Tensor::empty(x.shape(), DType::f32, x.format());
  std::vector<double> sums[2];
  norm.gradient({.x = x.data<float>(),
                 .g = g.data<float>(),
                 .mean = mean,
                 .inverse = inverse,
                 .weight = has(1) ? args.input(1).data<float>() : nullptr,
                 .constant = constant},
                dx.defined() ? dx.mutable_data<float>() : nullptr, sums[0], sums[1]);
  if (dx.defined()) args.set(0, std::move(dx));
  for (const int i : {1, 2}) {
    if (!has(i) || !args.needs(i)) continue;
    Tensor sum = Tensor::empty(args.input_shape(i));
    float* out = sum.mutable_data<float>();
    for (const double v : sums[i - 1]) *out++ = static_cast<float>(v);
    args.set(i, std::move(sum));
  }
}

}  // namespace pare
