// conv_transpose1d, conv_transpose2d, conv_transpose3d: the gradient of a convolution's source.
#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/convolution.h"
#include "core/ops/convolution_portable.h"
#include "core/ops/layout.h"

namespace pare {
namespace {

constexpr const char* kNames[] = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"};

template <std::size_t N> void infer(InferArgs& args) {
  const Shape y = conv_transpose_shape(args.call.attributes.as<ConvTransposeAttributes<N>>(),
                                       args.shape(0), args.shape(1), kNames[N - 1]);
  check_convolution_operands(args, y, kNames[N - 1]);
  args.output(0, y, DType::f32);
}

/// The convolution from y to x.
template <std::size_t N>
ConvolutionSizes sizes_of(const Call& call, const Shape& x, const Shape& weight, const Shape& y) {
  return {convolution_of(call.attributes.as<ConvTransposeAttributes<N>>()), y, weight, x};
}

template <std::size_t N>
void run(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
         const Context&) {
  Tensor& y = outputs[0];
  const Tensor x = in_format(inputs[0], y.format());
  const Tensor weight = in_format(inputs[1], y.format());
  const ConvolutionSizes sizes = sizes_of<N>(call, x.shape(), weight.shape(), y.shape());
  Tensor none;
  convolution_backward(sizes, none, weight, x, y, none, none);
  if (inputs.size() > 2 && inputs[2].defined()) add_bias(y, inputs[2], y);
}

template <std::size_t N> void backward(BackwardArgs& args) {
  const MemoryFormat format = args.input_format(0);
  const Tensor g = in_format(args.grad_output(0), format);
  const ConvolutionSizes sizes =
      sizes_of<N>(args.call(), args.input_shape(0), args.input_shape(1), g.shape());
  Tensor none;
  if (args.needs(0)) {
    Tensor gx = Tensor::empty(args.input_shape(0), DType::f32, format);
    convolution_forward(sizes, g, in_format(args.input(1), format), none, gx);
    args.set(0, std::move(gx));
  }
  if (args.needs(1)) {
    Tensor gw = Tensor::empty(args.input_shape(1), DType::f32, format);
    convolution_backward(sizes, g, none, in_format(args.input(0), format), none, gw, none);
    args.set(1, std::move(gw));
  }
  if (args.inputs() > 2 && args.has_input(2) && args.needs(2)) args.set(2, bias_gradient(g));
}

template <std::size_t N> void link(const Call& call, ChannelLinks& links) {
  link_conv_transpose(call.attributes.as<ConvTransposeAttributes<N>>().groups, links);
}

template <std::size_t N> bool resize(Call& call, const ChannelResize& resize) {
  auto attr = call.attributes.as<ConvTransposeAttributes<N>>();
  attr.groups = resized_transpose_groups(attr.groups, resize);
  call.attributes = Attributes::of(attr);
  return true;
}

/// ONNX Runtime takes an output padding below the stride; what dilation allows beyond is less
/// padding.
template <std::size_t N> void emit(const Call& call, OnnxEmitter& emitter) {
  auto attr = call.attributes.as<ConvTransposeAttributes<N>>();
  for (std::size_t i = 0; i < N; ++i) {
    if (attr.output_padding[i] < attr.stride[i]) continue;
    PARE_CHECK(attr.output_padding[i] <= attr.padding[N + i], unsupported, kNames[N - 1],
               "expected an output padding below the stride {} or within the padding {} for ONNX, "
               "got {}",
               attr.stride[i], attr.padding[N + i], attr.output_padding[i]);
    attr.padding[N + i] -= attr.output_padding[i];
    attr.output_padding[i] = 0;
  }
  emit_convolution("ConvTranspose", attr, emitter).attribute("output_padding", attr.output_padding);
}

template <std::size_t N> constexpr OpDef record(const KernelList* kernels) {
  return {
      .name = kNames[N - 1],
      .min_inputs = 2,
      .max_inputs = 3,
      .format = FormatRule::keep,
      .infer = infer<N>,
      .forward = run<N>,
      .backward = backward<N>,
      .saves_inputs = 0b11,
      .products = 0b11,
      .kernels = kernels,
      .defaults = [] { return Attributes::of(ConvTransposeAttributes<N>{}); },
      .channels = {.kind = ChannelFact::Kind::rule, .rule = link<N>, .resize = resize<N>},
      .quantization = {.kind = QuantizationFact::Kind::own_range,
                       .weight_input = 1,
                       .weight_axis = 1,
                       .bias_input = 2},
      .onnx = {.op_type = "ConvTranspose", .opset = 11, .emit = emit<N>},
  };
}

}  // namespace

constinit const OpDef kConvTranspose1d = record<1>(&kernels::kConvTranspose1d);
constinit const OpDef kConvTranspose2d = record<2>(&kernels::kConvTranspose2d);
constinit const OpDef kConvTranspose3d = record<3>(&kernels::kConvTranspose3d);

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Attributes& attributes) {
  return apply_convolution(kConvTranspose1d, x, weight, bias, attributes);
}
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose1dAttributes& attributes) {
  return conv_transpose1d(x, weight, bias, Attributes::of(attributes));
}
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Attributes& attributes) {
  return apply_convolution(kConvTranspose2d, x, weight, bias, attributes);
}
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dAttributes& attributes) {
  return conv_transpose2d(x, weight, bias, Attributes::of(attributes));
}
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Attributes& attributes) {
  return apply_convolution(kConvTranspose3d, x, weight, bias, attributes);
}
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose3dAttributes& attributes) {
  return conv_transpose3d(x, weight, bias, Attributes::of(attributes));
}

}  // namespace pare
