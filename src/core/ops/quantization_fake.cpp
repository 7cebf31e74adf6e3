// fake_quantize: rounds to the codes and back, with a straight-through gradient.
#include "core/check.h"
#include "core/quantize_loops.h"
#include "pare/core/ops/quantization.h"

namespace pare {
namespace {

struct FakeQuantized {
  PARE_INLINE float operator()(float x, float, const CodeSpace& c) const {
    return fake_quantized(x, c.scale, c.low, c.high);
  }
};
struct StraightThrough {
  PARE_INLINE float operator()(float x, float gradient, const CodeSpace& c) const {
    return passes_gradient(x, c.scale, c.low, c.high) ? gradient : 0.0F;
  }
};

QuantizeParameters parameters(const FakeQuantizeAttributes& a, const Tensor& x, const Tensor& scale,
                              const Tensor& zero) {
  QuantizeParameters p(x, scale, zero, a.axis, a.qmin, a.qmax);
  p.check_scales("fake_quantize");
  PARE_CHECK(p.fits, invalid_argument, "fake_quantize",
             "expected zero points within 2^22 of [{}, {}], got one outside", a.qmin, a.qmax);
  return p;
}

void infer(InferArgs& args) {
  const auto& a = args.call.attributes.as<FakeQuantizeAttributes>();
  PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "fake_quantize", "expected f32, got {}",
             args.dtype(0));
  PARE_CHECK(a.qmin < a.qmax && codes_fit(a.qmin, a.qmax, 0), invalid_argument, "fake_quantize",
             "expected qmin < qmax within ±2^22, got {} and {}", a.qmin, a.qmax);
  check_quantize_parameters(args, a.axis, DType::i32);
  args.output(0, args.shape(0), DType::f32);
}

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context&) {
  const auto p = parameters(call.attributes.as<FakeQuantizeAttributes>(), inputs[0], inputs[1],
                            inputs.size() > 2 ? inputs[2] : Tensor());
  const float* x = inputs[0].data<float>();
  map_codes(p, x, x, outputs[0].mutable_data<float>(), FakeQuantized{});
}

void backward(BackwardArgs& args) {
  if (!args.needs(0)) return;
  const Tensor& x = args.input(0);
  const auto p = parameters(args.call().attributes.as<FakeQuantizeAttributes>(), x, args.input(1),
                            args.has_input(2) ? args.input(2) : Tensor());
  const Tensor gradient = in_format(args.grad_output(0), x.format());
  Tensor result = Tensor::empty(x.shape(), DType::f32, x.format());
  map_codes(p, x.data<float>(), gradient.data<float>(), result.mutable_data<float>(),
            StraightThrough{});
  args.set(0, std::move(result));
}

/// The first of ONNX's code types that holds [qmin, qmax]; i32, which it cannot quantize to, if
/// none.
DType code_type(std::int64_t qmin, std::int64_t qmax) {
  for (const DType d : {DType::u8, DType::i8, DType::u16, DType::i16}) {
    if (static_cast<double>(qmin) >= traits(d).lowest &&
        static_cast<double>(qmax) <= traits(d).highest)
      return d;
  }
  return DType::i32;
}

void emit(const Call& call, OnnxEmitter& e) {
  const auto& a = call.attributes.as<FakeQuantizeAttributes>();
  const DType codes = code_type(a.qmin, a.qmax);
  const std::string quantized_name = e.temporary();
  emit_quantize(e, codes, a.axis, a.qmin, a.qmax, quantized_name);
  emit_dequantize(e, quantized_name, codes, a.axis);
}

}  // namespace

constinit const OpDef kFakeQuantize = {
    .name = "fake_quantize",
    .min_inputs = 2,
    .max_inputs = 3,
    .format = FormatRule::keep,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saves_inputs = 7,
    .defaults = [] { return Attributes::of(FakeQuantizeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_quantize_channels(call.attributes.as<FakeQuantizeAttributes>().axis,
                                              links);
                     }},
    .onnx = {.op_type = "QuantizeLinear", .emit = emit}};

Tensor fake_quantize(const Tensor& x, const Tensor& scale, const Tensor& zero_point,
                     const FakeQuantizeAttributes& attributes) {
  return apply({&kFakeQuantize, Attributes::of(attributes)},
               detail::Borrowed(x, scale, zero_point));
}

}  // namespace pare
