// Cases of matrix products and convolutions.
#include "ops/cases.h"

namespace pare::bench {
namespace {

struct Filter {
  std::int64_t in, out, size, groups;  // of channels; height and width alike
};

// x [N, in, H, W] * w [out, in / groups, size, size], padded by half the size.
Loop convolution(Filter f) {
  return [f](const Tensors& inputs, Tensor& out) {
    const float* x = inputs[0].data<float>();
    const float* w = inputs[1].data<float>();
    float* y = out.mutable_data<float>();
    const std::int64_t height = out.dim(2), width = out.dim(3), half = f.size / 2;
    const std::int64_t in_group = f.in / f.groups, out_group = f.out / f.groups;
    for (std::int64_t n = 0; n < out.dim(0); ++n)
      for (std::int64_t o = 0; o < f.out; ++o)
        for (std::int64_t h = 0; h < height; ++h)
          for (std::int64_t v = 0; v < width; ++v) {
            float sum = 0;
            for (std::int64_t c = 0; c < in_group; ++c)
              for (std::int64_t i = 0; i < f.size; ++i)
                for (std::int64_t j = 0; j < f.size; ++j) {
                  const std::int64_t a = h + i - half, b = v + j - half;
                  if (a < 0 || a >= height || b < 0 || b >= width) continue;
                  const std::int64_t channel = n * f.in + o / out_group * in_group + c;
                  sum += x[(channel * height + a) * width + b] *
                         w[((o * in_group + c) * f.size + i) * f.size + j];
                }
            *y++ = sum;
          }
  };
}

Call conv2d_call(Filter f) {
  const std::int64_t half = f.size / 2;
  return {&kConv2d, Attributes::of(
                        Conv2dAttributes{.padding = {half, half, half, half}, .groups = f.groups})};
}

void add_conv2d(Cases& cases, const char* name, Filter f) {
  cases.push_back(
      {name,
       conv2d_call(f),
       {{"normal", {4, f.in, 32, 32}}, {"normal", {f.out, f.in / f.groups, f.size, f.size}}},
       convolution(f)});
}

// a [batch, m, k] · b [batch, k, n]
Loop product(std::int64_t batch, std::int64_t m, std::int64_t k, std::int64_t n) {
  return [=](const Tensors& in, Tensor& out) {
    const float* a = in[0].data<float>();
    const float* b = in[1].data<float>();
    float* y = out.mutable_data<float>();
    for (std::int64_t s = 0; s < batch; ++s)
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
          float sum = 0;
          for (std::int64_t l = 0; l < k; ++l)
            sum += a[(s * m + i) * k + l] * b[(s * k + l) * n + j];
          *y++ = sum;
        }
  };
}

}  // namespace

void add_contraction_cases(Cases& cases) {
  cases.push_back({"matmul",
                   {&kMatmul, {}},
                   {{"normal", {384, 384}}, {"normal", {384, 384}}},
                   product(1, 384, 384, 384)});
  cases.push_back({"matmul, batch",
                   {&kMatmul, {}},
                   {{"normal", {32, 64, 64}}, {"normal", {32, 64, 64}}},
                   product(32, 64, 64, 64)});
  cases.push_back({"linear",
                   {&kLinear, {}},
                   {{"normal", {256, 512}}, {"normal", {512, 512}}, {"normal", {512}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const float* w = in[1].data<float>();
                     const float* b = in[2].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < 256; ++i)
                       for (std::int64_t j = 0; j < 512; ++j) {
                         float sum = b[j];
                         for (std::int64_t l = 0; l < 512; ++l)
                           sum += x[i * 512 + l] * w[j * 512 + l];
                         *y++ = sum;
                       }
                   }});
  add_conv2d(cases, "conv2d", {32, 32, 3, 1});
  add_conv2d(cases, "conv2d, pointwise", {32, 64, 1, 1});
  add_conv2d(cases, "conv2d, depthwise", {32, 32, 3, 32});
}

}  // namespace pare::bench
