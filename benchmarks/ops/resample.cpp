// Cases of ops between resolutions: resize, depth and space, unfold and fold.
#include <algorithm>
#include <cmath>

#include "ops/cases.h"

namespace pare::bench {
namespace {

/// Pictures of 32 by 32 to `size` by `size`, all taps of both axes at once.
Loop resized(std::int64_t size, int taps, double (*filter)(double)) {
  return [=](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    const double step = 32.0 / static_cast<double>(size);
    for (std::int64_t p = 0; p < 256; ++p)
      for (std::int64_t h = 0; h < size; ++h)
        for (std::int64_t w = 0; w < size; ++w) {
          const double v = (static_cast<double>(h) + 0.5) * step - 0.5;
          const double u = (static_cast<double>(w) + 0.5) * step - 0.5;
          const auto top = static_cast<std::int64_t>(std::floor(v)) - taps / 2 + 1;
          const auto left = static_cast<std::int64_t>(std::floor(u)) - taps / 2 + 1;
          double sum = 0;
          for (std::int64_t i = top; i < top + taps; ++i)
            for (std::int64_t j = left; j < left + taps; ++j)
              sum += filter(static_cast<double>(i) - v) * filter(static_cast<double>(j) - u) *
                     static_cast<double>(x[p * 1024 + std::clamp<std::int64_t>(i, 0, 31) * 32 +
                                           std::clamp<std::int64_t>(j, 0, 31)]);
          *y++ = static_cast<float>(sum);
        }
  };
}
double line(double d) { return std::max(0.0, 1 - std::abs(d)); }
double cubic(double d) {
  d = std::abs(d);
  if (d <= 1) return (1.25 * d - 2.25) * d * d + 1;
  return d < 2 ? ((-0.75 * d + 3.75) * d - 6) * d + 3 : 0;
}

/// visit(element of the columns, element of the picture) for kernels of 3 by 3 with padding 1.
template <class Visit> void each_tap(Visit visit) {
  std::int64_t column = 0;
  for (std::int64_t p = 0; p < 256; ++p)
    for (std::int64_t ky = -1; ky <= 1; ++ky)
      for (std::int64_t kx = -1; kx <= 1; ++kx)
        for (std::int64_t h = 0; h < 32; ++h)
          for (std::int64_t w = 0; w < 32; ++w, ++column) {
            const bool inside = h + ky >= 0 && h + ky < 32 && w + kx >= 0 && w + kx < 32;
            visit(column, inside ? p * 1024 + (h + ky) * 32 + w + kx : -1);
          }
}

}  // namespace

void add_resample_cases(Cases& cases) {
  const auto resize = [](const char* mode, std::int64_t size) {
    return Call{&kResize,
                Attributes::of(ResizeAttributes{.mode = mode, .sizes = {-1, -1, size, size}})};
  };
  cases.push_back(
      {"resize, linear", resize("linear", 64), {{"normal", kImages}}, resized(64, 2, line)});
  cases.push_back({"resize, linear, smaller",
                   resize("linear", 23),
                   {{"normal", kImages}},
                   resized(23, 2, line)});
  cases.push_back(
      {"resize, cubic", resize("cubic", 64), {{"normal", kImages}}, resized(64, 4, cubic)});
  cases.push_back({"resize, nearest",
                   resize("nearest", 64),
                   {{"normal", kImages}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t p = 0; p < 256; ++p)
                       for (std::int64_t h = 0; h < 64; ++h)
                         for (std::int64_t w = 0; w < 64; ++w)
                           *y++ = x[p * 1024 + h / 2 * 32 + w / 2];
                   }});
  const auto blocks = Attributes::of(DepthSpaceAttributes{.block = 2, .order = "CRD"});
  cases.push_back({"depth_to_space",
                   {&kDepthToSpace, blocks},
                   {{"normal", {8, 32, 32, 32}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t c = 0; c < 64; ++c)
                       for (std::int64_t h = 0; h < 64; ++h)
                         for (std::int64_t w = 0; w < 64; ++w)
                           *y++ = x[(c * 4 + h % 2 * 2 + w % 2) * 1024 + h / 2 * 32 + w / 2];
                   }});
  cases.push_back({"space_to_depth",
                   {&kSpaceToDepth, blocks},
                   {{"normal", {8, 8, 64, 64}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t c = 0; c < 256; ++c)
                       for (std::int64_t h = 0; h < 32; ++h)
                         for (std::int64_t w = 0; w < 32; ++w)
                           *y++ = x[(c / 4 * 64 + h * 2 + c / 2 % 2) * 64 + w * 2 + c % 2];
                   }});
  cases.push_back(
      {"unfold",
       {&kUnfold, Attributes::of(UnfoldAttributes{.kernel = {3, 3}, .padding = {1, 1}})},
       {{"normal", kImages}},
       [](const Tensors& in, Tensor& out) {
         const float* x = in[0].data<float>();
         float* y = out.mutable_data<float>();
         each_tap([&](std::int64_t to, std::int64_t from) { y[to] = from < 0 ? 0 : x[from]; });
       }});
  cases.push_back({"fold",
                   {&kFold, Attributes::of(FoldAttributes{
                                .output = {32, 32}, .kernel = {3, 3}, .padding = {1, 1}})},
                   {{"normal", {8, 288, 1024}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     std::fill_n(y, out.elements(), 0.0F);
                     each_tap([&](std::int64_t from, std::int64_t to) {
                       if (to >= 0) y[to] += x[from];
                     });
                   }});
}

}  // namespace pare::bench
