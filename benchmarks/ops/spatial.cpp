// Cases of convolution over one and three axes, transposed convolution, and pooling over windows.
#include <algorithm>
#include <array>
#include <limits>

#include "ops/cases.h"

namespace pare::bench {
namespace {

using Axes = std::array<std::int64_t, 3>;  // depth, height, width; 1 where there is none

Axes axes_of(const Shape& shape) {
  Axes axes{1, 1, 1};
  for (int a = 2; a < shape.rank(); ++a) axes[at(5 - shape.rank() + a - 2)] = shape[a];
  return axes;
}

template <class F> void each_place(const Axes& sizes, F f) {
  for (std::int64_t z = 0; z < sizes[0]; ++z)
    for (std::int64_t y = 0; y < sizes[1]; ++y)
      for (std::int64_t x = 0; x < sizes[2]; ++x) f(Axes{z, y, x});
}
std::int64_t place(const Axes& p, const Axes& sizes) {
  return (p[0] * sizes[1] + p[1]) * sizes[2] + p[2];
}
// Where tap k of the window of output o lies; false where that is outside.
bool inside(const Axes& o, const Axes& k, const Axes& stride, const Axes& padding,
            const Axes& sizes, Axes& p) {
  for (std::size_t a = 0; a < 3; ++a) {
    p[a] = o[a] * stride[a] + k[a] - padding[a];
    if (p[a] < 0 || p[a] >= sizes[a]) return false;
  }
  return true;
}

template <std::size_t N> Axes spread(const std::array<std::int64_t, N>& v, std::int64_t missing) {
  Axes axes{missing, missing, missing};
  std::copy(v.begin(), v.end(), axes.end() - N);
  return axes;
}
template <std::size_t N> Axes before(const std::array<std::int64_t, 2 * N>& padding) {
  Axes axes{0, 0, 0};
  std::copy_n(padding.begin(), N, axes.end() - N);
  return axes;
}

template <std::size_t N>
void add_convolution(Cases& cases, const char* name, const OpDef& op,
                     const ConvolutionAttributes<N>& a, const Shape& x, const Shape& w) {
  const Axes stride = spread(a.stride, 1), padding = before<N>(a.padding);
  const std::int64_t groups = a.groups;
  cases.push_back(
      {name,
       {&op, Attributes::of(a)},
       {{"normal", x}, {"normal", w}},
       [=](const Tensors& in, Tensor& out) {
         const Axes from = axes_of(in[0].shape()), taps = axes_of(in[1].shape());
         const Axes to = axes_of(out.shape());
         const std::int64_t outputs = out.dim(1), channels = in[1].dim(1);
         const std::int64_t picture = from[0] * from[1] * from[2];
         const std::int64_t filter = taps[0] * taps[1] * taps[2];
         float* y = out.mutable_data<float>();
         for (std::int64_t n = 0; n < out.dim(0); ++n)
           for (std::int64_t o = 0; o < outputs; ++o)
             each_place(to, [&](const Axes& p) {
               float sum = 0;
               for (std::int64_t c = 0; c < channels; ++c) {
                 const std::int64_t channel =
                     n * in[0].dim(1) + o / (outputs / groups) * channels + c;
                 each_place(taps, [&](const Axes& k) {
                   Axes q;
                   if (inside(p, k, stride, padding, from, q))
                     sum += in[0].data<float>()[channel * picture + place(q, from)] *
                            in[1].data<float>()[(o * channels + c) * filter + place(k, taps)];
                 });
               }
               *y++ = sum;
             });
       }});
}

// Of one group: every pixel of x adds its taps to y.
template <std::size_t N>
void add_transposed(Cases& cases, const char* name, const OpDef& op,
                    const ConvTransposeAttributes<N>& a, const Shape& x, const Shape& w) {
  const Axes stride = spread(a.stride, 1), padding = before<N>(a.padding);
  cases.push_back(
      {name,
       {&op, Attributes::of(a)},
       {{"normal", x}, {"normal", w}},
       [=](const Tensors& in, Tensor& out) {
         const Axes from = axes_of(in[0].shape()), taps = axes_of(in[1].shape());
         const Axes to = axes_of(out.shape());
         const std::int64_t channels = in[1].dim(0), outputs = in[1].dim(1);
         const std::int64_t picture = to[0] * to[1] * to[2];
         const std::int64_t filter = taps[0] * taps[1] * taps[2];
         const float* v = in[0].data<float>();
         float* y = out.mutable_data<float>();
         std::fill_n(y, out.elements(), 0.0F);
         for (std::int64_t n = 0; n < out.dim(0); ++n)
           for (std::int64_t c = 0; c < channels; ++c)
             each_place(from, [&](const Axes& p) {
               const float value = *v++;
               for (std::int64_t o = 0; o < outputs; ++o)
                 each_place(taps, [&](const Axes& k) {
                   Axes q;
                   if (inside(p, k, stride, padding, to, q))
                     y[(n * outputs + o) * picture + place(q, to)] +=
                         value * in[1].data<float>()[(c * outputs + o) * filter + place(k, taps)];
                 });
             });
       }});
}

// Window o of one axis begins at first(o) and has count(o) elements, all of them inside.
template <class First, class Count> Loop windows(bool max, First first, Count count) {
  return [=](const Tensors& in, Tensor& out) {
    const Axes from = axes_of(in[0].shape()), to = axes_of(out.shape());
    const std::int64_t picture = from[0] * from[1] * from[2];
    float* y = out.mutable_data<float>();
    for (std::int64_t c = 0; c < out.dim(0) * out.dim(1); ++c) {
      const float* x = in[0].data<float>() + c * picture;
      each_place(to, [&](const Axes& o) {
        Axes taps;
        for (std::size_t a = 0; a < 3; ++a) taps[a] = count(o[a], from[a], to[a]);
        float best = -std::numeric_limits<float>::infinity(), sum = 0;
        each_place(taps, [&](const Axes& k) {
          Axes q;
          for (std::size_t a = 0; a < 3; ++a) q[a] = first(o[a], from[a], to[a]) + k[a];
          const float value = x[place(q, from)];
          best = std::max(best, value);
          sum += value;
        });
        *y++ = max ? best : sum / static_cast<float>(taps[0] * taps[1] * taps[2]);
      });
    }
  };
}
// Pairs along every axis that there is.
Loop halves(bool max) {
  return windows(
      max, [](std::int64_t o, std::int64_t in, std::int64_t) { return in == 1 ? 0 : 2 * o; },
      [](std::int64_t, std::int64_t in, std::int64_t) { return std::min<std::int64_t>(2, in); });
}
Loop adaptive(bool max) {
  return windows(
      max, [](std::int64_t o, std::int64_t in, std::int64_t out) { return o * in / out; },
      [](std::int64_t o, std::int64_t in, std::int64_t out) {
        return ((o + 1) * in + out - 1) / out - o * in / out;
      });
}

}  // namespace

void add_spatial_cases(Cases& cases) {
  add_convolution(cases, "conv1d", kConv1d, Conv1dAttributes{.padding = {1, 1}}, {8, 32, 512},
                  {32, 32, 3});
  add_convolution(cases, "conv1d, depthwise", kConv1d,
                  Conv1dAttributes{.padding = {1, 1}, .groups = 32}, {8, 32, 512}, {32, 1, 3});
  add_convolution(cases, "conv3d", kConv3d, Conv3dAttributes{.padding = {1, 1, 1, 1, 1, 1}},
                  {2, 16, 16, 16, 16}, {16, 16, 3, 3, 3});
  add_transposed(cases, "conv_transpose1d", kConvTranspose1d,
                 ConvTranspose1dAttributes{.stride = {2}, .padding = {1, 1}}, {8, 32, 512},
                 {32, 32, 4});
  add_transposed(cases, "conv_transpose2d", kConvTranspose2d,
                 ConvTranspose2dAttributes{.stride = {2, 2}, .padding = {1, 1, 1, 1}},
                 {8, 32, 20, 20}, {32, 16, 4, 4});
  add_transposed(cases, "conv_transpose3d", kConvTranspose3d,
                 ConvTranspose3dAttributes{.stride = {2, 2, 2}}, {2, 16, 16, 16, 16},
                 {16, 16, 2, 2, 2});
  const Shape line{16, 32, 256}, volume{4, 16, 16, 16, 16};
  cases.push_back({"max_pool1d",
                   {&kMaxPool1d, Attributes::of(Pool1dAttributes{})},
                   {{"normal", line}},
                   halves(true)});
  cases.push_back({"max_pool3d",
                   {&kMaxPool3d, Attributes::of(Pool3dAttributes{})},
                   {{"normal", volume}},
                   halves(true)});
  cases.push_back({"average_pool1d",
                   {&kAveragePool1d, Attributes::of(Pool1dAttributes{})},
                   {{"normal", line}},
                   halves(false)});
  cases.push_back({"average_pool3d",
                   {&kAveragePool3d, Attributes::of(Pool3dAttributes{})},
                   {{"normal", volume}},
                   halves(false)});
  const Attributes uneven = Attributes::of(AdaptivePoolAttributes{{7, 7}});
  cases.push_back({"adaptive_average_pool",
                   {&kAdaptiveAveragePool, uneven},
                   {{"normal", kImages}},
                   adaptive(false)});
  cases.push_back(
      {"adaptive_max_pool", {&kAdaptiveMaxPool, uneven}, {{"normal", kImages}}, adaptive(true)});
  const Attributes one = Attributes::of(AdaptivePoolAttributes{{1, 1}});
  cases.push_back(
      {"global max pool", {&kAdaptiveMaxPool, one}, {{"normal", kImages}}, adaptive(true)});
}

}  // namespace pare::bench
