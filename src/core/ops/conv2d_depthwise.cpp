// The gradient of a depthwise convolution's source, channels-last, where a stride leaves few taps.
#include "core/ops/conv2d_depthwise.h"

#include <algorithm>
#include <vector>

#include "core/multiversion.h"

namespace pare {
namespace {

constexpr int kMostTaps = 9;

/// A tap that reaches a pixel, along one axis: which one, and of which output.
struct Reach {
  std::int64_t tap, output;
};
/// The taps of every pixel of an axis, at most kMostTaps one after another.
struct Axis {
  Axis(std::int64_t size, std::int64_t outputs, std::int64_t kernel, std::int64_t stride,
       std::int64_t padding)
      : counts(static_cast<std::size_t>(size)),
        reaches(static_cast<std::size_t>(size) * kMostTaps) {
    for (std::int64_t p = 0; p < size; ++p)
      for (std::int64_t tap = 0; tap < kernel; ++tap) {
        const std::int64_t at = p + padding - tap;
        if (at < 0 || at % stride != 0 || at / stride >= outputs) continue;
        int& count = counts[static_cast<std::size_t>(p)];
        reaches[static_cast<std::size_t>(p * kMostTaps + count++)] = {tap, at / stride};
      }
  }
  int count(std::int64_t p) const { return counts[static_cast<std::size_t>(p)]; }
  const Reach* of(std::int64_t p) const {
    return reaches.data() + static_cast<std::size_t>(p * kMostTaps);
  }
  std::vector<int> counts;
  std::vector<Reach> reaches;
};

/// out[c] = Σ_t gradients[t][c] · weights[t][c]
template <int kTaps>
PARE_INLINE void sum_taps(const float* const* gradients, const float* const* weights,
                          std::int64_t channels, float* out) {
  const float* g[kTaps];
  const float* w[kTaps];
  for (int t = 0; t < kTaps; ++t) {
    g[t] = gradients[t];
    w[t] = weights[t];
  }
  float* __restrict to = out;
  for (std::int64_t c = 0; c < channels; ++c) {
    float sum = g[0][c] * w[0][c];
    for (int t = 1; t < kTaps; ++t) sum += g[t][c] * w[t][c];
    to[c] = sum;
  }
}

PARE_INLINE void sum_any(int taps, const float* const* gradients, const float* const* weights,
                         std::int64_t channels, float* out) {
  switch (taps) {
    case 0:
      return static_cast<void>(std::fill_n(out, channels, 0.0F));
    case 1:
      return sum_taps<1>(gradients, weights, channels, out);
    case 2:
      return sum_taps<2>(gradients, weights, channels, out);
    case 3:
      return sum_taps<3>(gradients, weights, channels, out);
    case 4:
      return sum_taps<4>(gradients, weights, channels, out);
    case 6:
      return sum_taps<6>(gradients, weights, channels, out);
    case 9:
      return sum_taps<9>(gradients, weights, channels, out);
    default:
      sum_taps<4>(gradients, weights, channels, out);
      for (int t = 4; t < taps; ++t) {
        const float* g = gradients[t];
        const float* w = weights[t];
        for (std::int64_t c = 0; c < channels; ++c) out[c] += g[c] * w[c];
      }
  }
}

std::int64_t most_taps(std::int64_t kernel, std::int64_t stride) {
  return (kernel + stride - 1) / stride;
}

}  // namespace

bool prefers_depthwise(const Conv2dAttributes& a, const Shape& source, const Shape& weight) {
  return a.groups == source[1] && weight[0] == source[1] && weight[1] == 1 && source[1] >= 8 &&
         std::max(a.stride[0], a.stride[1]) > 1 && a.dilation[0] == 1 && a.dilation[1] == 1 &&
         most_taps(weight[2], a.stride[0]) * most_taps(weight[3], a.stride[1]) <= kMostTaps;
}

void depthwise_source_gradient(const Conv2dAttributes& a, const Tensor& weight,
                               const Tensor& gradient, Tensor& source_gradient) {
  const Shape& x = source_gradient.shape();
  const Shape& y = gradient.shape();
  const std::int64_t channels = x[1];
  const std::int64_t height = x[2];
  const std::int64_t width = x[3];
  const std::int64_t kernel_width = weight.dim(3);
  const std::int64_t taps = weight.dim(2) * kernel_width;
  std::vector<float> turned(static_cast<std::size_t>(taps * channels));  // [tap, channel]
  const float* from = weight.data<float>();
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < taps; ++t)
      turned[static_cast<std::size_t>(t * channels + c)] = from[c * taps + t];
  const Axis rows(height, y[2], weight.dim(2), a.stride[0], a.padding[0]);
  const Axis columns(width, y[3], kernel_width, a.stride[1], a.padding[1]);
  const std::int64_t out_height = y[2];
  const std::int64_t out_width = y[3];
  const float* w = turned.data();
  const float* g = gradient.data<float>();
  float* to = source_gradient.mutable_data<float>();
  parallel_for(
      0, x[0] * height, 1 + 16384 / (width * channels + 1),
      [&](std::int64_t begin, std::int64_t end) {
        multiversion([=, &rows, &columns]() PARE_INLINE_LAMBDA {
          for (std::int64_t row = begin; row < end; ++row) {
            const std::int64_t py = row % height;
            const float* picture = g + row / height * out_height * out_width * channels;
            for (std::int64_t px = 0; px < width; ++px) {
              const float* gradients[kMostTaps];
              const float* weights[kMostTaps];
              int count = 0;
              for (int i = 0; i < rows.count(py); ++i)
                for (int j = 0; j < columns.count(px); ++j) {
                  const Reach& ry = rows.of(py)[i];
                  const Reach& rx = columns.of(px)[j];
                  gradients[count] = picture + (ry.output * out_width + rx.output) * channels;
                  weights[count++] = w + (ry.tap * kernel_width + rx.tap) * channels;
                }
              sum_any(count, gradients, weights, channels, to + (row * width + px) * channels);
            }
          }
        });
      });
}

}  // namespace pare
