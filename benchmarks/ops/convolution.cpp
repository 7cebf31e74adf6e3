// Cases of convolutions over one and three axes, transposed ones, and pooling over such axes.
#include <algorithm>
#include <array>
#include <limits>

#include "ops/cases.h"

namespace pare::bench {
namespace {

using Axes = std::array<std::int64_t, 3>;

// Sizes of [N, C, L], [N, C, H, W] or [N, C, D, H, W], with ones for the axes that are missing.
Axes spatial(const Shape& shape) {
  Axes size{1, 1, 1};
  for (int a = 2; a < shape.rank(); ++a) size[at(a - shape.rank() + 3)] = shape[a];
  return size;
}

// Calls visit(index) for every place of a box.
template <class Visit> void each_place(const Axes& size, Visit visit) {
  for (std::int64_t d = 0; d < size[0]; ++d)
    for (std::int64_t h = 0; h < size[1]; ++h)
      for (std::int64_t w = 0; w < size[2]; ++w) visit(Axes{d, h, w});
}
std::int64_t offset(const Axes& place, const Axes& size) {
  return (place[0] * size[1] + place[1]) * size[2] + place[2];
}
std::int64_t volume(const Axes& size) { return size[0] * size[1] * size[2]; }

// Stride 1, padded by half the kernel.
void convolve(const Tensors& in, Tensor& out) {
  const Axes size = spatial(out.shape()), kernel = spatial(in[1].shape());
  const std::int64_t channels = in[0].dim(1), outputs = out.dim(1);
  const float* x = in[0].data<float>();
  const float* w = in[1].data<float>();
  float* y = out.mutable_data<float>();
  for (std::int64_t n = 0; n < out.dim(0); ++n)
    for (std::int64_t o = 0; o < outputs; ++o)
      each_place(size, [&](const Axes& p) {
        float sum = 0;
        for (std::int64_t c = 0; c < channels; ++c)
          each_place(kernel, [&](const Axes& k) {
            Axes q;
            for (std::size_t a = 0; a < 3; ++a) {
              q[a] = p[a] + k[a] - kernel[a] / 2;
              if (q[a] < 0 || q[a] >= size[a]) return;
            }
            sum += x[(n * channels + c) * volume(size) + offset(q, size)] *
                   w[(o * channels + c) * volume(kernel) + offset(k, kernel)];
          });
        *y++ = sum;
      });
}

// Kernel 4, stride 2, one cut off on each side: twice the size.
void convolve_transposed(const Tensors& in, Tensor& out) {
  const Axes size = spatial(in[0].shape()), big = spatial(out.shape());
  const Axes kernel = spatial(in[1].shape());
  const std::int64_t channels = in[0].dim(1), outputs = out.dim(1);
  const float* x = in[0].data<float>();
  const float* w = in[1].data<float>();
  float* y = out.mutable_data<float>();
  std::fill_n(y, out.elements(), 0.0F);
  for (std::int64_t n = 0; n < out.dim(0); ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      each_place(size, [&](const Axes& p) {
        const float value = x[(n * channels + c) * volume(size) + offset(p, size)];
        for (std::int64_t o = 0; o < outputs; ++o)
          each_place(kernel, [&](const Axes& k) {
            Axes q;
            for (std::size_t a = 0; a < 3; ++a) {
              q[a] = kernel[a] == 1 ? 0 : p[a] * 2 + k[a] - 1;
              if (q[a] < 0 || q[a] >= big[a]) return;
            }
            y[(n * outputs + o) * volume(big) + offset(q, big)] +=
                value * w[(c * outputs + o) * volume(kernel) + offset(k, kernel)];
          });
      });
}

// Windows from i·in/out to (i + 1)·in/out, rounded down and up; of a pool of 2 that is the same.
template <class F> Loop windows(float first, F combine, bool mean) {
  return [=](const Tensors& in, Tensor& out) {
    const Axes size = spatial(in[0].shape()), small = spatial(out.shape());
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    for (std::int64_t p = 0, n = out.dim(0) * out.dim(1); p < n; ++p)
      each_place(small, [&](const Axes& i) {
        Axes begin, extent;
        for (std::size_t a = 0; a < 3; ++a) {
          begin[a] = i[a] * size[a] / small[a];
          extent[a] = ((i[a] + 1) * size[a] + small[a] - 1) / small[a] - begin[a];
        }
        float value = first;
        each_place(extent, [&](const Axes& k) {
          const Axes q{begin[0] + k[0], begin[1] + k[1], begin[2] + k[2]};
          value = combine(value, x[p * volume(size) + offset(q, size)]);
        });
        *y++ = mean ? value / static_cast<float>(volume(extent)) : value;
      });
  };
}

}  // namespace

void add_convolution_cases(Cases& cases) {
  const Shape line{8, 32, 512}, room{2, 16, 16, 16, 16};
  cases.push_back({"conv1d",
                   {&kConv1d, Attributes::of(Conv1dAttributes{.padding = {2, 2}})},
                   {{"normal", line}, {"normal", {32, 32, 5}}},
                   convolve});
  cases.push_back({"conv3d",
                   {&kConv3d, Attributes::of(Conv3dAttributes{.padding = {1, 1, 1, 1, 1, 1}})},
                   {{"normal", room}, {"normal", {16, 16, 3, 3, 3}}},
                   convolve});
  cases.push_back({"conv_transpose1d",
                   {&kConvTranspose1d,
                    Attributes::of(ConvTranspose1dAttributes{.stride = {2}, .padding = {1, 1}})},
                   {{"normal", line}, {"normal", {32, 32, 4}}},
                   convolve_transposed});
  cases.push_back({"conv_transpose2d",
                   {&kConvTranspose2d, Attributes::of(ConvTranspose2dAttributes{
                                           .stride = {2, 2}, .padding = {1, 1, 1, 1}})},
                   {{"normal", {4, 32, 16, 16}}, {"normal", {32, 32, 4, 4}}},
                   convolve_transposed});
  cases.push_back({"conv_transpose3d",
                   {&kConvTranspose3d, Attributes::of(ConvTranspose3dAttributes{
                                           .stride = {2, 2, 2}, .padding = {1, 1, 1, 1, 1, 1}})},
                   {{"normal", {2, 16, 8, 8, 8}}, {"normal", {16, 16, 4, 4, 4}}},
                   convolve_transposed});

  const auto larger = [](float a, float b) { return a < b ? b : a; };
  const auto plus = [](float a, float b) { return a + b; };
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  const Shape lines{64, 64, 128}, rooms{4, 32, 16, 16, 16};
  const Attributes one = Attributes::of(Pool1dAttributes{});
  const Attributes three = Attributes::of(Pool3dAttributes{});
  cases.push_back(
      {"max_pool1d", {&kMaxPool1d, one}, {{"normal", lines}}, windows(kLowest, larger, false)});
  cases.push_back(
      {"max_pool3d", {&kMaxPool3d, three}, {{"normal", rooms}}, windows(kLowest, larger, false)});
  cases.push_back(
      {"average_pool1d", {&kAveragePool1d, one}, {{"normal", lines}}, windows(0, plus, true)});
  cases.push_back(
      {"average_pool3d", {&kAveragePool3d, three}, {{"normal", rooms}}, windows(0, plus, true)});
  const Attributes twelve = Attributes::of(AdaptivePoolAttributes{.output = {12, 12}});
  cases.push_back({"adaptive_average_pool",
                   {&kAdaptiveAveragePool, twelve},
                   {{"normal", kImages}},
                   windows(0, plus, true)});
  cases.push_back({"adaptive_max_pool",
                   {&kAdaptiveMaxPool, twelve},
                   {{"normal", kImages}},
                   windows(kLowest, larger, false)});
}

}  // namespace pare::bench
