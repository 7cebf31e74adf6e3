// Cases of losses.
#include <cmath>

#include "ops/cases.h"

namespace pare::bench {
namespace {

const Shape kLogits{2048, 100};

// The mean of f(input, target).
template <class F>
void mean_of(Cases& cases, const OpDef& op, const char* input, const char* target, F f) {
  cases.push_back({op.name,
                   {&op, op.defaults()},
                   {{input, kMatrix}, {target, kMatrix}},
                   [f](const Tensors& in, Tensor& out) {
                     const float* a = in[0].data<float>();
                     const float* b = in[1].data<float>();
                     double sum = 0;
                     const std::int64_t n = in[0].elements();
                     for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(f(a[i], b[i]));
                     *out.mutable_data<float>() = static_cast<float>(sum / static_cast<double>(n));
                   },
                   {},
                   {0}});
}

}  // namespace

void add_loss_cases(Cases& cases) {
  cases.push_back({"cross_entropy",
                   {&kCrossEntropy, kCrossEntropy.defaults()},
                   {{"normal", kLogits}, {"labels:100", {2048}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const std::int64_t* label = in[1].data<std::int64_t>();
                     double total = 0;
                     for (std::int64_t r = 0; r < 2048; ++r) {
                       const float* row = x + r * 100;
                       float most = row[0], sum = 0;
                       for (std::int64_t c = 1; c < 100; ++c) most = row[c] > most ? row[c] : most;
                       for (std::int64_t c = 0; c < 100; ++c) sum += std::exp(row[c] - most);
                       total += static_cast<double>(std::log(sum) + most - row[label[r]]);
                     }
                     *out.mutable_data<float>() = static_cast<float>(total / 2048);
                   }});
  cases.push_back({"nll",
                   {&kNll, kNll.defaults()},
                   {{"normal", kLogits}, {"labels:100", {2048}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const std::int64_t* label = in[1].data<std::int64_t>();
                     double total = 0;
                     for (std::int64_t r = 0; r < 2048; ++r)
                       total -= static_cast<double>(x[r * 100 + label[r]]);
                     *out.mutable_data<float>() = static_cast<float>(total / 2048);
                   }});
  cases.push_back({"kl_div",
                   {&kKlDiv, kKlDiv.defaults()},
                   {{"normal", kMatrix}, {"uniform", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     const float* a = in[0].data<float>();
                     const float* b = in[1].data<float>();
                     double sum = 0;
                     for (std::int64_t i = 0; i < 256 * 512; ++i)
                       sum += b[i] > 0 ? static_cast<double>(b[i] * (std::log(b[i]) - a[i])) : 0;
                     *out.mutable_data<float>() = static_cast<float>(sum / 256);
                   },
                   {},
                   {0}});
  mean_of(cases, kMse, "normal", "normal", [](float a, float b) { return (a - b) * (a - b); });
  mean_of(cases, kSmoothL1, "normal", "normal", [](float a, float b) {
    const float d = std::fabs(a - b);
    return d < 1 ? 0.5F * d * d : d - 0.5F;
  });
  mean_of(cases, kHingeEmbedding, "normal", "sign", [](float a, float b) {
    return b > 0 ? a : a < 1 ? 1 - a : 0.0F;
  });
  mean_of(cases, kBce, "uniform", "uniform", [](float a, float b) {
    return -b * std::fmax(std::log(a), -100.0F) - (1 - b) * std::fmax(std::log(1 - a), -100.0F);
  });
  mean_of(cases, kBceWithLogits, "normal", "uniform", [](float a, float b) {
    return (1 - b) * a + std::log1p(std::exp(-std::fabs(a))) + (a < 0 ? -a : 0);
  });
}

}  // namespace pare::bench
