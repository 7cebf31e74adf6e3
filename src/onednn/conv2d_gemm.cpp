// The gradient of a convolution's source: gradient · weight, then every tap added where it belongs.
#include "onednn/conv2d_gemm.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/multiversion.h"
#include "onednn/api.h"
#include "onednn/gemm.h"
#include "pare/core/parallel.h"

namespace pare::onednn {
namespace {

struct Geometry {
  std::int64_t channels, height, width;  // of the source
  std::int64_t out_height, out_width;
  std::int64_t kernel_height, kernel_width;
  const Conv2dAttributes* attributes;
};

/// Adds `taps` [out_height, out_width, kernel_height, kernel_width, channels] to the source's
/// gradient [height, width, channels], which it zeroes first.
PARE_INLINE void add_taps_body(const Geometry& g, const float* taps, float* gradient) {
  const auto& a = *g.attributes;
  std::fill_n(gradient, g.height * g.width * g.channels, 0.0F);
  const std::int64_t row = g.kernel_width * g.channels;
  for (std::int64_t y = 0; y < g.out_height; ++y)
    for (std::int64_t x = 0; x < g.out_width; ++x)
      for (std::int64_t ky = 0; ky < g.kernel_height; ++ky, taps += row) {
        const std::int64_t sy = y * a.stride[0] - a.padding[0] + ky * a.dilation[0];
        if (sy < 0 || sy >= g.height) continue;
        const std::int64_t left = x * a.stride[1] - a.padding[1];
        const float* from = taps;
        // Without dilation the taps of a row are neighbours in the source: one run.
        const bool whole = a.dilation[1] == 1;
        const std::int64_t runs = whole ? 1 : g.kernel_width;
        for (std::int64_t kx = 0; kx < runs; ++kx, from += g.channels) {
          std::int64_t first = left + kx * a.dilation[1];
          const std::int64_t end =
              std::min(first + (whole ? g.kernel_width : std::int64_t{1}), g.width);
          const std::int64_t skip = std::max<std::int64_t>(-first, 0);
          first += skip;
          const float* source = from + skip * g.channels;
          float* to = gradient + (sy * g.width + first) * g.channels;
          const std::int64_t count = (end - first) * g.channels;
          for (std::int64_t i = 0; i < count; ++i) to[i] += source[i];
        }
      }
}
PARE_MULTIVERSION(void, add_taps, (const Geometry& g, const float* taps, float* gradient),
                  (g, taps, gradient))

/// [O, C, kH, kW] → [O, kH, kW, C]
std::vector<float> taps_first(const Tensor& weight) {
  const std::int64_t channels = weight.dim(1);
  const std::int64_t taps = weight.dim(2) * weight.dim(3);
  std::vector<float> out(static_cast<std::size_t>(weight.elements()));
  const float* w = weight.data<float>();
  float* to = out.data();
  for (std::int64_t o = 0; o < weight.dim(0); ++o, w += channels * taps)
    for (std::int64_t t = 0; t < taps; ++t)
      for (std::int64_t c = 0; c < channels; ++c) *to++ = w[c * taps + t];
  return out;
}

}  // namespace

bool prefers_gemm(const Conv2dAttributes& attributes, const Shape& source, const Shape& weight) {
  // oneDNN's kernel fills blocks of 16 channels: of one channel it takes three times as long.
  const bool few = source[1] <= 4;
  return attributes.groups == 1 && source[1] % 8 != 0 &&
         (few || std::max(source[1], weight[0]) >= 48) && weight[2] * weight[3] > 1;
}

void conv2d_source_gradient(const Conv2dAttributes& attributes, const Tensor& weight,
                            const Tensor& gradient, Tensor& source_gradient) {
  const Shape& s = source_gradient.shape();
  const Shape& d = gradient.shape();
  const Geometry g{s[1], s[2], s[3], d[2], d[3], weight.dim(2), weight.dim(3), &attributes};
  const std::int64_t out = d[1];
  const std::int64_t pixels = d[2] * d[3];
  const std::int64_t columns = g.kernel_height * g.kernel_width * g.channels;
  const std::vector<float> weights = taps_first(weight);
  const float* from = gradient.data<float>();
  float* to = source_gradient.mutable_data<float>();
  parallel_for(0, s[0], 1, [&](std::int64_t begin, std::int64_t end) {
    auto* taps = reinterpret_cast<float*>(
        workspace(static_cast<std::size_t>(pixels * columns) * sizeof(float)));
    for (std::int64_t n = begin; n < end; ++n) {
      multiply(pixels, columns, out, {from + n * pixels * out, out}, {weights.data(), columns}, 0,
               taps, columns);
      add_taps(g, taps, to + n * g.height * g.width * g.channels);
    }
  });
}

}  // namespace pare::onednn
