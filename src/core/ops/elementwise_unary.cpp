// neg, exp, log, sqrt, clamp and the activations: one value at a time, in either memory format.
#include <cmath>
#include <type_traits>

#include "core/elementwise_op.h"
#include "core/vector_math.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

struct Neg {
  template <class T> PARE_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) {
      return -x;
    } else {
      using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
      return static_cast<T>(U{0} - static_cast<U>(x));
    }
  }
};
struct Exp {
  PARE_INLINE float operator()(float x) const { return vec::exp(x); }
  double operator()(double x) const { return std::exp(x); }
};
struct Log {
  PARE_INLINE float operator()(float x) const { return vec::log(x); }
  double operator()(double x) const { return std::log(x); }
};
struct Sqrt {
  PARE_INLINE float operator()(float x) const { return __builtin_sqrtf(x); }
  double operator()(double x) const { return std::sqrt(x); }
};
struct Sigmoid {
  PARE_INLINE float operator()(float x) const { return vec::sigmoid(x); }
  double operator()(double x) const { return 1.0 / (1.0 + std::exp(-x)); }
};
struct Tanh {
  PARE_INLINE float operator()(float x) const { return vec::tanh(x); }
  double operator()(double x) const { return std::tanh(x); }
};
// Comparisons are written so that NaN stays NaN.
struct Relu {
  template <class T> PARE_INLINE T operator()(T x) const { return x < T(0) ? T(0) : x; }
};
struct Relu6 {
  template <class T> PARE_INLINE T operator()(T x) const {
    const T low = x < T(0) ? T(0) : x;
    return low > T(6) ? T(6) : low;
  }
};
template <class T> struct Clamp {
  T min, max;
  PARE_INLINE T operator()(T x) const {
    const T low = x < min ? min : x;
    return low > max ? max : low;
  }
};

// Gradients of the input, from the gradient and what was saved: the input x or the output y.
struct ExpGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return g * y; }
};
struct LogGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const { return g / x; }
};
struct SqrtGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return g / (y + y); }
};
struct SigmoidGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return g * (y * (T(1) - y)); }
};
struct TanhGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return g * (T(1) - y * y); }
};
struct ReluGradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const { return y <= T(0) ? T(0) : g; }
};
struct Relu6Gradient {
  template <class T> PARE_INLINE T operator()(T g, T y) const {
    return ((y <= T(0)) | (y >= T(6))) ? T(0) : g;
  }
};
template <class T> struct ClampGradient {
  T min, max;
  PARE_INLINE T operator()(T g, T x) const { return ((x >= min) & (x <= max)) ? g : T(0); }
};

void backward_neg(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  const Tensor inputs[1] = {g};
  Tensor outputs[1] = {Tensor::empty(g.shape(), g.dtype(), g.format())};
  forward_number<Neg>(args.call(), inputs, outputs, context());
  args.set(0, outputs[0]);
}

/// The bounds in the tensor's own type; for integers the integers within.
template <class T> Clamp<T> bounds(const ClampAttributes& a) {
  if constexpr (std::is_floating_point_v<T>) {
    return {static_cast<T>(a.min), static_cast<T>(a.max)};
  } else {
    constexpr auto kLowest = std::numeric_limits<T>::lowest();
    constexpr auto kHighest = std::numeric_limits<T>::max();
    const auto to_integer = [](double v) {
      if (v <= static_cast<double>(kLowest)) return kLowest;
      return v >= static_cast<double>(kHighest) ? kHighest : static_cast<T>(v);
    };
    return {to_integer(std::ceil(a.min)), to_integer(std::floor(a.max))};
  }
}

void infer_clamp(InferArgs& args) {
  const auto& a = args.call.attributes.as<ClampAttributes>();
  PARE_CHECK(a.min <= a.max, invalid_argument, "clamp", "expected min ≤ max, got {} and {}", a.min,
             a.max);
  infer_number(args);
}

void forward_clamp(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  visit_arithmetic(dtype, "clamp", [&](auto type) {
    using T = decltype(type);
    map_tensor<T>(inputs[0], outputs[0], bounds<T>(call.attributes.as<ClampAttributes>()));
  });
}

void backward_clamp(BackwardArgs& args) {
  const auto& a = args.call().attributes.as<ClampAttributes>();
  give_gradient(args, args.input(0), [&](auto type) {
    // PyTorch passes nothing at the bounds: what lies next to them bounds what passes.
    using T = decltype(type);
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    const auto limits = bounds<T>(a);
    return ClampGradient<T>{
        limits.min == -kInfinity ? limits.min : std::nextafter(limits.min, kInfinity),
        limits.max == kInfinity ? limits.max : std::nextafter(limits.max, -kInfinity)};
  });
}

void emit_clip(OnnxEmitter& e, double min, double max) {
  const auto bound = [&](double v) {
    return std::isinf(v) ? std::string() : e.constant(Tensor::scalar(v, e.input_dtype(0)));
  };
  e.node("Clip", {e.input(0), bound(min), bound(max)}, {e.output(0)});
}

constexpr OpDef unary(const char* name, bool floating, ForwardFunction run,
                      BackwardFunction gradient, OnnxForm onnx, QuantizationFact quantization) {
  return {.name = name,
          .format = FormatRule::keep,
          .infer = floating ? infer_floating : infer_number,
          .forward = run,
          .backward = gradient,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .quantization = quantization,
          .onnx = onnx};
}
using Kind = QuantizationFact::Kind;

}  // namespace

constinit const OpDef kNeg =
    unary("neg", false, forward_number<Neg>, backward_neg, {.op_type = "Neg"}, {});
constinit const OpDef kExp = saving_output(unary(
    "exp", true, forward_floating<Exp>, backward_from_output<ExpGradient>, {.op_type = "Exp"}, {}));
constinit const OpDef kLog = saving_input(unary(
    "log", true, forward_floating<Log>, backward_from_input<LogGradient>, {.op_type = "Log"}, {}));
constinit const OpDef kSqrt =
    saving_output(unary("sqrt", true, forward_floating<Sqrt>, backward_from_output<SqrtGradient>,
                        {.op_type = "Sqrt"}, {}));
constinit const OpDef kRelu =
    saving_output(unary("relu", false, forward_number<Relu>, backward_from_output<ReluGradient>,
                        {.op_type = "Relu"}, {.kind = Kind::fused_activation}));
constinit const OpDef kRelu6 = saving_output(
    unary("relu6", false, forward_number<Relu6>, backward_from_output<Relu6Gradient>,
          {.op_type = "Clip", .emit = [](const Call&, OnnxEmitter& e) { emit_clip(e, 0.0, 6.0); }},
          {.kind = Kind::fused_activation}));
constinit const OpDef kSigmoid = saving_output(
    unary("sigmoid", true, forward_floating<Sigmoid>, backward_from_output<SigmoidGradient>,
          {.op_type = "Sigmoid"}, {.kind = Kind::fixed, .scale = 1.0 / 256, .zero_point = 0}));
constinit const OpDef kTanh = saving_output(
    unary("tanh", true, forward_floating<Tanh>, backward_from_output<TanhGradient>,
          {.op_type = "Tanh"}, {.kind = Kind::fixed, .scale = 1.0 / 128, .zero_point = 128}));

constinit const OpDef kClamp = {
    .name = "clamp",
    .format = FormatRule::keep,
    .infer = infer_clamp,
    .forward = forward_clamp,
    .backward = backward_clamp,
    .saves_inputs = 1,
    .defaults = [] { return Attributes::of(ClampAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::elementwise},
    .quantization = {.kind = Kind::same_as_input},
    .onnx = {.op_type = "Clip", .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<ClampAttributes>();
               emit_clip(e, a.min, a.max);
             }}};

Tensor neg(const Tensor& x) { return apply({&kNeg, {}}, detail::Borrowed(x)); }
Tensor exp(const Tensor& x) { return apply({&kExp, {}}, detail::Borrowed(x)); }
Tensor log(const Tensor& x) { return apply({&kLog, {}}, detail::Borrowed(x)); }
Tensor sqrt(const Tensor& x) { return apply({&kSqrt, {}}, detail::Borrowed(x)); }
Tensor clamp(const Tensor& x, double min, double max) {
  return apply({&kClamp, Attributes::of(ClampAttributes{min, max})}, detail::Borrowed(x));
}
Tensor relu(const Tensor& x) { return apply({&kRelu, {}}, detail::Borrowed(x)); }
Tensor relu6(const Tensor& x) { return apply({&kRelu6, {}}, detail::Borrowed(x)); }
Tensor sigmoid(const Tensor& x) { return apply({&kSigmoid, {}}, detail::Borrowed(x)); }
Tensor tanh(const Tensor& x) { return apply({&kTanh, {}}, detail::Borrowed(x)); }

}  // namespace pare
