// Cases of the normalizations of each sample by itself, and of attention.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cases.h"

namespace pare::bench {
namespace {

// Runs of `length` elements, normalized each; element i of the tensor has parameters [channel(i)].
template <class Channel> Loop normalized(std::int64_t length, bool centred, Channel channel) {
  return [=](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    const float* weight = in[1].data<float>();
    const float* bias = centred ? in[2].data<float>() : nullptr;
    float* y = out.mutable_data<float>();
    for (std::int64_t first = 0; first < out.elements(); first += length) {
      float sum = 0, squares = 0;
      for (std::int64_t i = first; i < first + length; ++i) sum += x[i];
      const float mean = centred ? sum / static_cast<float>(length) : 0;
      for (std::int64_t i = first; i < first + length; ++i)
        squares += (x[i] - mean) * (x[i] - mean);
      const float scale = 1 / std::sqrt(squares / static_cast<float>(length) + 1e-5F);
      for (std::int64_t i = first; i < first + length; ++i) {
        const std::int64_t c = channel(i);
        y[i] = (x[i] - mean) * scale * weight[c] + (bias ? bias[c] : 0);
      }
    }
  };
}

constexpr std::int64_t kHeads = 32, kLength = 64, kWidth = 64;  // heads of all samples

void attend(const Tensors& in, Tensor& out) {
  const float* q = in[0].data<float>();
  const float* k = in[1].data<float>();
  const float* v = in[2].data<float>();
  float* y = out.mutable_data<float>();
  std::vector<float> weights(at(kLength));
  for (std::int64_t h = 0; h < kHeads; ++h)
    for (std::int64_t i = 0; i < kLength; ++i) {
      const float* query = q + (h * kLength + i) * kWidth;
      float total = 0;
      for (std::int64_t j = 0; j < kLength; ++j) {
        float product = 0;
        for (std::int64_t e = 0; e < kWidth; ++e)
          product += query[e] * k[(h * kLength + j) * kWidth + e];
        weights[at(j)] = std::exp(product / 8);
        total += weights[at(j)];
      }
      for (std::int64_t e = 0; e < kWidth; ++e) {
        float sum = 0;
        for (std::int64_t j = 0; j < kLength; ++j)
          sum += weights[at(j)] * v[(h * kLength + j) * kWidth + e];
        *y++ = sum / total;
      }
    }
}

}  // namespace

void add_feature_norm_cases(Cases& cases) {
  const Shape tokens{512, 256};
  const Input x{"normal", tokens}, weight{"uniform", {256}}, bias{"normal", {256}};
  const auto last = [](std::int64_t i) { return i % 256; };
  const auto channel = [](std::int64_t i) { return i / 1024 % 32; };
  cases.push_back({"layer_norm",
                   {&kLayerNorm, Attributes::of(LayerNormAttributes{})},
                   {x, weight, bias},
                   normalized(256, true, last)});
  cases.push_back({"rms_norm",
                   {&kRmsNorm, Attributes::of(RmsNormAttributes{.epsilon = 1e-5})},
                   {x, weight},
                   normalized(256, false, last)});
  const Input images{"normal", kImages}, scale{"uniform", {32}}, shift{"normal", {32}};
  cases.push_back({"group_norm",
                   {&kGroupNorm, Attributes::of(GroupNormAttributes{.groups = 8})},
                   {images, scale, shift},
                   normalized(4096, true, channel)});
  cases.push_back({"instance_norm",
                   {&kInstanceNorm, Attributes::of(InstanceNormAttributes{})},
                   {images, scale, shift},
                   normalized(1024, true, channel)});
  cases.push_back({"local_response_norm",
                   {&kLocalResponseNorm, Attributes::of(LocalResponseNormAttributes{})},
                   {images},
                   [](const Tensors& in, Tensor& out) {
                     const float* from = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < out.elements(); ++i) {
                       const std::int64_t c = i / 1024 % 32;
                       float sum = 0;
                       for (std::int64_t d = -2; d <= 2; ++d)
                         if (c + d >= 0 && c + d < 32)
                           sum += from[i + d * 1024] * from[i + d * 1024];
                       y[i] = from[i] / std::pow(1 + 1e-4F * sum / 5, 0.75F);
                     }
                   }});
  const Input heads{"normal", {4, 8, kLength, kWidth}};
  cases.push_back({"scaled_dot_product_attention",
                   {&kScaledDotProductAttention, Attributes::of(AttentionAttributes{})},
                   {heads, heads, heads},
                   attend});
}

}  // namespace pare::bench
