// Activations made of pieces: leaky_relu, the elu family, hardsigmoid, hardswish, hardtanh,
// softsign.
#include "core/elementwise_op.h"
#include "core/vector_special.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

// Comparisons are written so that NaN stays NaN, and take PyTorch's side at kinks.
template <class T> struct LeakyRelu {
  T slope;
  PARE_INLINE T operator()(T x) const { return x > T(0) ? x : x * slope; }
};
template <class T> struct LeakyReluGradient {
  T slope;
  PARE_INLINE T operator()(T g, T x) const { return x > T(0) ? g : g * slope; }
};

/// positive · x above 0, negative · (e^(inner · x) − 1) elsewhere: elu, selu and celu.
template <class T> struct Elu {
  T negative, positive, inner;
  PARE_INLINE T operator()(T x) const {
    const T below = negative * vec::expm1(x * inner);
    return x > T(0) ? positive * x : below;
  }
};
template <class T> struct EluGradient {
  T slope, positive, inner;  // slope: negative · inner
  PARE_INLINE T operator()(T g, T x) const {
    const T below = slope * vec::exp(x * inner);
    return g * (x > T(0) ? positive : below);
  }
};

/// relu6(x + 3)
template <class T> PARE_INLINE T ramp(T x) {
  const T low = x + T(3) < T(0) ? T(0) : x + T(3);
  return low > T(6) ? T(6) : low;
}
struct Hardsigmoid {
  template <class T> PARE_INLINE T operator()(T x) const { return ramp(x) / T(6); }
};
struct HardsigmoidGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    return ((x > T(-3)) & (x < T(3))) ? g / T(6) : T(0);
  }
};
struct Hardswish {
  template <class T> PARE_INLINE T operator()(T x) const { return x * ramp(x) / T(6); }
};
struct HardswishGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    const T inside = g * (x / T(3) + T(0.5));
    const T above = x >= T(3) ? g : inside;
    return x <= T(-3) ? T(0) : above;
  }
};
template <class T> struct Hardtanh {
  T min, max;
  PARE_INLINE T operator()(T x) const {
    const T low = x < min ? min : x;
    return low > max ? max : low;
  }
};
template <class T> struct HardtanhGradient {
  T min, max;
  PARE_INLINE T operator()(T g, T x) const { return ((x <= min) | (x >= max)) ? T(0) : g; }
};
struct Softsign {
  template <class T> PARE_INLINE T operator()(T x) const { return x / (T(1) + vec::magnitude(x)); }
};
struct SoftsignGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const {
    const T d = T(1) + vec::magnitude(x);
    return g / (d * d);
  }
};

void forward_leaky_relu(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context& context) {
  const double slope = call.attributes.as<LeakyReluAttributes>().slope;
  map_floating(call, inputs, outputs, context, [&](auto type) {
    using T = decltype(type);
    return LeakyRelu<T>{static_cast<T>(slope)};
  });
}
void backward_leaky_relu(BackwardArgs& args) {
  const double slope = args.call().attributes.as<LeakyReluAttributes>().slope;
  give_gradient(args, args.input(0), [&](auto type) {
    using T = decltype(type);
    return LeakyReluGradient<T>{static_cast<T>(slope)};
  });
}

struct EluNumbers {
  double negative, positive, inner;
};
EluNumbers numbers_of(const Call& call) {
  constexpr double kScale = 1.0507009873554804934193349852946;
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  if (call.op == &kSelu) return {kScale * kAlpha, kScale, 1};
  const double alpha = call.attributes.as<EluAttributes>().alpha;
  if (call.op == &kCelu) return {alpha, 1, 1 / alpha};
  return {alpha, 1, 1};
}
void infer_celu(InferArgs& args) {
  PARE_CHECK(args.call.attributes.as<EluAttributes>().alpha != 0, invalid_argument, "celu",
             "expected an alpha other than 0, got {}", 0);
  infer_floating(args);
}
void forward_elu(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  const EluNumbers n = numbers_of(call);
  map_floating(call, inputs, outputs, context, [&](auto type) {
    using T = decltype(type);
    return Elu<T>{static_cast<T>(n.negative), static_cast<T>(n.positive), static_cast<T>(n.inner)};
  });
}
void backward_elu(BackwardArgs& args) {
  const EluNumbers n = numbers_of(args.call());
  give_gradient(args, args.input(0), [&](auto type) {
    using T = decltype(type);
    return EluGradient<T>{static_cast<T>(n.negative * n.inner), static_cast<T>(n.positive),
                          static_cast<T>(n.inner)};
  });
}

void infer_hardtanh(InferArgs& args) {
  const auto& a = args.call.attributes.as<HardtanhAttributes>();
  PARE_CHECK(a.min <= a.max, invalid_argument, "hardtanh", "expected min ≤ max, got {} and {}",
             a.min, a.max);
  infer_floating(args);
}
void forward_hardtanh(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context) {
  const auto& a = call.attributes.as<HardtanhAttributes>();
  map_floating(call, inputs, outputs, context, [&](auto type) {
    using T = decltype(type);
    return Hardtanh<T>{static_cast<T>(a.min), static_cast<T>(a.max)};
  });
}
void backward_hardtanh(BackwardArgs& args) {
  const auto& a = args.call().attributes.as<HardtanhAttributes>();
  give_gradient(args, args.input(0), [&](auto type) {
    using T = decltype(type);
    return HardtanhGradient<T>{static_cast<T>(a.min), static_cast<T>(a.max)};
  });
}

OnnxEmitter::Node& emit_unary(OnnxEmitter& e, const char* type) {
  return e.node(type, {e.input(0)}, {e.output(0)});
}
void emit_alpha(const Call& call, OnnxEmitter& e) {
  emit_unary(e, call.op->onnx.op_type)
      .attribute("alpha", call.attributes.as<EluAttributes>().alpha);
}

constexpr OpDef activation(const char* name, void (*infer)(InferArgs&), ForwardFunction run,
                           BackwardFunction gradient, Attributes (*defaults)(), OnnxForm onnx,
                           QuantizationFact quantization) {
  return {.name = name,
          .format = FormatRule::keep,
          .infer = infer,
          .forward = run,
          .backward = gradient,
          .saves_inputs = 1,
          .defaults = defaults,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .quantization = quantization,
          .onnx = onnx};
}

Attributes elu_defaults() { return Attributes::of(EluAttributes{}); }

using Kind = QuantizationFact::Kind;

}  // namespace

constinit const OpDef kLeakyRelu =
    activation("leaky_relu", infer_floating, forward_leaky_relu, backward_leaky_relu,
               [] { return Attributes::of(LeakyReluAttributes{}); },
               {.op_type = "LeakyRelu",
                .opset = 6,
                .emit =
                    [](const Call& call, OnnxEmitter& e) {
                      emit_unary(e, "LeakyRelu")
                          .attribute("alpha", call.attributes.as<LeakyReluAttributes>().slope);
                    }},
               {.kind = Kind::own_range});
constinit const OpDef kElu =
    activation("elu", infer_floating, forward_elu, backward_elu, elu_defaults,
               {.op_type = "Elu", .opset = 6, .emit = emit_alpha}, {.kind = Kind::own_range});
constinit const OpDef kSelu =
    activation("selu", infer_floating, forward_elu, backward_elu, nullptr,
               {.op_type = "Selu", .opset = 6}, {.kind = Kind::own_range});
constinit const OpDef kCelu =
    activation("celu", infer_celu, forward_elu, backward_elu, elu_defaults,
               {.op_type = "Celu", .opset = 12, .emit = emit_alpha}, {.kind = Kind::own_range});
constinit const OpDef kHardsigmoid = activation(
    "hardsigmoid", infer_floating, forward_floating<Hardsigmoid>,
    backward_from_input<HardsigmoidGradient>, nullptr,
    {.op_type = "HardSigmoid",
     .opset = 6,
     .emit =
         [](const Call&, OnnxEmitter& e) {
           emit_unary(e, "HardSigmoid").attribute("alpha", 1.0 / 6).attribute("beta", 0.5);
         }},
    {.kind = Kind::fixed, .scale = 1.0 / 256, .zero_point = 0});
constinit const OpDef kHardswish =
    activation("hardswish", infer_floating, forward_floating<Hardswish>,
               backward_from_input<HardswishGradient>, nullptr,
               {.op_type = "HardSwish", .opset = 14}, {.kind = Kind::own_range});
constinit const OpDef kHardtanh =
    activation("hardtanh", infer_hardtanh, forward_hardtanh, backward_hardtanh,
               [] { return Attributes::of(HardtanhAttributes{}); },
               {.op_type = "Clip",
                .emit =
                    [](const Call& call, OnnxEmitter& e) {
                      const auto& a = call.attributes.as<HardtanhAttributes>();
                      const DType dtype = e.input_dtype(0);
                      e.node("Clip",
                             {e.input(0), e.constant(Tensor::scalar(a.min, dtype)),
                              e.constant(Tensor::scalar(a.max, dtype))},
                             {e.output(0)});
                    }},
               {.kind = Kind::same_as_input});
constinit const OpDef kSoftsign =
    activation("softsign", infer_floating, forward_floating<Softsign>,
               backward_from_input<SoftsignGradient>, nullptr, {.op_type = "Softsign", .opset = 1},
               {.kind = Kind::fixed, .scale = 1.0 / 128, .zero_point = 128});

Tensor leaky_relu(const Tensor& x, double slope) {
  return apply({&kLeakyRelu, Attributes::of(LeakyReluAttributes{slope})}, detail::Borrowed(x));
}
Tensor elu(const Tensor& x, double alpha) {
  return apply({&kElu, Attributes::of(EluAttributes{alpha})}, detail::Borrowed(x));
}
Tensor selu(const Tensor& x) { return apply({&kSelu, {}}, detail::Borrowed(x)); }
Tensor celu(const Tensor& x, double alpha) {
  return apply({&kCelu, Attributes::of(EluAttributes{alpha})}, detail::Borrowed(x));
}
Tensor hardsigmoid(const Tensor& x) { return apply({&kHardsigmoid, {}}, detail::Borrowed(x)); }
Tensor hardswish(const Tensor& x) { return apply({&kHardswish, {}}, detail::Borrowed(x)); }
Tensor hardtanh(const Tensor& x, double min, double max) {
  return apply({&kHardtanh, Attributes::of(HardtanhAttributes{min, max})}, detail::Borrowed(x));
}
Tensor softsign(const Tensor& x) { return apply({&kSoftsign, {}}, detail::Borrowed(x)); }

}  // namespace pare
