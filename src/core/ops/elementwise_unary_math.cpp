// abs, sign, square, reciprocal, rsqrt, sin, cos, tan, erf, floor, ceil and round.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/elementwise_op.h"
#include "core/vector_special.h"
#include "core/vector_trig.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

/// Integers wrap: they are computed unsigned, in at least 32 bits.
template <class T>
using Wrapping = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

struct Abs {
  template <class T> PARE_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return vec::magnitude(x);
    else if constexpr (std::is_signed_v<T>)
      return x < 0 ? static_cast<T>(Wrapping<T>{0} - static_cast<Wrapping<T>>(x)) : x;
    else
      return x;
  }
};
struct Sign {
  template <class T> PARE_INLINE T operator()(T x) const {
    return static_cast<T>(static_cast<int>(x > T(0)) - static_cast<int>(x < T(0)));
  }
};
struct Square {
  template <class T> PARE_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return x * x;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(x) * static_cast<Wrapping<T>>(x));
  }
};
struct Reciprocal {
  template <class T> PARE_INLINE T operator()(T x) const { return T(1) / x; }
};
struct Rsqrt {
  PARE_INLINE float operator()(float x) const { return 1.0F / __builtin_sqrtf(x); }
  double operator()(double x) const { return 1.0 / std::sqrt(x); }
};
struct Erf {
  template <class T> PARE_INLINE T operator()(T x) const { return vec::erf(x); }
};
struct Floor {
  template <class T> PARE_INLINE T operator()(T x) const { return vec::floor(x); }
};
struct Ceil {
  template <class T> PARE_INLINE T operator()(T x) const { return vec::ceil(x); }
};
struct Round {
  template <class T> PARE_INLINE T operator()(T x) const { return vec::round(x); }
};

// `exact` is for what the vector code does not reach.
struct Sin {
  PARE_INLINE float operator()(float x) const { return vec::sin(x); }
  static double exact(double x) { return std::sin(x); }
};
struct Cos {
  PARE_INLINE float operator()(float x) const { return vec::cos(x); }
  static double exact(double x) { return std::cos(x); }
};
struct Tan {
  PARE_INLINE float operator()(float x) const { return vec::tan(x); }
  static double exact(double x) { return std::tan(x); }
};

// Gradients of the input, from the gradient and what was saved: the input x or the output y.
struct AbsGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const { return g * Sign{}(x); }
};
struct SquareGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const { return g * (x + x); }
};
struct ReciprocalGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return -g * (y * y); }
};
struct RsqrtGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return T(-0.5) * g * (y * y * y); }
};
struct TanGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return g * (y * y + T(1)); }
};
struct ErfGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    return g * (T(1.1283791670955126) * vec::exp(-(x * x)));
  }
};
struct Multiply {
  template <class T> PARE_INLINE T operator()(T g, T factor) const { return g * factor; }
};
struct MultiplyNegative {
  template <class T> PARE_INLINE T operator()(T g, T factor) const { return -g * factor; }
};

/// Pieces that hold an argument beyond the limit (rare) are computed one by one.
template <class F> void map_angles(const Tensor& x, Tensor& y) {
  constexpr std::int64_t kPiece = 4096;
  const Tensor ordered = in_format(x, y.format());
  if (x.dtype() == DType::f64)
    return map_contiguous(ordered.data<double>(), y.mutable_data<double>(), y.elements(),
                          [](double v) { return F::exact(v); });
  const float* from = ordered.data<float>();
  float* to = y.mutable_data<float>();
  parallel_for(0, y.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; at += kPiece) {
      const std::int64_t n = std::min(kPiece, end - at);
      const float* piece = from + at;
      float* out = to + at;
      std::int32_t beyond = 0;
      for (std::int64_t i = 0; i < n; ++i) beyond |= vec::magnitude(piece[i]) > vec::kTrigLimit;
      if (beyond != 0) {
        for (std::int64_t i = 0; i < n; ++i)
          out[i] = static_cast<float>(F::exact(static_cast<double>(piece[i])));
        continue;
      }
      multiversion([=]() PARE_INLINE_LAMBDA {
        const float* __restrict in = piece;
        float* __restrict result = out;
        for (std::int64_t i = 0; i < n; ++i) result[i] = F{}(in[i]);
      });
    }
  });
}

template <class F>
void forward_angle(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  map_angles<F>(inputs[0], outputs[0]);
}

/// The gradient times the other of sin and cos, or its negative.
template <class Other, class Product> void backward_angle(BackwardArgs& args) {
  const Tensor x = widened(args.input(0));
  const Tensor g = in_format(widened(args.grad_output(0)), x.format());
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.format());
  map_angles<Other>(x, out);
  visit_float(x.dtype(), args.call().op->name, [&](auto type) {
    using T = decltype(type);
    T* factor = out.mutable_data<T>();
    zip_contiguous(g.data<T>(), factor, factor, out.elements(), Product{});
  });
  args.set(0, in_dtype(out, args.input_dtype(0)));
}

void backward_zero(BackwardArgs& args) {
  args.set(0, Tensor::zeros(args.input_shape(0), args.input_dtype(0), args.input_format(0)));
}

constexpr OpDef unary(const char* name, bool floating, ForwardFunction run,
                      BackwardFunction gradient, OnnxForm onnx) {
  return {.name = name,
          .format = FormatRule::keep,
          .infer = floating ? infer_floating : infer_number,
          .forward = run,
          .backward = gradient,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .onnx = onnx};
}

}  // namespace

constinit const OpDef kAbs = saving_input(
    unary("abs", false, forward_number<Abs>, backward_from_input<AbsGradient>, {.op_type = "Abs"}));
constinit const OpDef kSign =
    unary("sign", false, forward_number<Sign>, backward_zero, {.op_type = "Sign"});
constinit const OpDef kSquare =
    saving_input(unary("square", false, forward_number<Square>, backward_from_input<SquareGradient>,
                       {.op_type = "Mul", .emit = [](const Call&, OnnxEmitter& e) {
                          e.node("Mul", {e.input(0), e.input(0)}, {e.output(0)});
                        }}));
constinit const OpDef kReciprocal =
    saving_output(unary("reciprocal", true, forward_floating<Reciprocal>,
                        backward_from_output<ReciprocalGradient>, {.op_type = "Reciprocal"}));
constinit const OpDef kRsqrt =
    saving_output(unary("rsqrt", true, forward_floating<Rsqrt>, backward_from_output<RsqrtGradient>,
                        {.op_type = "Reciprocal", .emit = [](const Call&, OnnxEmitter& e) {
                           const std::string root = e.temporary();
                           e.node("Sqrt", {e.input(0)}, {root});
                           e.node("Reciprocal", {root}, {e.output(0)});
                         }}));
constinit const OpDef kSin =
    saving_input(unary("sin", true, forward_angle<Sin>, backward_angle<Cos, Multiply>,
                       {.op_type = "Sin", .opset = 7}));
constinit const OpDef kCos =
    saving_input(unary("cos", true, forward_angle<Cos>, backward_angle<Sin, MultiplyNegative>,
                       {.op_type = "Cos", .opset = 7}));
constinit const OpDef kTan =
    saving_output(unary("tan", true, forward_angle<Tan>, backward_from_output<TanGradient>,
                        {.op_type = "Tan", .opset = 7}));
constinit const OpDef kErf = saving_input(unary(
    "erf", true, forward_floating<Erf>, backward_from_input<ErfGradient>, {.op_type = "Erf"}));
constinit const OpDef kFloor =
    unary("floor", true, forward_floating<Floor>, backward_zero, {.op_type = "Floor"});
constinit const OpDef kCeil =
    unary("ceil", true, forward_floating<Ceil>, backward_zero, {.op_type = "Ceil"});
constinit const OpDef kRound =
    unary("round", true, forward_floating<Round>, backward_zero, {.op_type = "Round", .opset = 11});

Tensor abs(const Tensor& x) { return apply({&kAbs, {}}, detail::Borrowed(x)); }
Tensor sign(const Tensor& x) { return apply({&kSign, {}}, detail::Borrowed(x)); }
Tensor square(const Tensor& x) { return apply({&kSquare, {}}, detail::Borrowed(x)); }
Tensor reciprocal(const Tensor& x) { return apply({&kReciprocal, {}}, detail::Borrowed(x)); }
Tensor rsqrt(const Tensor& x) { return apply({&kRsqrt, {}}, detail::Borrowed(x)); }
Tensor sin(const Tensor& x) { return apply({&kSin, {}}, detail::Borrowed(x)); }
Tensor cos(const Tensor& x) { return apply({&kCos, {}}, detail::Borrowed(x)); }
Tensor tan(const Tensor& x) { return apply({&kTan, {}}, detail::Borrowed(x)); }
Tensor erf(const Tensor& x) { return apply({&kErf, {}}, detail::Borrowed(x)); }
Tensor floor(const Tensor& x) { return apply({&kFloor, {}}, detail::Borrowed(x)); }
Tensor ceil(const Tensor& x) { return apply({&kCeil, {}}, detail::Borrowed(x)); }
Tensor round(const Tensor& x) { return apply({&kRound, {}}, detail::Borrowed(x)); }

}  // namespace pare
