// observe_fake_quantize: follows an activation's range and quantizes by it, in one op for training.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/observing.h"
#include "core/quantize_math.h"
#include "core/value_range.h"
#include "pare/core/ops/observers.h"

namespace pare {
namespace {

constexpr StatePair kState[] = {{2, 1}};
constexpr std::int64_t kGrain = 1 << 15;

// The hidden output: what backward needs to know of the forward call.
struct Passing {
  float lowest, highest;  // the values that are not clipped (by relu either)
  float all;              // 1 if that was every value
};
constexpr std::int64_t kPassing = 3;

PARE_INLINE void quantize_body(const float* x, float* y, std::int64_t n, float scale, float low,
                               float high) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = fake_quantized(x[i], scale, low, high);
}
PARE_MULTIVERSION(void, quantize,
                  (const float* x, float* y, std::int64_t n, float scale, float low, float high),
                  (x, y, n, scale, low, high))

PARE_INLINE void rectify_body(const float* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] < 0.0F ? 0.0F : x[i];
}
PARE_MULTIVERSION(void, rectify, (const float* x, float* y, std::int64_t n), (x, y, n))

PARE_INLINE void mask_body(const float* x, const float* dy, float* dx, std::int64_t n, float low,
                           float high) {
  for (std::int64_t i = 0; i < n; ++i) dx[i] = x[i] >= low && x[i] <= high ? dy[i] : 0.0F;
}
PARE_MULTIVERSION(void, mask,
                  (const float* x, const float* dy, float* dx, std::int64_t n, float low,
                   float high),
                  (x, dy, dx, n, low, high))

// The outermost value whose unclamped code is still within [low, high], searched from `at`, which
// is a few roundings away.
float last_passing(float at, float outwards, float scale, float low, float high) {
  const auto passes = [&](float v) {
    const float code = std::nearbyint(v / scale);
    return code >= low && code <= high;
  };
  while (!passes(at)) at = std::nextafter(at, -outwards);
  for (float next = std::nextafter(at, outwards); std::isfinite(next) && passes(next);
       next = std::nextafter(at, outwards))
    at = next;
  return at;
}

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context&) {
  const auto& a = call.attributes.as<ObserveAttributes>();
  const Tensor& x = inputs[0];
  ValueRange range = read_range(inputs[1]);
  ValueRange seen = empty_value_range();
  if (outputs[2].defined()) {
    seen = value_range(x, "observe_fake_quantize");
    if (a.relu && !seen.empty()) seen = {std::max(seen.min, 0.0F), std::max(seen.max, 0.0F)};
    range = moved_range(range, seen, a.averaging);
    write_range(outputs[2], range);
  }
  for (std::size_t i = 2; i < inputs.size(); ++i) range.join(read_range(inputs[i]));

  constexpr float kAny = std::numeric_limits<float>::infinity();
  constexpr float kPositive = std::numeric_limits<float>::denorm_min();
  auto* passing = reinterpret_cast<Passing*>(outputs[1].mutable_data<float>());
  const float* from = x.data<float>();
  float* to = outputs[0].mutable_data<float>();
  if (range.empty()) {
    parallel_for(0, x.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      if (a.relu)
        rectify(from + begin, to + begin, end - begin);
      else
        std::copy(from + begin, from + end, to + begin);
    });
    *passing = {a.relu ? kPositive : -kAny, kAny, a.relu ? 0.0F : 1.0F};
    return;
  }
  const ScaleAndZeroPoint p = affine_parameters(range.min, range.max, codes_of(a));
  const auto first = static_cast<float>(a.qmin - p.zero_point);
  const auto high = static_cast<float>(a.qmax - p.zero_point);
  // The code of relu(x) is the code of x, but at least that of 0.
  const float low = a.relu ? std::max(first, 0.0F) : first;
  const float lowest =
      a.relu ? kPositive : last_passing((low - 0.5F) * p.scale, -kAny, p.scale, low, high);
  const float highest = last_passing((high + 0.5F) * p.scale, kAny, p.scale, low, high);
  const bool all = !seen.empty() && seen.min >= lowest && seen.max <= highest;
  *passing = {lowest, highest, all ? 1.0F : 0.0F};
  parallel_for(0, x.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    quantize(from + begin, to + begin, end - begin, p.scale, low, high);
  });
}

void backward(BackwardArgs& args) {
  const auto& passing = *reinterpret_cast<const Passing*>(args.output(1).data<float>());
  const Tensor& given = args.grad_output(0);
  if (passing.all == 1) {
    args.set(0, given);
    return;
  }
  const Tensor& x = args.input(0);
  const Tensor gradient = given.to(x.format());
  Tensor result = Tensor::empty(x.shape(), DType::f32, x.format());
  const float* from = gradient.data<float>();
  const float* values = x.data<float>();
  float* to = result.mutable_data<float>();
  parallel_for(0, x.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    mask(values + begin, from + begin, to + begin, end - begin, passing.lowest, passing.highest);
  });
  args.set(0, std::move(result));
}

}  // namespace

constinit const OpDef kObserveFakeQuantize = {
    .name = "observe_fake_quantize",
    .min_inputs = 2,
    .max_inputs = -1,
    .hidden_outputs = 1,
    .state = kState,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "observe_fake_quantize",
                     "expected f32, got {}", args.dtype(0));
          for (int i = 1; i < args.inputs(); ++i) check_range_input(args, i);
          args.output(0, args.shape(0), DType::f32);
          args.output(1, Shape{kPassing}, DType::f32);
          if (context().observing && !args.call.attributes.as<ObserveAttributes>().fixed)
            args.output(2, args.shape(1), DType::f32);
        },
    .forward = forward,
    .backward = backward,
    .saves_inputs = 1U << 0U,
    .saves_outputs = 1U << 1U,
    .defaults = [] { return Attributes::of(ObserveAttributes{.averaging = 0.01}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = tie_all_axes},
};

Tensor observe_fake_quantize(const Tensor& x, const Tensor& range, const Tensors& others,
                             const ObserveAttributes& attributes) {
  Tensors inputs{x, range};
  inputs.insert(inputs.end(), others.begin(), others.end());
  return apply({&kObserveFakeQuantize, Attributes::of(attributes)}, inputs);
}

}  // namespace pare
