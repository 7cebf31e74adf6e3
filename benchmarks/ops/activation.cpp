// Cases of activations.
#include <cmath>

#include "ops/cases.h"

namespace pare::bench {
namespace {

template <class F, class D>
void activation(Cases& cases, const std::string& name, const Call& call, F f, D derivative) {
  cases.push_back(
      {name, call, {{"normal", kMatrix}}, each(f), [derivative](const Tensors& in, Tensor& out) {
         const float* g = in[0].data<float>();
         const float* x = in[1].data<float>();
         float* y = out.mutable_data<float>();
         for (std::int64_t i = 0, n = out.elements(); i < n; ++i) y[i] = g[i] * derivative(x[i]);
       }});
}
template <class F, class D> void activation(Cases& cases, const OpDef& op, F f, D derivative) {
  activation(cases, op.name, {&op, op.defaults ? op.defaults() : Attributes{}}, f, derivative);
}

float sigmoid_of(float x) { return 1 / (1 + std::exp(-x)); }
float step(float x) { return x > 0 ? 1.0F : 0.0F; }
constexpr float kSeluScale = 1.05070098F, kSeluAlpha = 1.67326324F;

}  // namespace

void add_activation_cases(Cases& cases) {
  activation(
      cases, kRelu, [](float x) { return x > 0 ? x : 0.0F; }, step);
  activation(
      cases, kRelu6, [](float x) { return x < 0   ? 0.0F
                                          : x > 6 ? 6.0F
                                                  : x; },
      [](float x) { return x > 0 && x < 6 ? 1.0F : 0.0F; });
  activation(cases, kSigmoid, sigmoid_of,
             [](float x) { return sigmoid_of(x) * (1 - sigmoid_of(x)); });
  activation(
      cases, kTanh, [](float x) { return std::tanh(x); },
      [](float x) { return 1 - std::tanh(x) * std::tanh(x); });
  activation(
      cases, kLeakyRelu, [](float x) { return x > 0 ? x : 0.01F * x; },
      [](float x) { return x > 0 ? 1.0F : 0.01F; });
  activation(
      cases, kElu, [](float x) { return x > 0 ? x : std::expm1(x); },
      [](float x) { return x > 0 ? 1.0F : std::exp(x); });
  activation(
      cases, kSelu, [](float x) { return kSeluScale * (x > 0 ? x : kSeluAlpha * std::expm1(x)); },
      [](float x) { return kSeluScale * (x > 0 ? 1.0F : kSeluAlpha * std::exp(x)); });
  activation(
      cases, kCelu, [](float x) { return x > 0 ? x : std::expm1(x); },
      [](float x) { return x > 0 ? 1.0F : std::exp(x); });
  activation(
      cases, kHardsigmoid, [](float x) { return x <= -3  ? 0.0F
                                                : x >= 3 ? 1.0F
                                                         : (x + 3) / 6; },
      [](float x) { return x > -3 && x < 3 ? 1 / 6.0F : 0.0F; });
  activation(
      cases, kHardswish, [](float x) { return x <= -3  ? 0.0F
                                              : x >= 3 ? x
                                                       : x * (x + 3) / 6; },
      [](float x) { return x <= -3  ? 0.0F
                           : x >= 3 ? 1.0F
                                    : (2 * x + 3) / 6; });
  activation(
      cases, kHardtanh, [](float x) { return x < -1  ? -1.0F
                                             : x > 1 ? 1.0F
                                                     : x; },
      [](float x) { return x > -1 && x < 1 ? 1.0F : 0.0F; });
  activation(
      cases, kSoftplus, [](float x) { return x > 20 ? x : std::log1p(std::exp(x)); }, sigmoid_of);
  activation(
      cases, kSoftsign, [](float x) { return x / (1 + std::fabs(x)); },
      [](float x) { return 1 / ((1 + std::fabs(x)) * (1 + std::fabs(x))); });
  activation(
      cases, kGelu, [](float x) { return 0.5F * x * (1 + std::erf(x * 0.707106781F)); },
      [](float x) {
        return 0.5F * (1 + std::erf(x * 0.707106781F)) + x * 0.398942280F * std::exp(-0.5F * x * x);
      });
  activation(
      cases, "gelu, tanh", {&kGelu, Attributes::of(GeluAttributes{.approximate = "tanh"})},
      [](float x) {
        return 0.5F * x * (1 + std::tanh(0.797884561F * (x + 0.044715F * x * x * x)));
      },
      [](float x) {
        const float t = std::tanh(0.797884561F * (x + 0.044715F * x * x * x));
        return 0.5F * (1 + t) + 0.5F * x * (1 - t * t) * 0.797884561F * (1 + 3 * 0.044715F * x * x);
      });
  activation(
      cases, kSilu, [](float x) { return x * sigmoid_of(x); },
      [](float x) { return sigmoid_of(x) * (1 + x * (1 - sigmoid_of(x))); });
  activation(
      cases, kMish, [](float x) { return x * std::tanh(std::log1p(std::exp(x))); },
      [](float x) {
        const float t = std::tanh(std::log1p(std::exp(x)));
        return t + x * (1 - t * t) * sigmoid_of(x);
      });
  activation(
      cases, kLogSigmoid, [](float x) { return -std::log1p(std::exp(-x)); },
      [](float x) { return 1 - sigmoid_of(x); });
  cases.push_back({"prelu",
                   {&kPrelu, {}},
                   {{"normal", kImages}, {"uniform", {32, 1, 1}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const float* w = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = x[i] > 0 ? x[i] : w[i / 1024 % 32] * x[i];
                   }});
}

}  // namespace pare::bench
