// Cases of quantization and observers.
#include <algorithm>
#include <cmath>

#include "ops/cases.h"

namespace pare::bench {
namespace {

float code_of(float x) { return std::clamp(std::nearbyint(x / 0.03125F) + 3, 0.0F, 255.0F); }

}  // namespace

void add_quantization_cases(Cases& cases) {
  const Input x{"normal", kMatrix}, scale{"const:0.03125"}, zero_point{"i32:3"};
  const Loop copy = each([](float v) { return v; });
  cases.push_back({"fake_quantize",
                   {&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{.qmin = 0, .qmax = 255})},
                   {x, scale, zero_point},
                   each([](float v) { return (code_of(v) - 3) * 0.03125F; })});
  cases.push_back(
      {"quantize_linear",
       {&kQuantizeLinear, Attributes::of(QuantizeAttributes{})},
       {x, scale, zero_point},
       each<std::uint8_t>([](float v) { return static_cast<std::uint8_t>(code_of(v)); }),
       {},
       {}});
  cases.push_back({"dequantize_linear",
                   {&kDequantizeLinear, Attributes::of(DequantizeAttributes{})},
                   {{"u8", kMatrix}, scale, zero_point},
                   each<float, std::uint8_t>([](std::uint8_t q) {
                     return static_cast<float>(static_cast<int>(q) - 3) * 0.03125F;
                   }),
                   {},
                   {}});
  const Attributes observe = Attributes::of(ObserveAttributes{});
  cases.push_back(
      {"observe_min_max", {&kObserveMinMax, observe}, {x, {"range", {2}}}, copy, {}, {}});
  cases.push_back({"observe_histogram",
                   {&kObserveHistogram, observe},
                   {x, {"counts", {2048}}, {"range", {2}}},
                   copy,
                   {},
                   {}});
  cases.push_back({"observe_fake_quantize",
                   {&kObserveFakeQuantize, observe},
                   {{"uniform", kMatrix}, {"range", {2}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* v = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     float least = 0, most = 0;
                     for (std::int64_t i = 0; i < 256 * 512; ++i) {
                       least = std::min(least, v[i]);
                       most = std::max(most, v[i]);
                     }
                     const float step = (most - least) / 255;
                     for (std::int64_t i = 0; i < 256 * 512; ++i)
                       y[i] = std::clamp(std::nearbyint(v[i] / step), 0.0F, 255.0F) * step;
                   }});
  cases.push_back({"symmetric_scale",
                   {&kSymmetricScale, Attributes::of(SymmetricScaleAttributes{})},
                   {x},
                   rows([](const float* w, std::int64_t n) {
                     float most = 0;
                     for (std::int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(w[i]));
                     return most / 127;
                   }),
                   {},
                   {}});
}

}  // namespace pare::bench
