// Smooth activations: softplus, log_sigmoid, gelu, silu, mish; glu, which is made of calls.
#include "core/defined.h"
#include "core/elementwise_op.h"
#include "core/vector_special.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

template <class T> struct Softplus {
  T beta, threshold;
  PARE_INLINE T operator()(T x) const {
    const T scaled = x * beta;
    const T y = vec::log1p(vec::exp(scaled)) / beta;
    return scaled > threshold ? x : y;
  }
};
template <class T> struct SoftplusGradient {
  T beta, threshold;
  PARE_INLINE T operator()(T g, T x) const {
    const T scaled = x * beta;
    return scaled > threshold ? g : g * vec::sigmoid(scaled);
  }
};
struct LogSigmoid {
  template <class T> PARE_INLINE T operator()(T x) const {
    const T low = x < T(0) ? x : (x == x ? T(0) : x);
    return low - vec::log1p(vec::exp(-vec::magnitude(x)));
  }
};
struct LogSigmoidGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const { return g * vec::sigmoid(-x); }
};

constexpr double kRootHalf = 0.70710678118654752;
constexpr double kRootTwoOverPi = 0.79788456080286536;
constexpr double kOverRootTwoPi = 0.39894228040143268;
constexpr double kCubic = 0.044715;
struct Gelu {
  template <class T> PARE_INLINE T operator()(T x) const { return x * vec::normal(x).cdf; }
};
struct GeluGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    const vec::Normal<T> normal = vec::normal(x);
    return g * (normal.cdf + x * (T(kOverRootTwoPi) * normal.bell));
  }
};
struct GeluTanh {
  template <class T> PARE_INLINE T operator()(T x) const {
    const T inner = T(kRootTwoOverPi) * (x + T(kCubic) * x * x * x);
    return T(0.5) * x * (T(1) + vec::tanh(inner));
  }
};
struct GeluTanhGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    const T square = x * x;
    const T t = vec::tanh(T(kRootTwoOverPi) * (x + T(kCubic) * square * x));
    const T slope = T(kRootTwoOverPi) * (T(1) + T(3 * kCubic) * square);
    return g * (T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * slope);
  }
};

struct Silu {
  template <class T> PARE_INLINE T operator()(T x) const { return x * vec::sigmoid(x); }
};
struct SiluGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    const T s = vec::sigmoid(x);
    return g * (s * (T(1) + x * (T(1) - s)));
  }
};
/// Beyond it tanh(softplus(x)) is 1 for floats and doubles, and its parts overflow.
constexpr double kMishLinear = 20.0;
/// With n = e^2x + 2e^x: tanh(softplus(x)) = n / (n + 2).
struct Mish {
  template <class T> PARE_INLINE T operator()(T x) const {
    const T e = vec::exp(x > T(kMishLinear) ? T(kMishLinear) : x);
    const T n = e * (e + T(2));
    return x * (n / (n + T(2)));
  }
};
struct MishGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    const T bounded = x > T(kMishLinear) ? T(kMishLinear) : x;
    const T e = vec::exp(bounded);
    const T n = e * (e + T(2));
    const T d = n + T(2);
    return g * (n / d + bounded * (T(4) * e * (e + T(1)) / (d * d)));
  }
};

void infer_softplus(InferArgs& args) {
  const auto& a = args.call.attributes.as<SoftplusAttributes>();
  PARE_CHECK(a.beta != 0, invalid_argument, "softplus", "expected a beta other than 0, got {}",
             a.beta);
  infer_floating(args);
}
void forward_softplus(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context) {
  const auto& a = call.attributes.as<SoftplusAttributes>();
  map_floating(call, inputs, outputs, context, [&](auto type) {
    using T = decltype(type);
    return Softplus<T>{static_cast<T>(a.beta), static_cast<T>(a.threshold)};
  });
}
void backward_softplus(BackwardArgs& args) {
  const auto& a = args.call().attributes.as<SoftplusAttributes>();
  give_gradient(args, args.input(0), [&](auto type) {
    using T = decltype(type);
    return SoftplusGradient<T>{static_cast<T>(a.beta), static_cast<T>(a.threshold)};
  });
}

bool through_tanh(const Call& call) {
  return call.attributes.as<GeluAttributes>().approximate == "tanh";
}
void infer_gelu(InferArgs& args) {
  const std::string& a = args.call.attributes.as<GeluAttributes>().approximate;
  PARE_CHECK(a == "none" || a == "tanh", invalid_argument, "gelu",
             "expected the approximation none or tanh, got {}", a);
  infer_floating(args);
}
void forward_gelu(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context) {
  if (through_tanh(call)) return forward_floating<GeluTanh>(call, inputs, outputs, context);
  forward_floating<Gelu>(call, inputs, outputs, context);
}
void backward_gelu(BackwardArgs& args) {
  if (through_tanh(args.call())) return backward_from_input<GeluTanhGradient>(args);
  backward_from_input<GeluGradient>(args);
}

/// A node of which only the result is used further.
std::string step(OnnxEmitter& e, const char* type, std::vector<std::string> inputs) {
  std::string result = e.temporary();
  e.node(type, std::move(inputs), {result});
  return result;
}
std::string number(OnnxEmitter& e, double v) {
  return e.constant(Tensor::scalar(v, e.input_dtype(0)));
}

/// The threshold is left out: where it is 20 or more, no f32 tells.
void emit_softplus(const Call& call, OnnxEmitter& e) {
  const double beta = call.attributes.as<SoftplusAttributes>().beta;
  if (beta == 1) {
    e.node("Softplus", {e.input(0)}, {e.output(0)});
    return;
  }
  const std::string scaled = step(e, "Mul", {e.input(0), number(e, beta)});
  const std::string y = step(e, "Softplus", {scaled});
  e.node("Div", {y, number(e, beta)}, {e.output(0)});
}
/// Not the logarithm of a sigmoid, which is −∞ below −104.
void emit_log_sigmoid(const Call&, OnnxEmitter& e) {
  const std::string y = step(e, "Softplus", {step(e, "Neg", {e.input(0)})});
  e.node("Neg", {y}, {e.output(0)});
}
/// The node Gelu came with opset 20.
void emit_gelu(const Call& call, OnnxEmitter& e) {
  const std::string x = e.input(0);
  if (e.opset() >= 20) {
    e.node("Gelu", {x}, {e.output(0)})
        .attribute("approximate", call.attributes.as<GeluAttributes>().approximate.c_str());
    return;
  }
  std::string t;
  if (through_tanh(call)) {
    const std::string cube = step(e, "Mul", {step(e, "Mul", {x, x}), x});
    const std::string sum = step(e, "Add", {x, step(e, "Mul", {cube, number(e, kCubic)})});
    t = step(e, "Tanh", {step(e, "Mul", {sum, number(e, kRootTwoOverPi)})});
  } else {
    t = step(e, "Erf", {step(e, "Mul", {x, number(e, kRootHalf)})});
  }
  const std::string half = step(e, "Mul", {x, number(e, 0.5)});
  e.node("Mul", {half, step(e, "Add", {t, number(e, 1)})}, {e.output(0)});
}
void emit_silu(const Call&, OnnxEmitter& e) {
  const std::string s = step(e, "Sigmoid", {e.input(0)});
  e.node("Mul", {e.input(0), s}, {e.output(0)});
}
/// The node Mish came with opset 18.
void emit_mish(const Call&, OnnxEmitter& e) {
  if (e.opset() >= 18) {
    e.node("Mish", {e.input(0)}, {e.output(0)});
    return;
  }
  const std::string t = step(e, "Tanh", {step(e, "Softplus", {e.input(0)})});
  e.node("Mul", {e.input(0), t}, {e.output(0)});
}

constexpr OpDef activation(const char* name, void (*infer)(InferArgs&), ForwardFunction run,
                           BackwardFunction gradient, Attributes (*defaults)(), OnnxForm onnx) {
  return {.name = name,
          .format = FormatRule::keep,
          .infer = infer,
          .forward = run,
          .backward = gradient,
          .saves_inputs = 1,
          .defaults = defaults,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .quantization = {.kind = QuantizationFact::Kind::own_range},
          .onnx = onnx};
}

}  // namespace

constinit const OpDef kSoftplus =
    activation("softplus", infer_softplus, forward_softplus, backward_softplus,
               [] { return Attributes::of(SoftplusAttributes{}); },
               {.op_type = "Softplus", .emit = emit_softplus});
constinit const OpDef kLogSigmoid =
    activation("log_sigmoid", infer_floating, forward_floating<LogSigmoid>,
               backward_from_input<LogSigmoidGradient>, nullptr,
               {.op_type = "Softplus", .emit = emit_log_sigmoid});
constinit const OpDef kGelu = activation("gelu", infer_gelu, forward_gelu, backward_gelu,
                                         [] { return Attributes::of(GeluAttributes{}); },
                                         {.op_type = "Gelu", .emit = emit_gelu});
constinit const OpDef kSilu =
    activation("silu", infer_floating, forward_floating<Silu>, backward_from_input<SiluGradient>,
               nullptr, {.op_type = "Mul", .emit = emit_silu});
constinit const OpDef kMish =
    activation("mish", infer_floating, forward_floating<Mish>, backward_from_input<MishGradient>,
               nullptr, {.op_type = "Mish", .emit = emit_mish});

Tensor softplus(const Tensor& x, const SoftplusAttributes& attributes) {
  return apply({&kSoftplus, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor log_sigmoid(const Tensor& x) { return apply({&kLogSigmoid, {}}, detail::Borrowed(x)); }
Tensor gelu(const Tensor& x, const std::string& approximate) {
  return apply({&kGelu, Attributes::of(GeluAttributes{approximate})}, detail::Borrowed(x));
}
Tensor silu(const Tensor& x) { return apply({&kSilu, {}}, detail::Borrowed(x)); }
Tensor mish(const Tensor& x) { return apply({&kMish, {}}, detail::Borrowed(x)); }

Tensor glu(const Tensor& x, int axis) {
  require_defined(x, "glu");
  const int rank = x.rank();
  const int at = axis < 0 ? axis + rank : axis;
  PARE_CHECK(at >= 0 && at < rank, invalid_argument, "glu",
             "expected an axis of a tensor of rank {}, got {}", rank, axis);
  const std::int64_t length = x.dim(at);
  PARE_CHECK(length % 2 == 0, shape_mismatch, "glu", "expected an axis of even length, got {}",
             length);
  return mul(slice(x, at, 0, length / 2), sigmoid(slice(x, at, length / 2, length)));
}

}  // namespace pare
