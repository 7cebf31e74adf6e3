// observe_weight: the scales and zero points of a weight from its own values.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/quantize_math.h"
#include "core/strides.h"
#include "core/value_range.h"
#include "pare/core/ops/observers.h"

namespace pare {
namespace {

constexpr StatePair kState[] = {{2, 1}};
constexpr int kCandidates = 80;

int channel_axis(const Call& call, const Shape& shape) {
  const auto axis = call.attributes.as<ObserveWeightAttributes>().axis;
  return axis < 0 ? -1 : normalize_axis(axis, shape.rank(), "observe_weight");
}

/// A weight as [outer, channels, inner] in memory.
struct Channels {
  std::int64_t outer = 1, count = 1, inner = 1;
  Channels(const Tensor& w, int axis) : inner(w.elements()) {
    if (axis >= 0) {
      count = w.dim(axis);
      inner = axis == 0 ? w.elements() / std::max<std::int64_t>(count, 1)
                        : strides_of(w)[static_cast<std::size_t>(axis)];
    }
    outer = w.elements() / std::max<std::int64_t>(count * inner, 1);
  }
  template <class Visit> void for_each_run(const float* w, std::int64_t c, Visit&& visit) const {
    for (std::int64_t o = 0; o < outer; ++o) visit(w + (o * count + c) * inner, inner);
  }
};

// Eight sums side by side become vector code without changing their order.
PARE_INLINE double loss_body(const float* x, std::int64_t n, float scale, float low, float high) {
  constexpr std::int64_t kLanes = 8;
  double sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) {
      const double d = static_cast<double>(x[i + k] - fake_quantized(x[i + k], scale, low, high));
      sums[k] += d * d;
    }
  for (; i < n; ++i) {
    const double d = static_cast<double>(x[i] - fake_quantized(x[i], scale, low, high));
    sums[0] += d * d;
  }
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}
PARE_MULTIVERSION(double, loss,
                  (const float* x, std::int64_t n, float scale, float low, float high),
                  (x, n, scale, low, high))

ScaleAndZeroPoint parameters(const ValueRange& range, const ObserveWeightAttributes& a) {
  if (!a.symmetric) return affine_parameters(range.min, range.max, a.qmin, a.qmax, false);
  const float largest = std::max(std::fabs(range.min), std::fabs(range.max));
  return {scale_of_magnitude(largest, static_cast<float>(a.qmax - a.qmin) / 2), 0};
}

ScaleAndZeroPoint best_parameters(const float* w, const Channels& channels, std::int64_t c,
                                  const ValueRange& range, const ObserveWeightAttributes& a) {
  ScaleAndZeroPoint best = parameters(range, a);
  double least = std::numeric_limits<double>::infinity();
  for (int k = 0; k < kCandidates; ++k) {
    const float share = 1 - static_cast<float>(k) / 100;
    const ScaleAndZeroPoint p = parameters({range.min * share, range.max * share}, a);
    double sum = 0;
    channels.for_each_run(w, c, [&](const float* run, std::int64_t n) {
      sum += loss(run, n, p.scale, static_cast<float>(a.qmin - p.zero_point),
                  static_cast<float>(a.qmax - p.zero_point));
    });
    if (sum >= least) continue;
    least = sum;
    best = p;
  }
  return best;
}

void infer(InferArgs& args) {
  const auto& a = args.call.attributes.as<ObserveWeightAttributes>();
  PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "observe_weight", "expected f32, got {}",
             args.dtype(0));
  PARE_CHECK(a.qmin < a.qmax && codes_fit(a.qmin, a.qmax, 0), invalid_argument, "observe_weight",
             "expected qmin < qmax within ±2^22, got {} and {}", a.qmin, a.qmax);
  PARE_CHECK(!a.symmetric || a.qmin == -a.qmax || a.qmin == -a.qmax - 1, invalid_argument,
             "observe_weight", "expected codes around 0 for a symmetric range, got {} to {}",
             a.qmin, a.qmax);
  PARE_CHECK(a.averaging > 0 && a.averaging <= 1, invalid_argument, "observe_weight",
             "expected an averaging constant in (0, 1], got {}", a.averaging);
  const int axis = channel_axis(args.call, args.shape(0));
  Shape scales, range;
  if (axis >= 0) {
    scales.append(args.shape(0), axis);
    range.append(args.shape(0), axis);
  }
  range.append(2);
  PARE_CHECK(args.has(1) == (a.averaging < 1), invalid_argument, "observe_weight",
             "expected a range to follow exactly where averaging is below 1, got {} and {}",
             args.has(1) ? "one" : "none", a.averaging);
  args.output(0, scales, DType::f32);
  args.output(1, scales, DType::i32);
  if (!args.has(1)) return;
  PARE_CHECK(args.dtype(1) == DType::f32 && args.shape(1) == range, shape_mismatch,
             "observe_weight", "expected ranges f32 {}, got {} {}", range, args.dtype(1),
             args.shape(1));
  if (context().observing && !a.fixed) args.output(2, range, DType::f32);
}

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context&) {
  const auto& a = call.attributes.as<ObserveWeightAttributes>();
  const Tensor& w = inputs[0];
  value_range(w, "observe_weight");  // refuses what is not finite
  const Channels channels(w, channel_axis(call, w.shape()));
  const float* values = w.data<float>();
  const float* followed =
      inputs.size() > 1 && inputs[1].defined() ? inputs[1].data<float>() : nullptr;
  float* following = outputs[2].defined() ? outputs[2].mutable_data<float>() : nullptr;
  float* scales = outputs[0].mutable_data<float>();
  auto* zeros = outputs[1].mutable_data<std::int32_t>();
  parallel_for(0, channels.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      ValueRange range = empty_value_range();
      channels.for_each_run(
          values, c, [&](const float* run, std::int64_t n) { range.join(range_of(run, n)); });
      // Every rule holds 0, so that a value that is cut away counts as one that is 0.
      if (!range.empty()) range.join({0, 0});
      if (followed) {
        const ValueRange old{followed[2 * c], followed[2 * c + 1]};
        if (following) {
          range = moved_range(old, range, a.averaging);
          following[2 * c] = range.min;
          following[2 * c + 1] = range.max;
        } else if (!old.empty()) {
          range = old;
        }
      }
      if (range.empty()) range = {0, 0};  // no weights
      const ScaleAndZeroPoint p =
          a.least_squares ? best_parameters(values, channels, c, range, a) : parameters(range, a);
      scales[c] = p.scale;
      zeros[c] = p.zero_point;
    }
  });
}

}  // namespace

constinit const OpDef kObserveWeight = {
    .name = "observe_weight",
    .min_inputs = 1,
    .max_inputs = 2,
    .visible_outputs = 2,
    .state = kState,
    .format = FormatRule::keep,
    .infer = infer,
    .forward = forward,
    .defaults = [] { return Attributes::of(ObserveWeightAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       const Shape& shape = links.shape(in(0));
                       const int axis = channel_axis(call, shape);
                       if (axis >= 0) {
                         links.tie(in(0), axis, out(0), 0);
                         links.tie(in(0), axis, out(1), 0);
                         if (links.has(in(1))) links.tie(in(0), axis, in(1), 0);
                       }
                       // The other axes may be cut freely: a removed value counts as 0.
                       for (int a = 0; a < shape.rank(); ++a) links.tie(in(0), a, in(0), a);
                     }},
};

Tensors observe_weight(const Tensor& w, const Tensor& range,
                       const ObserveWeightAttributes& attributes) {
  Tensors inputs{w};
  if (range.defined()) inputs.push_back(range);
  return apply_all({&kObserveWeight, Attributes::of(attributes)}, inputs);
}

}  // namespace pare
