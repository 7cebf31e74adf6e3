// bce and bce_with_logits: cross-entropy of independent yes-or-no targets, with weights.
#include <limits>

#include "core/ops/loss_terms.h"
#include "core/ops/reduced.h"
#include "pare/core/ops/loss.h"

namespace pare {
namespace {

LossReduction reduction_of(const Call& call) {
  return loss_reduction(call.attributes.as<LossAttributes>().reduction, call.op->name);
}

void check_probabilities(const Tensor& x) {
  if (is_half(x.dtype())) return check_probabilities(in_dtype(x, DType::f32));
  visit_float(x.dtype(), "bce", [&](auto type) {
    using T = decltype(type);
    const T* p = x.data<T>();
    const std::int64_t count = x.elements();
    const double outside = sum_of_terms<T>(count, [=](std::int64_t i) PARE_INLINE_LAMBDA {
      return ((p[i] >= T(0)) & (p[i] <= T(1))) ? T(0) : T(1);
    });
    for (std::int64_t i = 0; outside > 0 && i < count; ++i)
      PARE_CHECK(p[i] >= 0 && p[i] <= 1, out_of_range, "bce",
                 "expected probabilities from 0 to 1, got {}", p[i]);
  });
}

/// −t·log p − (1 − t)·log(1 − p), the logarithms no less than −100.
template <class T> struct OfProbability {
  PARE_INLINE T term(T p, T t, T) const {
    const T yes = rows::logarithm(p);
    const T no = logarithm_of_one_plus(-p);
    const T least = T(-100);
    return (t - T(1)) * (no < least ? least : no) - t * (yes < least ? least : yes);
  }
  PARE_INLINE T slope_input(T p, T t, T) const {
    const T spread = (T(1) - p) * p;
    const T least = T(1e-12);
    return (p - t) / (spread < least ? least : spread);
  }
  PARE_INLINE T slope_target(T p, T, T) const {
    return logarithm_of_one_plus(-p) - rows::logarithm(p);
  }
};

/// (1 − t)·x + (1 + (q − 1)·t)·softplus(−x), where q weighs the positive share.
template <class T> struct OfLogit {
  PARE_INLINE static T softplus(T x) {  // without overflow
    const T magnitude = x < T(0) ? -x : x;
    return logarithm_of_one_plus(rows::exponential(-magnitude)) + (x > T(0) ? x : T(0));
  }
  PARE_INLINE T term(T x, T t, T q) const {
    return (T(1) - t) * x + (T(1) + (q - T(1)) * t) * softplus(-x);
  }
  PARE_INLINE T slope_input(T x, T t, T q) const {
    const T sigmoid = T(1) / (T(1) + rows::exponential(-x));
    return (T(1) + (q - T(1)) * t) * sigmoid - q * t;
  }
  PARE_INLINE T slope_target(T x, T, T q) const { return (q - T(1)) * softplus(-x) - x; }
};

/// An optional weight, broadcast to the input's shape, in its format; undefined where left out.
Tensor spread(const Tensor& weight, const Tensor& like) {
  if (!weight.defined()) return {};
  Tensor out = Tensor::empty(like.shape(), like.dtype(), like.format());
  const Tensor given = in_dtype(weight, like.dtype());
  const std::array operands{strides_of(out), broadcast_strides(given, like.shape())};
  const LoopNest nest(like.shape(), like.format(), operands);
  visit_float(like.dtype(), "bce", [&](auto type) {
    using T = decltype(type);
    map_strided(nest, given.data<T>(), out.mutable_data<T>(),
                [](T v) PARE_INLINE_LAMBDA { return v; });
  });
  return out;
}

/// The elements of a weight, or 1 where it was left out: two types, since a loop that asks at
/// every element does not become vector code.
template <class T> struct Given {
  const T* data;
  PARE_INLINE T operator[](std::int64_t i) const { return data[i]; }
};
template <class T> struct Ones {
  PARE_INLINE T operator[](std::int64_t) const { return T(1); }
};
/// use(weights of t)
template <class T, class Use> void with_weights(const Tensor& t, Use&& use) {
  if (t.defined())
    use(Given<T>{t.data<T>()});
  else
    use(Ones<T>{});
}

Tensor operand(std::span<const Tensor> inputs, std::size_t i) {
  return i < inputs.size() ? inputs[i] : Tensor();
}

template <template <class> class F>
void forward_binary(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const LossReduction reduction = reduction_of(call);
  const bool each = reduction == LossReduction::none;
  const Tensor x = in_format(inputs[0], each ? outputs[0].format() : inputs[0].format());
  const Tensor target = in_format(inputs[1], x.format());
  const Tensor weight = spread(operand(inputs, 2), x);
  const Tensor positive = spread(operand(inputs, 3), x);
  visit_float(x.dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const T* from = x.data<T>();
    const T* t = target.data<T>();
    with_weights<T>(weight, [&](auto w) {
      with_weights<T>(positive, [&](auto q) {
        give_loss<T>(reduction, x.shape(), outputs[0], [=](std::int64_t i) PARE_INLINE_LAMBDA {
          return F<T>{}.term(from[i], t[i], q[i]) * w[i];
        });
      });
    });
  });
}

template <template <class> class F> void backward_binary(BackwardArgs& args) {
  const LossReduction reduction = reduction_of(args.call());
  const DType dtype = computed_type(args.input_dtype(0));
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor target = in_format(in_dtype(args.input(1), dtype), x.format());
  const Tensor weight = args.has_input(2) ? spread(args.input(2), x) : Tensor();
  const Tensor positive = args.has_input(3) ? spread(args.input(3), x) : Tensor();
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    const T* from = x.data<T>();
    const T* t = target.data<T>();
    const auto give = [&](int input, auto slope) {
      if (!args.needs(input)) return;
      Tensor dx = Tensor::empty(x.shape(), dtype, x.format());
      give_gradient<T>(reduction, args.grad_output(0), dx, slope);
      args.set(input, in_dtype(dx, args.input_dtype(input)));
    };
    with_weights<T>(weight, [&](auto w) {
      with_weights<T>(positive, [&](auto q) {
        give(0, [=](std::int64_t i)
                    PARE_INLINE_LAMBDA { return F<T>{}.slope_input(from[i], t[i], q[i]) * w[i]; });
        give(1, [=](std::int64_t i)
                    PARE_INLINE_LAMBDA { return F<T>{}.slope_target(from[i], t[i], q[i]) * w[i]; });
      });
    });
  });
}

void infer_binary(InferArgs& args) {
  infer_pair(args, reduction_of(args.call));
  check_weight(args, 2, "a weight");
  check_weight(args, 3, "a pos_weight");
}

}  // namespace

constinit const OpDef kBce = {.name = "bce",
                              .min_inputs = 2,
                              .max_inputs = 3,
                              .format = FormatRule::keep,
                              .infer = infer_binary,
                              .forward =
                                  [](const Call& call, std::span<const Tensor> inputs,
                                     std::span<Tensor> outputs, const Context& context) {
                                    check_probabilities(inputs[0]);
                                    forward_binary<OfProbability>(call, inputs, outputs, context);
                                  },
                              .backward = backward_binary<OfProbability>,
                              .saves_inputs = 7,
                              .defaults = [] { return Attributes::of(LossAttributes{}); }};

constinit const OpDef kBceWithLogits = {
    .name = "bce_with_logits",
    .min_inputs = 2,
    .max_inputs = 4,
    .format = FormatRule::keep,
    .infer = infer_binary,
    .forward = forward_binary<OfLogit>,
    .backward = backward_binary<OfLogit>,
    .saves_inputs = 15,
    .defaults = [] { return Attributes::of(LossAttributes{}); }};

Tensor bce(const Tensor& input, const Tensor& target) { return bce(input, target, {}); }
Tensor bce(const Tensor& input, const Tensor& target, const BceOptions& options) {
  const Call call{&kBce, Attributes::of(LossAttributes{options.reduction})};
  if (!options.weight.defined()) return apply(call, detail::Borrowed(input, target));
  return apply(call, detail::Borrowed(input, target, options.weight));
}
Tensor bce_with_logits(const Tensor& logits, const Tensor& target) {
  return bce_with_logits(logits, target, {});
}
Tensor bce_with_logits(const Tensor& logits, const Tensor& target,
                       const BceWithLogitsOptions& options) {
  const Call call{&kBceWithLogits, Attributes::of(LossAttributes{options.reduction})};
  if (!options.weight.defined() && !options.pos_weight.defined())
    return apply(call, detail::Borrowed(logits, target));
  return apply(call, detail::Borrowed(logits, target, options.weight, options.pos_weight));
}

}  // namespace pare
