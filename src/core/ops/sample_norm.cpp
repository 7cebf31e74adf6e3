// What group and instance normalization share.
#include "core/ops/sample_norm.h"

#include <cmath>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/layout.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

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

SampleNorm::Statistics SampleNorm::statistics(const float* x) const {
  Statistics s{std::vector<double>(at(batch * groups)), std::vector<double>(at(batch * groups))};
  const auto pixels = static_cast<double>(sample.pixels);
  parallel_for(0, batch, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const Moments m = channel_moments(sample, x + n * sample_elements());
      for (std::int64_t g = 0; g < groups; ++g) {
        double mean = 0;
        double squares = 0;
        for (std::int64_t k = 0; k < group_channels; ++k)
          mean += m.mean[at(g * group_channels + k)] / static_cast<double>(group_channels);
        for (std::int64_t k = 0; k < group_channels; ++k) {
          const double off = m.mean[at(g * group_channels + k)] - mean;
          squares += m.squares[at(g * group_channels + k)] + off * off * pixels;
        }
        s.mean[at(n * groups + g)] = mean;
        s.variance[at(n * groups + g)] = squares / this->group_count();
      }
    }
  });
  return s;
}

void SampleNorm::normalize(const float* x, const float* mean, const float* inverse,
                           const float* weight, const float* bias, float* y) const {
  parallel_for(0, batch, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scale(at(sample.channels));
    std::vector<float> shift(at(sample.channels));
    for (std::int64_t n = begin; n < end; ++n) {
      for (std::int64_t c = 0; c < sample.channels; ++c) {
        const std::int64_t g = n * groups + c / group_channels;
        scale[at(c)] = inverse[g] * (weight ? weight[c] : 1);
        shift[at(c)] = (bias ? bias[c] : 0) - mean[g] * scale[at(c)];
      }
      channel_affine(sample, x + n * sample_elements(), scale.data(), shift.data(),
                     y + n * sample_elements());
    }
  });
}

void SampleNorm::gradient(const Operands& o, float* dx, std::vector<double>& of_weight,
                          std::vector<double>& of_bias) const {
  const std::int64_t channels = sample.channels;
  // Each sample's sums in places of their own: the total does not depend on the threads.
  std::vector<double> plain_sums(at(batch * channels));
  std::vector<double> slope_sums(at(batch * channels));
  parallel_for(0, batch, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> values(at(4 * channels));
    float* const scale = values.data();
    float* const mean = scale + channels;
    float* const plain = mean + channels;
    float* const slope = plain + channels;
    for (std::int64_t n = begin; n < end; ++n) {
      const float* inverse = o.inverse + n * groups;
      const float* x = o.x + n * sample_elements();
      const float* g = o.g + n * sample_elements();
      for (std::int64_t c = 0; c < channels; ++c) {
        mean[c] = o.mean[n * groups + c / group_channels];
        scale[c] = inverse[c / group_channels] * (o.weight ? o.weight[c] : 1);
      }
      const GradientSums sums = channel_gradient_sums(sample, g, x, mean);
      for (std::int64_t c = 0; c < channels; ++c) {
        plain_sums[at(n * channels + c)] = sums.plain[at(c)];
        slope_sums[at(n * channels + c)] =
            sums.deviation[at(c)] * static_cast<double>(inverse[c / group_channels]);
      }
      if (!dx) continue;
      for (std::int64_t k = 0; k < groups; ++k) {
        double total = 0;
        double total_slope = 0;
        for (std::int64_t c = k * group_channels; c < (k + 1) * group_channels; ++c) {
          const double w = o.weight ? static_cast<double>(o.weight[c]) : 1;
          total += w * sums.plain[at(c)];
          total_slope += w * sums.deviation[at(c)];
        }
        const auto i = static_cast<double>(inverse[k]);
        const double share = o.constant ? 0 : 1 / this->group_count();
        for (std::int64_t c = k * group_channels; c < (k + 1) * group_channels; ++c) {
          plain[c] = static_cast<float>(total * i * share);
          slope[c] = static_cast<float>(total_slope * i * i * i * share);
        }
      }
      gradient_loop(sample, g, x, {scale, mean, plain, slope}, dx + n * sample_elements());
    }
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
