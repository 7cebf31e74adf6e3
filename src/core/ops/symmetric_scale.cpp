// symmetric_scale: the scales of a weight from its own values, per channel.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/strides.h"
#include "pare/core/ops/observe.h"

namespace pare {
namespace {

// Largest magnitude, as ordered bits: integer maxima vectorize, and NaN lies above infinity.
PARE_INLINE std::int32_t largest_body(const float* x, std::int64_t n) {
  std::int32_t best = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, x[i]) & 0x7fffffff;
    best = bits > best ? bits : best;
  }
  return best;
}
PARE_MULTIVERSION(std::int32_t, largest, (const float* x, std::int64_t n), (x, n))

// x seen as [outer, channels, inner].
void largest_per_channel(const float* x, std::int64_t outer, std::int64_t channels,
                         std::int64_t inner, std::int32_t* best) {
  std::fill_n(best, channels, 0);
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t c = 0; c < channels; ++c)
      best[c] = std::max(best[c], largest(x + (o * channels + c) * inner, inner));
}

int channel_axis(const Call& call, const Shape& shape) {
  const auto axis = call.attributes.as<SymmetricScaleAttributes>().axis;
  return axis < 0 ? -1 : normalize_axis(axis, shape.rank(), "symmetric_scale");
}

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context&) {
  const Tensor& w = inputs[0];
  const int axis = channel_axis(call, w.shape());
  std::int64_t channels = 1, inner = w.elements();
  if (axis >= 0) {
    channels = w.dim(axis);
    inner = axis == 0 ? w.elements() / std::max<std::int64_t>(channels, 1)
                      : strides_of(w)[static_cast<std::size_t>(axis)];
  }
  const std::int64_t outer = w.elements() / std::max<std::int64_t>(channels * inner, 1);
  std::vector<std::int32_t> best(static_cast<std::size_t>(channels));
  largest_per_channel(w.data<float>(), outer, channels, inner, best.data());
  float* scales = outputs[0].mutable_data<float>();
  const std::int64_t qmax = call.attributes.as<SymmetricScaleAttributes>().qmax;
  for (std::int64_t c = 0; c < channels; ++c) {
    const float value = __builtin_bit_cast(float, best[static_cast<std::size_t>(c)]);
    PARE_CHECK(std::isfinite(value), invalid_argument, "symmetric_scale",
               "expected finite values, got {} in channel {}", value, c);
    scales[c] = symmetric_scale(value, qmax);
  }
}

}  // namespace

constinit const OpDef kSymmetricScale = {
    .name = "symmetric_scale",
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "symmetric_scale",
                     "expected f32, got {}", args.dtype(0));
          PARE_CHECK(args.call.attributes.as<SymmetricScaleAttributes>().qmax > 0, invalid_argument,
                     "symmetric_scale", "expected a positive qmax, got {}",
                     args.call.attributes.as<SymmetricScaleAttributes>().qmax);
          const int axis = channel_axis(args.call, args.shape(0));
          Shape scales;
          if (axis >= 0) scales.append(args.shape(0), axis);
          args.output(0, scales, DType::f32);
        },
    .forward = forward,
    .defaults = [] { return Attributes::of(SymmetricScaleAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       const Shape& shape = links.shape(in(0));
                       const int axis = channel_axis(call, shape);
                       if (axis >= 0) links.tie(in(0), axis, out(0), 0);
                       // The other axes may be cut freely: a removed value counts as 0.
                       for (int a = 0; a < shape.rank(); ++a) links.tie(in(0), a, in(0), a);
                     }},
};

Tensor symmetric_scale(const Tensor& w, const SymmetricScaleAttributes& attributes) {
  return apply({&kSymmetricScale, Attributes::of(attributes)}, detail::Borrowed(w));
}

}  // namespace pare
