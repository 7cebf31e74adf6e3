// add, sub, mul, div and maximum: NumPy's broadcasting over tensors of one dtype.
#include <type_traits>

#include "core/elementwise_op.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

/// Integers wrap: they are computed unsigned, in at least 32 bits.
template <class T, class F> PARE_INLINE T wrapping(T a, T b, F f) {
  if constexpr (std::is_floating_point_v<T>) {
    return f(a, b);
  } else {
    using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
  }
}

struct Add {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) PARE_INLINE_LAMBDA { return x + y; });
  }
};
struct Sub {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) PARE_INLINE_LAMBDA { return x - y; });
  }
};
struct Mul {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) PARE_INLINE_LAMBDA { return x * y; });
  }
};
struct Div {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return Sub{}(T{0}, a);
      }
      return static_cast<T>(a / b);
    }
  }
};
struct Maximum {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a > b || a != a ? a : b; }
};
/// maximum's share of the gradient for its first operand: all, half of a tie, none.
struct MaximumShare {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return a == b ? T(0.5) : (a < b ? T(0) : T(1));
  }
};
/// Like a product, but a share of nothing stays nothing for an infinite gradient.
struct TakeShare {
  template <class T> PARE_INLINE T operator()(T gradient, T share) const {
    return share == T(0) ? T(0) : gradient * share;
  }
};
struct Negate {
  template <class T> PARE_INLINE T operator()(T x) const { return -x; }
};

template <class F>
void forward_binary(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (dtype == DType::f32) return zip_tensors<float>(inputs[0], inputs[1], outputs[0], F{});
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  visit_arithmetic(dtype, call.op->name, [&](auto type) {
    zip_tensors<decltype(type)>(inputs[0], inputs[1], outputs[0], F{});
  });
}

/// f(a, b) broadcast to `shape`, for f32 and f64, off the tape.
template <class F> Tensor combine(const Tensor& a, const Tensor& b, const Shape& shape, F f) {
  const bool last = (a.channels_last() && a.rank() == shape.rank()) ||
                    (b.channels_last() && b.rank() == shape.rank());
  Tensor y =
      Tensor::empty(shape, a.dtype(), last ? MemoryFormat::channels_last : MemoryFormat::row_major);
  visit_float(a.dtype(), "gradient", [&](auto type) { zip_tensors<decltype(type)>(a, b, y, f); });
  return y;
}

template <class F> Tensor transform(const Tensor& x, F f) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.format());
  visit_float(x.dtype(), "gradient", [&](auto type) { map_tensor<decltype(type)>(x, y, f); });
  return y;
}

void backward_add(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  for (int i = 0; i < 2; ++i)
    if (args.needs(i)) give_summed(args, i, g);
}

void backward_sub(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  if (args.needs(0)) give_summed(args, 0, g);
  // Negated after the sum, where it is small.
  if (args.needs(1))
    give_summed(args, 1, transform(sum_to_shape(g, args.input_shape(1)), Negate{}));
}

void backward_mul(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  for (int i = 0; i < 2; ++i)
    if (args.needs(i))
      give_summed(args, i, combine(g, widened(args.input(1 - i)), g.shape(), Mul{}));
}

void backward_div(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  const Tensor b = widened(args.input(1));
  const Tensor over = combine(g, b, g.shape(), Div{});
  if (args.needs(0)) give_summed(args, 0, over);
  if (!args.needs(1)) return;
  const Tensor quotient = combine(widened(args.input(0)), b, g.shape(), Div{});
  const Tensor product = combine(over, quotient, g.shape(), Mul{});
  give_summed(args, 1, transform(sum_to_shape(product, args.input_shape(1)), Negate{}));
}

void backward_maximum(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  const Tensor inputs[2] = {widened(args.input(0)), widened(args.input(1))};
  for (int i = 0; i < 2; ++i) {
    if (!args.needs(i)) continue;
    const Tensor share = combine(inputs[i], inputs[1 - i], g.shape(), MaximumShare{});
    give_summed(args, i, combine(g, share, g.shape(), TakeShare{}));
  }
}

constexpr OpDef binary(const char* name, ForwardFunction run, BackwardFunction gradient,
                       std::uint32_t saves, QuantizationFact::Kind quantization,
                       const char* onnx_name) {
  return {.name = name,
          .min_inputs = 2,
          .max_inputs = 2,
          .format = FormatRule::keep,
          .infer = infer_binary,
          .forward = run,
          .backward = gradient,
          .saves_inputs = saves,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .quantization = {.kind = quantization},
          .onnx = {.op_type = onnx_name}};
}

using Quantized = QuantizationFact::Kind;

}  // namespace

constinit const OpDef kAdd =
    binary("add", forward_binary<Add>, backward_add, 0, Quantized::own_range, "Add");
constinit const OpDef kSub =
    binary("sub", forward_binary<Sub>, backward_sub, 0, Quantized::none, "Sub");
constinit const OpDef kMul =
    binary("mul", forward_binary<Mul>, backward_mul, 3, Quantized::own_range, "Mul");
constinit const OpDef kDiv =
    binary("div", forward_binary<Div>, backward_div, 3, Quantized::none, "Div");
constinit const OpDef kMaximum =
    binary("maximum", forward_binary<Maximum>, backward_maximum, 3, Quantized::none, "Max");

Tensor add(const Tensor& a, const Tensor& b) { return apply({&kAdd, {}}, detail::Borrowed(a, b)); }
Tensor sub(const Tensor& a, const Tensor& b) { return apply({&kSub, {}}, detail::Borrowed(a, b)); }
Tensor mul(const Tensor& a, const Tensor& b) { return apply({&kMul, {}}, detail::Borrowed(a, b)); }
Tensor div(const Tensor& a, const Tensor& b) { return apply({&kDiv, {}}, detail::Borrowed(a, b)); }
Tensor maximum(const Tensor& a, const Tensor& b) {
  return apply({&kMaximum, {}}, detail::Borrowed(a, b));
}

Tensor operator+(const Tensor& a, double b) {
  return add(a, number_like(a, b, "arithmetic with a number"));
}
Tensor operator-(const Tensor& a, double b) {
  return sub(a, number_like(a, b, "arithmetic with a number"));
}
Tensor operator*(const Tensor& a, double b) {
  return mul(a, number_like(a, b, "arithmetic with a number"));
}
Tensor operator/(const Tensor& a, double b) {
  return div(a, number_like(a, b, "arithmetic with a number"));
}

}  // namespace pare
