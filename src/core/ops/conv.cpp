// conv1d, conv2d, conv3d: convolution with stride, padding, dilation and groups.
#include "core/kernels.h"
#include "core/ops/convolution.h"
#include "core/ops/convolution_portable.h"
#include "core/ops/layout.h"

namespace pare {
namespace {

constexpr const char* kNames[] = {"conv1d", "conv2d", "conv3d"};

template <std::size_t N> void infer(InferArgs& args) {
  const Shape y = convolution_shape(args.call.attributes.as<ConvolutionAttributes<N>>(),
                                    args.shape(0), args.shape(1), kNames[N - 1]);
  check_convolution_operands(args, y, kNames[N - 1]);
  args.output(0, y, DType::f32);
}

template <std::size_t N>
void run(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
         const Context&) {
  Tensor& y = outputs[0];
  const ConvolutionSizes sizes(call.attributes.as<ConvolutionAttributes<N>>(), inputs[0].shape(),
                               inputs[1].shape(), y.shape());
  convolution_forward(sizes, in_format(inputs[0], y.format()), in_format(inputs[1], y.format()),
                      inputs.size() > 2 ? inputs[2] : Tensor(), y);
}

template <std::size_t N> void backward(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  const ConvolutionSizes sizes(args.call().attributes.as<ConvolutionAttributes<N>>(),
                               args.input_shape(0), args.input_shape(1), g.shape());
  const MemoryFormat format = args.input_format(0);
  Tensor x;
  Tensor weight;
  Tensor gx;
  Tensor gw;
  Tensor gb;
  if (args.needs(0)) {
    weight = in_format(args.input(1), format);
    gx = Tensor::empty(args.input_shape(0), DType::f32, format);
  }
  if (args.needs(1)) {
    x = in_format(args.input(0), format);
    gw = Tensor::empty(args.input_shape(1), DType::f32, format);
  }
  if (args.inputs() > 2 && args.has_input(2) && args.needs(2))
    gb = Tensor::empty(args.input_shape(2));
  convolution_backward(sizes, x, weight, in_format(g, format), gx, gw, gb);
  if (gx.defined()) args.set(0, std::move(gx));
  if (gw.defined()) args.set(1, std::move(gw));
  if (gb.defined()) args.set(2, std::move(gb));
}

template <std::size_t N> void link(const Call& call, ChannelLinks& links) {
  link_convolution(call.attributes.as<ConvolutionAttributes<N>>().groups, links);
}

template <std::size_t N> bool resize(Call& call, const ChannelResize& resize) {
  auto attr = call.attributes.as<ConvolutionAttributes<N>>();
  attr.groups = resized_groups(attr.groups, resize);
  call.attributes = Attributes::of(attr);
  return true;
}

template <std::size_t N> void emit(const Call& call, OnnxEmitter& emitter) {
  emit_convolution("Conv", call.attributes.as<ConvolutionAttributes<N>>(), emitter);
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
      .defaults = [] { return Attributes::of(ConvolutionAttributes<N>{}); },
      .channels = {.kind = ChannelFact::Kind::rule, .rule = link<N>, .resize = resize<N>},
      .quantization = {.kind = QuantizationFact::Kind::own_range,
                       .weight_input = 1,
                       .weight_axis = 0,
                       .bias_input = 2},
      .onnx = {.op_type = "Conv", .opset = 11, .emit = emit<N>},
  };
}

}  // namespace

constinit const OpDef kConv1d = record<1>(&kernels::kConv1d);
constinit const OpDef kConv2d = record<2>(&kernels::kConv2d);
constinit const OpDef kConv3d = record<3>(&kernels::kConv3d);

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Attributes& attributes) {
  return apply_convolution(kConv1d, x, weight, bias, attributes);
}
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv1dAttributes& attributes) {
  return conv1d(x, weight, bias, Attributes::of(attributes));
}
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Attributes& attributes) {
  return apply_convolution(kConv2d, x, weight, bias, attributes);
}
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dAttributes& attributes) {
  return conv2d(x, weight, bias, Attributes::of(attributes));
}
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Attributes& attributes) {
  return apply_convolution(kConv3d, x, weight, bias, attributes);
}
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv3dAttributes& attributes) {
  return conv3d(x, weight, bias, Attributes::of(attributes));
}

}  // namespace pare
