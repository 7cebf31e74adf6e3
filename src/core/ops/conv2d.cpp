// conv2d: two-dimensional convolution with stride, padding, dilation and groups.
#include "core/ops/conv2d.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/conv2d_portable.h"
#include "core/ops/layout.h"

namespace pare {
namespace {

constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();

/// Appends the output's size along spatial axis a (0: height, 1: width).
void append_output_axis(Shape& y, const Conv2dAttributes& attr, const Shape& x, const Shape& weight,
                        int a, const char* where) {
  const auto i = static_cast<std::size_t>(a);
  const std::int64_t reach = attr.dilation[i] * (weight[2 + a] - 1) + 1;
  const std::int64_t padding = attr.padding[i] + attr.padding[i + 2];
  if (x.symbolic(2 + a)) {
    PARE_CHECK(attr.stride[i] == 1 && padding == reach - 1, unsupported, where,
               "expected a known {} where the convolution changes it, got x {}",
               a == 0 ? "height" : "width", x);
    y.append(x, 2 + a);
    return;
  }
  const std::int64_t padded = x[2 + a] + padding;
  PARE_CHECK(reach <= padded, shape_mismatch, where,
             "expected a kernel no larger than the padded input, got {} {} (dilated) over {} "
             "(padded) for x {} and weight {}",
             a == 0 ? "height" : "width", reach, padded, x, weight);
  y.append((padded - reach) / attr.stride[i] + 1);
}

}  // namespace

Shape conv2d_shape(const Conv2dAttributes& attr, const Shape& x, const Shape& weight,
                   const char* where) {
  PARE_CHECK(x.rank() == 4, shape_mismatch, where, "expected x of shape [N, C, H, W], got {}", x);
  PARE_CHECK(weight.rank() == 4, shape_mismatch, where,
             "expected a weight of shape [O, C/groups, kH, kW], got {}", weight);
  PARE_CHECK(attr.groups >= 1, invalid_argument, where, "expected groups of 1 or more, got {}",
             attr.groups);
  for (std::size_t i = 0; i < 2; ++i) {
    PARE_CHECK(attr.stride[i] >= 1 && attr.dilation[i] >= 1 && attr.stride[i] <= kLimit &&
                   attr.dilation[i] <= kLimit,
               invalid_argument, where,
               "expected strides and dilations of 1 or more, got {} and {}", attr.stride[i],
               attr.dilation[i]);
  }
  for (const std::int64_t p : attr.padding)
    PARE_CHECK(p >= 0 && p <= kLimit, invalid_argument, where,
               "expected padding of 0 or more, got {}", p);
  PARE_CHECK(weight[0] % attr.groups == 0, shape_mismatch, where,
             "expected output channels divisible by {} groups, got weight {}", attr.groups, weight);
  PARE_CHECK(x[1] == weight[1] * attr.groups, shape_mismatch, where,
             "expected x with {} channels ({} groups of {}), got x {} for weight {}",
             weight[1] * attr.groups, attr.groups, weight[1], x, weight);
  PARE_CHECK(weight[2] >= 1 && weight[3] >= 1, shape_mismatch, where,
             "expected a kernel of 1 by 1 or more, got weight {}", weight);
  Shape y;
  y.append(x, 0);
  y.append(weight, 0);
  append_output_axis(y, attr, x, weight, 0, where);
  append_output_axis(y, attr, x, weight, 1, where);
  return y;
}

Conv2dSizes::Conv2dSizes(const Conv2dAttributes& a, const Shape& x, const Shape& weight,
                         const Shape& y)
    : batch(x[0]),
      channels(x[1]),
      height(x[2]),
      width(x[3]),
      outputs(y[1]),
      out_height(y[2]),
      out_width(y[3]),
      kernel_height(weight[2]),
      kernel_width(weight[3]),
      groups(a.groups),
      stride_y(a.stride[0]),
      stride_x(a.stride[1]),
      pad_top(a.padding[0]),
      pad_left(a.padding[1]),
      dilation_y(a.dilation[0]),
      dilation_x(a.dilation[1]),
      group_channels(channels / groups),
      group_outputs(outputs / groups),
      taps(group_channels * kernel_height * kernel_width),
      pixels(out_height * out_width),
      pointwise(kernel_height == 1 && kernel_width == 1 && stride_y == 1 && stride_x == 1 &&
                out_height == height && out_width == width && pad_top == 0 && pad_left == 0) {}

namespace {

void infer_conv2d(InferArgs& args) {
  PARE_CHECK(args.dtype(0) == DType::f32 && args.dtype(1) == DType::f32 &&
                 (!args.has(2) || args.dtype(2) == DType::f32),
             dtype_mismatch, "conv2d", "expected f32 operands, got x {}, weight {}{}",
             args.dtype(0), args.dtype(1),
             args.has(2) ? fmt::format(", bias {}", args.dtype(2)) : "");
  const Shape& weight = args.shape(1);
  const Shape y =
      conv2d_shape(args.call.attributes.as<Conv2dAttributes>(), args.shape(0), weight, "conv2d");
  if (args.has(2)) {
    const Shape& bias = args.shape(2);
    PARE_CHECK(bias.rank() == 1 && bias.same_axis(0, weight, 0), shape_mismatch, "conv2d",
               "expected a bias of shape [{}], got {}", weight[0], bias);
  }
  args.output(0, y, DType::f32);
}

void forward_conv2d(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  Tensor& y = outputs[0];
  const Conv2dSizes sizes(call.attributes.as<Conv2dAttributes>(), inputs[0].shape(),
                          inputs[1].shape(), y.shape());
  conv2d_forward(sizes, in_format(inputs[0], y.format()), in_format(inputs[1], y.format()),
                 inputs.size() > 2 ? inputs[2] : Tensor(), y);
}

void backward_conv2d(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  const Conv2dSizes sizes(args.call().attributes.as<Conv2dAttributes>(), args.input_shape(0),
                          args.input_shape(1), g.shape());
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
  conv2d_backward(sizes, x, weight, in_format(g, format), gx, gw, gb);
  if (gx.defined()) args.set(0, std::move(gx));
  if (gw.defined()) args.set(1, std::move(gw));
  if (gb.defined()) args.set(2, std::move(gb));
}

/// A cut must leave the groups equal. Depthwise: a channel goes with its outputs, and the number of
/// groups follows. Grouped: channel i of every group goes together, so do outputs j of every group.
void link_conv2d(const Call& call, ChannelLinks& links) {
  const std::int64_t groups = call.attributes.as<Conv2dAttributes>().groups;
  const Shape& weight = links.shape(in(1));
  links.tie(in(1), 0, out(0), 1);
  if (links.has(in(2))) links.tie(in(2), 0, out(0), 1);
  if (groups == 1) {
    links.reduce(in(0), 1, in(1), 1);
    return;
  }
  const std::int64_t channels = weight[1];
  const std::int64_t outputs = weight[0] / groups;
  for (std::int64_t g = 0; g < groups; ++g) {
    if (channels == 1) {
      for (std::int64_t j = 0; j < outputs; ++j)
        links.tie_at(in(0), 1, g, in(1), 0, g * outputs + j);
      continue;
    }
    for (std::int64_t i = 0; i < channels; ++i)
      links.tie_at(in(0), 1, g * channels + i, in(1), 1, i);
    for (std::int64_t j = 0; j < outputs; ++j) links.tie_at(in(1), 0, g * outputs + j, in(1), 0, j);
  }
}

bool resize_conv2d(Call& call, const ChannelResize& resize) {
  Conv2dAttributes attr = call.attributes.as<Conv2dAttributes>();
  const bool depthwise = attr.groups > 1 && resize.shape(in(1))[1] == 1;
  const std::vector<std::int64_t>* kept = resize.kept(in(0), 1);
  if (!depthwise || !kept) return true;
  attr.groups = static_cast<std::int64_t>(kept->size());
  call.attributes = Attributes::of(attr);
  return true;
}

void emit_conv2d(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<Conv2dAttributes>();
  const Shape& weight = emitter.input_shape(1);
  const std::int64_t kernel[] = {weight[2], weight[3]};
  std::vector<std::string> names{emitter.input(0), emitter.input(1)};
  if (emitter.has_input(2)) names.push_back(emitter.input(2));
  emitter.node("Conv", names, {emitter.output(0)})
      .attribute("kernel_shape", kernel)
      .attribute("strides", attr.stride)
      .attribute("pads", attr.padding)
      .attribute("dilations", attr.dilation)
      .attribute("group", attr.groups);
}

}  // namespace

constinit const OpDef kConv2d = {
    .name = "conv2d",
    .min_inputs = 2,
    .max_inputs = 3,
    .format = FormatRule::keep,
    .infer = infer_conv2d,
    .forward = forward_conv2d,
    .backward = backward_conv2d,
    .saves_inputs = 0b11,
    .kernels = &kernels::kConv2d,
    .defaults = [] { return Attributes::of(Conv2dAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_conv2d, .resize = resize_conv2d},
    .quantization = {.kind = QuantizationFact::Kind::own_range,
                     .weight_input = 1,
                     .weight_axis = 0,
                     .bias_input = 2},
    .onnx = {.op_type = "Conv", .opset = 11, .emit = emit_conv2d},
};

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Attributes& attributes) {
  const Call call{&kConv2d, attributes};
  if (bias.defined()) return apply(call, detail::Borrowed(x, weight, bias));
  return apply(call, detail::Borrowed(x, weight));
}
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dAttributes& attributes) {
  return conv2d(x, weight, bias, Attributes::of(attributes));
}

}  // namespace pare
