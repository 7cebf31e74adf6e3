// Losses of two tensors, element by element: mse, smooth_l1 (with l1 and huber), kl_div and
// hinge_embedding.
#include "pare/core/ops/loss.h"

#include <cmath>

#include "core/ops/loss_terms.h"
#include "core/ops/reduced.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

// Each has the term of a pair and its slopes in both; `setting` is β or a margin.
template <class T> struct SquaredDifference {
  T setting;
  PARE_INLINE T term(T a, T b) const { return (a - b) * (a - b); }
  PARE_INLINE T slope_a(T a, T b) const { return T(2) * (a - b); }
  PARE_INLINE T slope_b(T a, T b) const { return T(2) * (b - a); }
};

/// With β = 0 the absolute difference.
template <class T> struct SmoothDifference {
  T setting;
  PARE_INLINE T term(T a, T b) const {
    const T d = a < b ? b - a : a - b;
    const T square = T(0.5) * d * d / setting;
    return d < setting ? square : d - T(0.5) * setting;
  }
  PARE_INLINE T slope_a(T a, T b) const {
    const T d = a - b;
    const T inside = d / setting;
    const T outside = d > T(0) ? T(1) : d < T(0) ? T(-1) : d;
    return d < setting && -d < setting ? inside : outside;
  }
  PARE_INLINE T slope_b(T a, T b) const { return -slope_a(a, b); }
};

/// kl_div with targets in logarithms.
template <class T> struct LogDivergence {
  T setting;
  PARE_INLINE T term(T log_input, T target) const {
    const T p = rows::exponential(target);
    const T value = p * (target - log_input);
    return p == T(0) ? T(0) : value;
  }
  PARE_INLINE T slope_a(T, T target) const { return -rows::exponential(target); }
  PARE_INLINE T slope_b(T log_input, T target) const {
    const T p = rows::exponential(target);
    return p == T(0) ? T(0) : p * (target + T(1) - log_input);
  }
};

template <class T> struct Divergence {
  T setting;
  PARE_INLINE T term(T log_input, T target) const {
    const T value = target * (rows::logarithm(target) - log_input);
    return target == T(0) ? T(0) : value;
  }
  PARE_INLINE T slope_a(T, T target) const { return -target; }
  /// At target = 0, where the slope is infinite, that of the other term alone.
  PARE_INLINE T slope_b(T log_input, T target) const {
    const T slope = rows::logarithm(target) + T(1) - log_input;
    return target == T(0) ? -log_input : slope;
  }
};

/// Targets other than ±1 get both parts, as PyTorch's do.
template <class T> struct Hinge {
  T setting;
  PARE_INLINE T term(T x, T target) const {
    const T rest = setting - x;
    const T below = rest < T(0) ? T(0) : rest;
    return (target == T(-1) ? T(0) : x) + (target == T(1) ? T(0) : below);
  }
  PARE_INLINE T slope_a(T x, T target) const {
    const T below = setting - x > T(0) ? T(-1) : T(0);
    return (target == T(-1) ? T(0) : T(1)) + (target == T(1) ? T(0) : below);
  }
  PARE_INLINE T slope_b(T, T) const { return T(0); }
};

template <template <class> class F>
void forward_pair(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context, LossReduction reduction, double setting = 0) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const bool each = reduction == LossReduction::none;
  const MemoryFormat format = each ? outputs[0].format() : inputs[0].format();
  const Tensor first = in_format(inputs[0], format);
  const Tensor second = in_format(inputs[1], format);
  visit_float(first.dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const T* a = first.data<T>();
    const T* b = second.data<T>();
    const F<T> f{static_cast<T>(setting)};
    give_loss<T>(reduction, first.shape(), outputs[0],
                 [=](std::int64_t i) PARE_INLINE_LAMBDA { return f.term(a[i], b[i]); });
  });
}

template <template <class> class F>
void backward_pair(BackwardArgs& args, LossReduction reduction, double setting = 0) {
  const DType dtype = computed_type(args.input_dtype(0));
  const Tensor first = in_dtype(args.input(0), dtype);
  const Tensor second = in_format(in_dtype(args.input(1), dtype), first.format());
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    const T* a = first.data<T>();
    const T* b = second.data<T>();
    const F<T> f{static_cast<T>(setting)};
    const auto give = [&](int input, auto slope) {
      if (!args.needs(input)) return;
      Tensor dx = Tensor::empty(first.shape(), dtype, first.format());
      give_gradient<T>(reduction, args.grad_output(0), dx, slope);
      args.set(input, in_dtype(dx, args.input_dtype(input)));
    };
    give(0, [=](std::int64_t i) PARE_INLINE_LAMBDA { return f.slope_a(a[i], b[i]); });
    give(1, [=](std::int64_t i) PARE_INLINE_LAMBDA { return f.slope_b(a[i], b[i]); });
  });
}

template <class A> LossReduction reduction_of(const Call& call) {
  return loss_reduction(call.attributes.as<A>().reduction, call.op->name);
}

}  // namespace

constinit const OpDef kMse = {
    .name = "mse",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = [](InferArgs& args) { infer_pair(args, reduction_of<LossAttributes>(args.call)); },
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          forward_pair<SquaredDifference>(call, inputs, outputs, context,
                                          reduction_of<LossAttributes>(call));
        },
    .backward =
        [](BackwardArgs& args) {
          backward_pair<SquaredDifference>(args, reduction_of<LossAttributes>(args.call()));
        },
    .saves_inputs = 3,
    .defaults = [] { return Attributes::of(LossAttributes{}); }};

constinit const OpDef kSmoothL1 = {
    .name = "smooth_l1",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          const double beta = args.call.attributes.as<SmoothL1Attributes>().beta;
          PARE_CHECK(beta >= 0, invalid_argument, "smooth_l1", "expected beta ≥ 0, got {}", beta);
          infer_pair(args, reduction_of<SmoothL1Attributes>(args.call));
        },
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          forward_pair<SmoothDifference>(call, inputs, outputs, context,
                                         reduction_of<SmoothL1Attributes>(call),
                                         call.attributes.as<SmoothL1Attributes>().beta);
        },
    .backward =
        [](BackwardArgs& args) {
          backward_pair<SmoothDifference>(args, reduction_of<SmoothL1Attributes>(args.call()),
                                          args.call().attributes.as<SmoothL1Attributes>().beta);
        },
    .saves_inputs = 3,
    .defaults = [] { return Attributes::of(SmoothL1Attributes{}); }};

constinit const OpDef kKlDiv = {
    .name = "kl_div",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.shape(0).rank() >= 1, shape_mismatch, "kl_div",
                     "expected inputs [N, …], got {}", args.shape(0));
          infer_pair(args, reduction_of<KlDivAttributes>(args.call));
        },
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          const LossReduction reduction = reduction_of<KlDivAttributes>(call);
          if (call.attributes.as<KlDivAttributes>().log_target)
            forward_pair<LogDivergence>(call, inputs, outputs, context, reduction);
          else
            forward_pair<Divergence>(call, inputs, outputs, context, reduction);
        },
    .backward =
        [](BackwardArgs& args) {
          const LossReduction reduction = reduction_of<KlDivAttributes>(args.call());
          if (args.call().attributes.as<KlDivAttributes>().log_target)
            backward_pair<LogDivergence>(args, reduction);
          else
            backward_pair<Divergence>(args, reduction);
        },
    .saves_inputs = 3,
    .defaults = [] { return Attributes::of(KlDivAttributes{}); }};

constinit const OpDef kHingeEmbedding = {
    .name = "hinge_embedding",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          infer_pair(args, reduction_of<HingeEmbeddingAttributes>(args.call));
        },
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          forward_pair<Hinge>(call, inputs, outputs, context,
                              reduction_of<HingeEmbeddingAttributes>(call),
                              call.attributes.as<HingeEmbeddingAttributes>().margin);
        },
    .backward =
        [](BackwardArgs& args) {
          backward_pair<Hinge>(args, reduction_of<HingeEmbeddingAttributes>(args.call()),
                               args.call().attributes.as<HingeEmbeddingAttributes>().margin);
        },
    .saves_inputs = 3,
    .defaults = [] { return Attributes::of(HingeEmbeddingAttributes{}); }};

Tensor mse(const Tensor& input, const Tensor& target) { return mse(input, target, {}); }
Tensor mse(const Tensor& input, const Tensor& target, const LossAttributes& options) {
  return apply({&kMse, Attributes::of(options)}, detail::Borrowed(input, target));
}
Tensor l1(const Tensor& input, const Tensor& target) { return l1(input, target, {}); }
Tensor l1(const Tensor& input, const Tensor& target, const LossAttributes& options) {
  return smooth_l1(input, target, {.beta = 0, .reduction = options.reduction});
}
Tensor smooth_l1(const Tensor& input, const Tensor& target) { return smooth_l1(input, target, {}); }
Tensor smooth_l1(const Tensor& input, const Tensor& target, const SmoothL1Attributes& options) {
  return apply({&kSmoothL1, Attributes::of(options)}, detail::Borrowed(input, target));
}
Tensor huber(const Tensor& input, const Tensor& target) { return huber(input, target, {}); }
Tensor huber(const Tensor& input, const Tensor& target, const HuberOptions& options) {
  PARE_CHECK(options.delta > 0, invalid_argument, "huber", "expected delta > 0, got {}",
             options.delta);
  return smooth_l1(input, target, {.beta = options.delta, .reduction = options.reduction}) *
         options.delta;
}
Tensor kl_div(const Tensor& log_input, const Tensor& target) {
  return kl_div(log_input, target, {});
}
Tensor kl_div(const Tensor& log_input, const Tensor& target, const KlDivAttributes& options) {
  return apply({&kKlDiv, Attributes::of(options)}, detail::Borrowed(log_input, target));
}
Tensor hinge_embedding(const Tensor& input, const Tensor& target) {
  return hinge_embedding(input, target, {});
}
Tensor hinge_embedding(const Tensor& input, const Tensor& target,
                       const HingeEmbeddingAttributes& options) {
  // Labels of integers, as loaders give them.
  const bool convert = input.defined() && target.defined() && !is_floating(target.dtype());
  const Tensor signs = convert ? cast(target, input.dtype()) : target;
  return apply({&kHingeEmbedding, Attributes::of(options)}, detail::Borrowed(input, signs));
}

}  // namespace pare
