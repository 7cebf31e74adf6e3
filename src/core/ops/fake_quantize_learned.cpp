// fake_quantize_learned: rounds to codes of a learned step and back; forward and backward are one
// pass each.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/ops/learned_steps.h"
#include "core/quantize_loops.h"

namespace pare {
namespace {

using Learned = FakeQuantizeLearnedAttributes;

// Outputs: the result; scales and zero points that were used, for backward; state.
constexpr int kScales = 1, kZeros = 2, kStep = 3, kZero = 4;
constexpr StatePair kState[] = {{kStep, 1}, {kZero, 2}};

const Learned& attributes_of(const Call& call) { return call.attributes.as<Learned>(); }

bool unset(const Tensor& step) { return step.elements() > 0 && std::isnan(step.data<float>()[0]); }

struct FakeQuantized {
  PARE_INLINE float operator()(float x, float, const CodeSpace& c) const {
    return fake_quantized(x, c.scale, c.low, c.high);
  }
};
struct Rectified {
  PARE_INLINE float operator()(float x, float, const CodeSpace&) const {
    return x < 0.0F ? 0.0F : x;
  }
};
struct RectifiedGradient {
  PARE_INLINE float operator()(float x, float g, const CodeSpace&) const {
    return x > 0.0F ? g : 0.0F;
  }
};

void infer(InferArgs& args) {
  const char* where = "fake_quantize_learned";
  const Learned& a = attributes_of(args.call);
  PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, where, "expected f32, got {}",
             args.dtype(0));
  PARE_CHECK(a.qmin < a.qmax && codes_fit(a.qmin, a.qmax, a.zero_point), invalid_argument, where,
             "expected qmin < qmax and a zero point within ±2^22, got {}, {} and {}", a.qmin,
             a.qmax, a.zero_point);
  PARE_CHECK(a.zero_point >= a.qmin && a.zero_point < a.qmax, invalid_argument, where,
             "expected a zero point of at least {} and below {}, got {}", a.qmin, a.qmax,
             a.zero_point);
  PARE_CHECK(a.form == "scale" || a.form == "clip" || a.form == "log2", invalid_argument, where,
             "expected the form scale, clip or log2, got '{}'", a.form);
  PARE_CHECK(a.start == "mean" || a.start == "deviation" || a.start == "largest" ||
                 a.start == "least_squares",
             invalid_argument, where,
             "expected a start by mean, deviation, largest or least_squares, got '{}'", a.start);
  PARE_CHECK(a.gradient_factor >= 0 && std::isfinite(a.gradient_factor), invalid_argument, where,
             "expected a finite gradient_factor of at least 0, got {}", a.gradient_factor);
  check_quantize_parameters(args, a.axis, DType::f32);
  PARE_CHECK(!args.has(2) || args.dtype(2) == DType::f32, dtype_mismatch, where,
             "expected learned zero points of f32, got {}", args.dtype(2));
  args.output(0, args.shape(0), DType::f32);
  args.output(kScales, args.shape(1), DType::f32);
  args.output(kZeros, args.shape(1), DType::f32);
  if (!context().observing || !args.value(1) || !unset(*args.value(1))) return;
  args.output(kStep, args.shape(1), DType::f32);
  if (args.has(2)) args.output(kZero, args.shape(2), DType::f32);
}

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context&) {
  const Learned& a = attributes_of(call);
  const Tensor& x = inputs[0];
  Tensor step = inputs[1], zero = inputs.size() > 2 ? inputs[2] : Tensor();
  if (outputs[kStep].defined()) {
    const StartingSteps started = starting_steps(x, a, zero.defined());
    outputs[kStep].copy_from(started.step);
    if (zero.defined()) outputs[kZero].copy_from(started.zero_point);
    step = started.step;
    zero = started.zero_point;
  }
  const std::vector<ScaleAndZeroPoint> parameters = learned_parameters(step, zero, a);
  float* scales = outputs[kScales].mutable_data<float>();
  float* zeros = outputs[kZeros].mutable_data<float>();
  for (std::size_t c = 0; c < parameters.size(); ++c) {
    scales[c] = parameters[c].scale;
    zeros[c] = static_cast<float>(parameters[c].zero_point);
  }
  QuantizeParameters p(x, outputs[kScales], outputs[kZeros], a.axis, a.qmin, a.qmax);
  const float* from = x.data<float>();
  float* to = outputs[0].mutable_data<float>();
  if (unset(step)) {
    if (a.relu)
      map_codes(p, from, from, to, Rectified{});
    else
      std::copy(from, from + x.elements(), to);
    return;
  }
  p.check_scales("fake_quantize_learned");
  // The code of relu(x) is the code of x, but at least that of 0.
  if (a.relu)
    for (float& low : p.low) low = std::max(low, 0.0F);
  map_codes(p, from, from, to, FakeQuantized{});
}

// What backward adds up for one step.
struct Sums {
  double step = 0;  // of dy · the step's own part
  double zero = 0;  // of dy outside
};

// How one element is seen: the values of relu start above `floor`.
struct Space {
  float scale, low, high, floor;
  float within;  // weight of the rounding error: 0 for PACT, which clips before it rounds
};

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kBlock = 1 << 13;  // elements that are summed in single precision

template <bool Write>
PARE_INLINE void take(float x, float dy, float* dx, const Space& s, float& step, float& zero) {
  const float value = x > s.floor ? x : s.floor;
  const float v = value / s.scale;
  const float code = centred_code(value, s.scale, s.low - 1.0F, s.high + 1.0F);
  const float place = s.within == 0.0F ? v : code;
  const float bound = place < s.low ? s.low : s.high;
  const bool inside = (place >= s.low) & (place <= s.high);
  const float part = inside ? (code - v) * s.within : bound;
  step += dy * part;
  zero += inside ? 0.0F : dy;
  if (Write) *dx = (inside & (x > s.floor)) ? dy : 0.0F;
}

template <bool Write>
PARE_INLINE void run_of_one_step(const float* x, const float* dy, float* dx, std::int64_t n,
                                 const Space& s, Sums& sums) {
  float step[kLanes] = {}, zero[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k)
      take<Write>(x[i + k], dy[i + k], Write ? dx + i + k : nullptr, s, step[k], zero[k]);
  for (; i < n; ++i) take<Write>(x[i], dy[i], Write ? dx + i : nullptr, s, step[0], zero[0]);
  for (std::int64_t k = 0; k < kLanes; ++k) {
    sums.step += static_cast<double>(step[k]);
    sums.zero += static_cast<double>(zero[k]);
  }
}

void run_of_one_step(const float* x, const float* dy, float* dx, std::int64_t n, const Space& space,
                     Sums* sums) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    Sums total;
    if (dx)
      run_of_one_step<true>(x, dy, dx, n, space, total);
    else
      run_of_one_step<false>(x, dy, nullptr, n, space, total);
    sums->step += total.step;
    sums->zero += total.zero;
  });
}

Space space_of(const Learned& a, const CodeSpace& c) {
  return {c.scale, c.low, c.high, a.relu ? 0.0F : -std::numeric_limits<float>::infinity(),
          a.form == "clip" ? 0.0F : 1.0F};
}

// Blocks of fixed size, so that the sums do not depend on the number of threads.
std::vector<Sums> gradients(const QuantizeParameters& p, const Learned& a, const float* x,
                            const float* dy, float* dx) {
  std::vector<Sums> sums(static_cast<std::size_t>(p.channels));
  if (p.outer == 0) return sums;
  if (p.inner == 1 && p.channels > 1) {  // neighbours of different steps
    for (std::int64_t i = 0; i < p.outer * p.channels; ++i) {
      const auto c = static_cast<std::size_t>(i % p.channels);
      float step = 0, zero = 0, ignored = 0;
      take<true>(x[i], dy[i], dx ? dx + i : &ignored, space_of(a, p.at(i % p.channels)), step,
                 zero);
      sums[c].step += static_cast<double>(step);
      sums[c].zero += static_cast<double>(zero);
    }
    return sums;
  }
  const std::int64_t blocks_of_run = (p.inner + kBlock - 1) / kBlock;
  const std::int64_t runs = p.outer * p.channels;
  std::vector<Sums> partial(static_cast<std::size_t>(runs * blocks_of_run));
  const std::int64_t grain = std::max<std::int64_t>(kElementGrain / std::min(p.inner, kBlock), 1);
  parallel_for(0, runs * blocks_of_run, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t run = b / blocks_of_run, first = b % blocks_of_run * kBlock;
      const std::int64_t at = run * p.inner + first;
      run_of_one_step(x + at, dy + at, dx ? dx + at : nullptr, std::min(kBlock, p.inner - first),
                      space_of(a, p.at(run % p.channels)), &partial[static_cast<std::size_t>(b)]);
    }
  });
  for (std::size_t b = 0; b < partial.size(); ++b) {
    const auto run = static_cast<std::int64_t>(b) / blocks_of_run;
    Sums& sum = sums[static_cast<std::size_t>(run % p.channels)];
    sum.step += partial[b].step;
    sum.zero += partial[b].zero;
  }
  return sums;
}

// From the sum over the values to the leaf's gradient.
double of_leaf(const Learned& a, double sum, const CodeSpace& c) {
  if (a.form == "clip") return sum / static_cast<double>(std::max(c.high, 1.0F));
  if (a.form == "log2") return sum * static_cast<double>(c.scale) * std::log(2.0);
  return c.scale > kSmallestStep || sum < 0 ? sum : 0;  // never below the smallest
}

void backward(BackwardArgs& args) {
  const Learned& a = attributes_of(args.call());
  const Tensor& x = args.input(0);
  const QuantizeParameters p(x, args.output(kScales), args.output(kZeros), a.axis, a.qmin, a.qmax);
  const Tensor gradient = in_format(args.grad_output(0), x.format());
  Tensor result = args.needs(0) ? Tensor::empty(x.shape(), DType::f32, x.format()) : Tensor();
  float* dx = result.defined() ? result.mutable_data<float>() : nullptr;
  Tensor step = Tensor::zeros(args.input_shape(1)), zero = Tensor::zeros(args.input_shape(1));
  if (unset(args.output(kScales))) {
    if (!dx) return;
    if (!a.relu) return args.set(0, gradient);
    map_codes(p, x.data<float>(), gradient.data<float>(), dx, RectifiedGradient{});
    return args.set(0, std::move(result));
  }
  const std::vector<Sums> sums = gradients(p, a, x.data<float>(), gradient.data<float>(), dx);
  const auto per_step = static_cast<double>(x.elements()) / static_cast<double>(p.channels);
  const double factor =
      a.gradient_factor > 0
          ? a.gradient_factor
          : 1 / std::sqrt(std::max(1.0, per_step) * static_cast<double>(positive_codes(a)));
  float* steps = step.mutable_data<float>();
  float* zeros = zero.mutable_data<float>();
  for (std::int64_t c = 0; c < p.channels; ++c) {
    const Sums& sum = sums[static_cast<std::size_t>(c)];
    const CodeSpace space = p.at(c);
    steps[c] = static_cast<float>(of_leaf(a, sum.step, space) * factor);
    zeros[c] = static_cast<float>(-static_cast<double>(space.scale) * sum.zero * factor);
  }
  if (dx) args.set(0, std::move(result));
  if (a.fixed) return;
  if (args.needs(1)) args.set(1, std::move(step));
  if (args.has_input(2) && args.needs(2)) args.set(2, std::move(zero));
}

}  // namespace

constinit const OpDef kFakeQuantizeLearned = {
    .name = "fake_quantize_learned",
    .min_inputs = 2,
    .max_inputs = 3,
    .hidden_outputs = 2,
    .state = kState,
    .format = FormatRule::keep,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saves_inputs = 1U << 0U,
    .saves_outputs = (1U << kScales) | (1U << kZeros),
    .defaults = [] { return Attributes::of(Learned{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_quantize_channels(attributes_of(call).axis, links);
                     }},
};

Tensor fake_quantize_learned(const Tensor& x, const Tensor& step, const Tensor& zero_point,
                             const Learned& attributes) {
  return apply({&kFakeQuantizeLearned, Attributes::of(attributes)},
               detail::Borrowed(x, step, zero_point));
}

}  // namespace pare
