// Cases of pooling, normalization and dropout.
#include <algorithm>
#include <cmath>

#include "ops/cases.h"

namespace pare::bench {
namespace {

// Windows of 2 by 2 over 32 by 32 pictures.
template <class F> Loop windows(F f) {
  return [f](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    for (std::int64_t p = 0, n = out.elements() / 256; p < n; ++p)
      for (std::int64_t h = 0; h < 16; ++h)
        for (std::int64_t w = 0; w < 16; ++w) {
          const float* a = x + p * 1024 + h * 64 + w * 2;
          *y++ = f(a[0], a[1], a[32], a[33]);
        }
  };
}

}  // namespace

void add_layer_cases(Cases& cases) {
  const Attributes pool = Attributes::of(Pool2dAttributes{});
  cases.push_back({"max_pool2d",
                   {&kMaxPool2d, pool},
                   {{"normal", kImages}},
                   windows([](float a, float b, float c, float d) {
                     return std::max(std::max(a, b), std::max(c, d));
                   })});
  cases.push_back(
      {"average_pool2d",
       {&kAveragePool2d, pool},
       {{"normal", kImages}},
       windows([](float a, float b, float c, float d) { return (a + b + c + d) / 4; })});
  cases.push_back({"global_average_pool",
                   {&kGlobalAveragePool, {}},
                   {{"normal", kImages}},
                   rows([](const float* x, std::int64_t n) {
                     float sum = 0;
                     for (std::int64_t i = 0; i < n; ++i) sum += x[i];
                     return sum / static_cast<float>(n);
                   })});
  const std::vector<Input> norm_inputs = {
      {"normal", kImages}, {"uniform", {32}}, {"normal", {32}}, {"zeros", {32}}, {"ones", {32}}};
  cases.push_back({"batch_norm",
                   {&kBatchNorm, Attributes::of(BatchNormAttributes{})},
                   norm_inputs,
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const float* w = in[1].data<float>();
                     const float* b = in[2].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t c = 0; c < 32; ++c) {
                       float sum = 0, squares = 0;
                       for (std::int64_t n = 0; n < 8; ++n)
                         for (std::int64_t p = 0; p < 1024; ++p) sum += x[(n * 32 + c) * 1024 + p];
                       const float mean = sum / 8192;
                       for (std::int64_t n = 0; n < 8; ++n)
                         for (std::int64_t p = 0; p < 1024; ++p) {
                           const float d = x[(n * 32 + c) * 1024 + p] - mean;
                           squares += d * d;
                         }
                       const float scale = w[c] / std::sqrt(squares / 8192 + 1e-5F);
                       for (std::int64_t n = 0; n < 8; ++n)
                         for (std::int64_t p = 0; p < 1024; ++p) {
                           const std::int64_t i = (n * 32 + c) * 1024 + p;
                           y[i] = (x[i] - mean) * scale + b[c];
                         }
                     }
                   },
                   {},
                   {0, 1, 2},
                   true});
  cases.push_back({"batch_norm, inference",
                   {&kBatchNorm, Attributes::of(BatchNormAttributes{})},
                   norm_inputs,
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const float* w = in[1].data<float>();
                     const float* b = in[2].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < 8 * 32 * 1024; ++i) {
                       const std::int64_t c = i / 1024 % 32;
                       y[i] = x[i] / std::sqrt(1 + 1e-5F) * w[c] + b[c];
                     }
                   },
                   {},
                   {}});
  // The generator of the case is as new at every call.
  cases.push_back({"dropout",
                   {&kDropout, Attributes::of(DropoutAttributes{})},
                   {{"normal", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     Generator generator(1);
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = generator.uniform() < 0.5F ? 0 : 2 * x[i];
                   },
                   {},
                   {-1},
                   true});
}

}  // namespace pare::bench
