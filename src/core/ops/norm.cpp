// norm: (Σ|x|^p)^(1/p) over any axes, with p = 0 and ±infinity.
#include <cmath>
#include <utility>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "core/reduce.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

std::uint32_t axes_of(const Call& call, int rank) {
  return reduced_axes(call.attributes.as<NormAttributes>().axes, rank, "norm");
}

void infer_norm(InferArgs& args) {
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, "norm", "expected a floating type, got {}",
             args.dtype(0));
  const auto& a = args.call.attributes.as<NormAttributes>();
  PARE_CHECK(!std::isnan(a.p), invalid_argument, "norm", "expected a number p, got {}", a.p);
  const auto mask = axes_of(args.call, args.shape(0).rank());
  args.output(0, reduced_shape(args.shape(0), mask, a.keepdim), args.dtype(0));
}

template <class T> struct Power {
  T p;
  PARE_INLINE T operator()(T x) const {
    const T magnitude = std::abs(x);
    if (p == T(0)) return magnitude == T(0) ? T(0) : T(1);
    return std::pow(magnitude, p);
  }
};

void forward_norm(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const double p = call.attributes.as<NormAttributes>().p;
  const auto mask = axes_of(call, x.rank());
  Tensor& y = outputs[0];
  const Strides to = result_strides(y, x.rank(), mask);
  if (std::isinf(p))
    return reduce(p > 0 ? Reduction::largest_magnitude : Reduction::smallest_magnitude, x, mask, to,
                  y);
  if (p == 1) return reduce(Reduction::sum_of_magnitudes, x, mask, to, y);
  visit_float(x.dtype(), "norm", [&](auto type) {
    using T = decltype(type);
    T* data = y.mutable_data<T>();
    if (p == 2) {
      reduce(Reduction::sum_of_squares, x, mask, to, y);
      map_contiguous(data, data, y.elements(), [](T v) PARE_INLINE_LAMBDA { return std::sqrt(v); });
      return;
    }
    Tensor powers = Tensor::empty(x.shape(), x.dtype(), x.format());
    map_tensor<T>(x, powers, Power<T>{static_cast<T>(p)});
    reduce(Reduction::sum, powers, mask, to, y);
    if (p != 0) map_contiguous(data, data, y.elements(), Power<T>{static_cast<T>(1.0 / p)});
  });
}

template <class T> PARE_INLINE T sign(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0); }

/// The part of the slope that all elements of a norm y share: y^(1 − p).
template <class T> struct Shared {
  T p;
  PARE_INLINE T operator()(T gradient, T y) const {
    if (p == T(1)) return gradient;
    if (y == T(0)) return T(0);
    return p == T(2) ? gradient / y : gradient * std::pow(y, T(1) - p);
  }
};
/// And the part of each: sign(x)·|x|^(p − 1).
template <class T> struct Own {
  T p;
  PARE_INLINE T operator()(T x, T shared) const {
    if (p == T(0) || x == T(0)) return T(0);
    if (p == T(2)) return x * shared;
    if (p == T(1)) return sign(x) * shared;
    return sign(x) * std::pow(std::abs(x), p - T(1)) * shared;
  }
};
struct IsExtreme {
  template <class T> PARE_INLINE T operator()(T x, T y) const {
    return std::abs(x) == y ? T(1) : T(0);
  }
};
struct Quotient {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a / b; }
};
struct Times {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a * b; }
};
struct Signed {
  template <class T> PARE_INLINE T operator()(T extreme, T x) const {
    return x < T(0) ? -extreme : x == T(0) ? T(0) : extreme;
  }
};

void backward_norm(BackwardArgs& args) {
  const double p = args.call().attributes.as<NormAttributes>().p;
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor y = in_dtype(args.output(0), dtype);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), y.format());
  const auto mask = axes_of(args.call(), x.rank());
  const Strides to = result_strides(y, x.rank(), mask);
  Tensor dx = Tensor::empty(x.shape(), dtype, x.format());
  Tensor shared = Tensor::empty(y.shape(), dtype, y.format());
  const std::array operands{strides_of(dx), strides_of(x), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  visit_float(dtype, "norm", [&](auto type) {
    using T = decltype(type);
    T* out = dx.mutable_data<T>();
    T* share = shared.mutable_data<T>();
    if (!std::isinf(p)) {
      zip_contiguous(g.data<T>(), y.data<T>(), share, y.elements(), Shared<T>{static_cast<T>(p)});
      zip_strided(nest, x.data<T>(), shared.data<T>(), out, Own<T>{static_cast<T>(p)});
      return;
    }
    // Shared evenly among ties, as max and min do.
    zip_strided(nest, x.data<T>(), y.data<T>(), out, IsExtreme{});
    reduce(Reduction::sum, dx, mask, to, shared);
    zip_contiguous(g.data<T>(), share, share, y.elements(), Quotient{});
    zip_strided(nest, dx.data<T>(), shared.data<T>(), out, Times{});
    zip_contiguous(dx.data<T>(), x.data<T>(), out, dx.elements(), Signed{});
  });
  args.set(0, in_dtype(dx, given));
}

void emit_norm(const Call& call, OnnxEmitter& e) {
  const auto& a = call.attributes.as<NormAttributes>();
  const auto emit = [&](const char* op_type, int since, const std::string& x,
                        const std::string& y) {
    emit_reduced(e, op_type, since, x, y, a.axes, a.keepdim);
  };
  if (a.p == 1) return emit("ReduceL1", 18, e.input(0), e.output(0));
  if (a.p == 2) return emit("ReduceL2", 18, e.input(0), e.output(0));
  const std::string magnitude = e.temporary();
  e.node("Abs", {e.input(0)}, {magnitude});
  if (std::isinf(a.p)) return emit(a.p > 0 ? "ReduceMax" : "ReduceMin", 18, magnitude, e.output(0));
  const std::string power = e.temporary();
  if (a.p == 0) {
    e.node("Sign", {magnitude}, {power});
    return emit("ReduceSum", 13, power, e.output(0));
  }
  const std::string sum = e.temporary();
  const DType d = e.input_dtype(0);
  e.node("Pow", {magnitude, e.constant(Tensor::scalar(a.p, d))}, {power});
  emit("ReduceSum", 13, power, sum);
  e.node("Pow", {sum, e.constant(Tensor::scalar(1.0 / a.p, d))}, {e.output(0)});
}

constexpr ValueForm kForm{bind_axes<NormAttributes>, infer_unknown_axes<NormAttributes>, infer_norm,
                          forward_norm, backward_norm};

}  // namespace

constinit const OpDef kNorm = {
    .name = "norm",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b11,
    .saves_outputs = 1,
    .defaults = [] { return Attributes::of(NormAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       const auto& a = call.attributes.as<NormAttributes>();
                       link_reduced(links, axes_of(call, links.shape(in(0)).rank()), a.keepdim,
                                    a.p >= 0);
                     }},
    .onnx = {.op_type = "ReduceL2", .emit = emit_norm}};

Tensor norm(const Tensor& x, const NormAttributes& attributes) {
  NormAttributes own = attributes;
  own.axes = axes_along(x, own.axes, kNorm.name);
  return apply({&kNorm, Attributes::of(std::move(own))}, detail::Borrowed(x));
}

}  // namespace pare
