// Sizes and facts that convolutions over one to three axes share, in float and integer form.
#include "core/ops/convolution.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/ops/axis_name.h"
#include "core/size_expression.h"

namespace pare {
namespace {

constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();

const char* spatial_axes(int spatial) {
  return spatial == 1 ? "L" : spatial == 2 ? "H, W" : "D, H, W";
}
const char* kernel_axes(int spatial) {
  return spatial == 1 ? "k" : spatial == 2 ? "kH, kW" : "kD, kH, kW";
}
const char* smallest_kernel(int spatial) {
  return spatial == 1 ? "1" : spatial == 2 ? "1 by 1" : "1 by 1 by 1";
}

/// What both kinds ask of x, weight and attributes.
template <class Attributes>
void check(const Attributes& attr, const Shape& x, const Shape& weight, const char* weight_channels,
           const char* where) {
  const auto n = static_cast<int>(attr.stride.size());
  PARE_CHECK(x.rank() == n + 2, shape_mismatch, where, "expected x of shape [N, C, {}], got {}",
             spatial_axes(n), x);
  PARE_CHECK(weight.rank() == n + 2, shape_mismatch, where,
             "expected a weight of shape [{}, {}], got {}", weight_channels, kernel_axes(n),
             weight);
  PARE_CHECK(attr.groups >= 1, invalid_argument, where, "expected groups of 1 or more, got {}",
             attr.groups);
  for (std::size_t i = 0; i < attr.stride.size(); ++i)
    PARE_CHECK(attr.stride[i] >= 1 && attr.dilation[i] >= 1 && attr.stride[i] <= kLimit &&
                   attr.dilation[i] <= kLimit,
               invalid_argument, where,
               "expected strides and dilations of 1 to 2^31 - 1, got {} and {}", attr.stride[i],
               attr.dilation[i]);
  for (const std::int64_t p : attr.padding)
    PARE_CHECK(p >= 0 && p <= kLimit, invalid_argument, where,
               "expected padding of 0 or more, got {}", p);
  for (int a = 2; a < weight.rank(); ++a)
    PARE_CHECK(weight[a] >= 1 && weight[a] <= kLimit, shape_mismatch, where,
               "expected a kernel of {} or more, got weight {}", smallest_kernel(n), weight);
}

template <std::size_t N>
void append_output_axis(Shape& y, const ConvolutionAttributes<N>& attr, const Shape& x,
                        const Shape& weight, int a, const char* where) {
  const auto i = static_cast<std::size_t>(a);
  const char* name = axis_name(a, static_cast<int>(N));
  const std::int64_t reach = attr.dilation[i] * (weight[2 + a] - 1) + 1;
  const std::int64_t padding = attr.padding[i] + attr.padding[i + N];
  if (x.symbolic(2 + a)) {
    const SizeExpression room = SizeExpression::of(x, 2 + a) + (padding - reach);
    (room.divided_down(attr.stride[i]) + 1).append_to(y);
    return;
  }
  const std::int64_t padded = x[2 + a] + padding;
  PARE_CHECK(reach <= padded, shape_mismatch, where,
             "expected a kernel no larger than the padded input, got {} {} (dilated) over {} "
             "(padded) for x {} and weight {}",
             name, reach, padded, x, weight);
  y.append((padded - reach) / attr.stride[i] + 1);
}

template <std::size_t N>
void append_transposed_axis(Shape& y, const ConvTransposeAttributes<N>& attr, const Shape& x,
                            const Shape& weight, int a, const char* where) {
  const auto i = static_cast<std::size_t>(a);
  const char* name = axis_name(a, static_cast<int>(N));
  const std::int64_t reach = attr.dilation[i] * (weight[2 + a] - 1) + 1;
  const std::int64_t added = attr.output_padding[i] - attr.padding[i] - attr.padding[i + N];
  if (x.symbolic(2 + a)) {
    ((SizeExpression::of(x, 2 + a) - 1) * attr.stride[i] + (reach + added)).append_to(y);
    return;
  }
  PARE_CHECK(x[2 + a] >= 1 && x[2 + a] <= kLimit, shape_mismatch, where,
             "expected an input of one pixel or more, got x {}", x);
  const std::int64_t size = (x[2 + a] - 1) * attr.stride[i] + reach + added;
  PARE_CHECK(size >= 1, shape_mismatch, where,
             "expected an output of one pixel or more, got {} {} for x {} and weight {}", name,
             size, x, weight);
  y.append(size);
}

}  // namespace

template <std::size_t N>
Shape convolution_shape(const ConvolutionAttributes<N>& attr, const Shape& x, const Shape& weight,
                        const char* where) {
  check(attr, x, weight, "O, C/groups", where);
  PARE_CHECK(weight[0] % attr.groups == 0, shape_mismatch, where,
             "expected output channels divisible by {} groups, got weight {}", attr.groups, weight);
  PARE_CHECK(x.symbolic(1) || x[1] == weight[1] * attr.groups, shape_mismatch, where,
             "expected x with {} channels ({} groups of {}), got x {} for weight {}",
             weight[1] * attr.groups, attr.groups, weight[1], x, weight);
  Shape y;
  y.append(x, 0);
  y.append(weight, 0);
  for (int a = 0; a < static_cast<int>(N); ++a) append_output_axis(y, attr, x, weight, a, where);
  return y;
}
template Shape convolution_shape(const Conv1dAttributes&, const Shape&, const Shape&, const char*);
template Shape convolution_shape(const Conv2dAttributes&, const Shape&, const Shape&, const char*);
template Shape convolution_shape(const Conv3dAttributes&, const Shape&, const Shape&, const char*);

template <std::size_t N>
Shape conv_transpose_shape(const ConvTransposeAttributes<N>& attr, const Shape& x,
                           const Shape& weight, const char* where) {
  check(attr, x, weight, "C, O/groups", where);
  for (std::size_t i = 0; i < N; ++i)
    PARE_CHECK(attr.output_padding[i] >= 0 &&
                   attr.output_padding[i] < std::max(attr.stride[i], attr.dilation[i]),
               invalid_argument, where,
               "expected output padding from 0 to below the larger of stride {} and dilation {}, "
               "got {}",
               attr.stride[i], attr.dilation[i], attr.output_padding[i]);
  PARE_CHECK(weight[0] % attr.groups == 0, shape_mismatch, where,
             "expected input channels divisible by {} groups, got weight {}", attr.groups, weight);
  PARE_CHECK(x.same_axis(1, weight, 0), shape_mismatch, where,
             "expected x with {} channels, got x {} for weight {}", weight[0], x, weight);
  Shape y;
  y.append(x, 0);
  y.append(weight[1] * attr.groups);
  for (int a = 0; a < static_cast<int>(N); ++a)
    append_transposed_axis(y, attr, x, weight, a, where);
  return y;
}
template Shape conv_transpose_shape(const ConvTranspose1dAttributes&, const Shape&, const Shape&,
                                    const char*);
template Shape conv_transpose_shape(const ConvTranspose2dAttributes&, const Shape&, const Shape&,
                                    const char*);
template Shape conv_transpose_shape(const ConvTranspose3dAttributes&, const Shape&, const Shape&,
                                    const char*);

template <std::size_t N>
ConvolutionAttributes<N> convolution_of(const ConvTransposeAttributes<N>& attr) {
  ConvolutionAttributes<N> out{.stride = attr.stride,
                               .padding = attr.padding,
                               .dilation = attr.dilation,
                               .groups = attr.groups};
  // What was added at the end is padding that is not there; below 0 nobody reads it.
  for (std::size_t i = 0; i < N; ++i) out.padding[N + i] -= attr.output_padding[i];
  return out;
}
template Conv1dAttributes convolution_of(const ConvTranspose1dAttributes&);
template Conv2dAttributes convolution_of(const ConvTranspose2dAttributes&);
template Conv3dAttributes convolution_of(const ConvTranspose3dAttributes&);

template <std::size_t N>
ConvolutionSizes::ConvolutionSizes(const ConvolutionAttributes<N>& a, const Shape& x,
                                   const Shape& weight, const Shape& y)
    : batch(x[0]), channels(x[1]), outputs(y[1]), groups(a.groups) {
  struct Axis {
    std::int64_t size = 1, out = 1, kernel = 1, stride = 1, padding = 0, dilation = 1;
  };
  Axis axes[3];  // z, y, x
  for (std::size_t i = 0; i < N; ++i) {
    const int at = 2 + static_cast<int>(i);
    axes[3 - N + i] = {x[at], y[at], weight[at], a.stride[i], a.padding[i], a.dilation[i]};
  }
  const auto spread = [&](std::int64_t Axis::*field, std::int64_t& z, std::int64_t& v,
                          std::int64_t& h) {
    z = axes[0].*field;
    v = axes[1].*field;
    h = axes[2].*field;
  };
  spread(&Axis::size, depth, height, width);
  spread(&Axis::out, out_depth, out_height, out_width);
  spread(&Axis::kernel, kernel_depth, kernel_height, kernel_width);
  spread(&Axis::stride, stride_z, stride_y, stride_x);
  spread(&Axis::padding, pad_front, pad_top, pad_left);
  spread(&Axis::dilation, dilation_z, dilation_y, dilation_x);
  group_channels = channels / groups;
  group_outputs = outputs / groups;
  taps = group_channels * kernel_depth * kernel_height * kernel_width;
  pixels = out_depth * out_height * out_width;
  source_pixels = depth * height * width;
  pointwise = true;
  for (const Axis& axis : axes)
    pointwise = pointwise && axis.kernel == 1 && axis.stride == 1 && axis.padding == 0 &&
                axis.out == axis.size;
}
template ConvolutionSizes::ConvolutionSizes(const Conv1dAttributes&, const Shape&, const Shape&,
                                            const Shape&);
template ConvolutionSizes::ConvolutionSizes(const Conv2dAttributes&, const Shape&, const Shape&,
                                            const Shape&);
template ConvolutionSizes::ConvolutionSizes(const Conv3dAttributes&, const Shape&, const Shape&,
                                            const Shape&);

Tensor apply_convolution(const OpDef& op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const Attributes& attributes) {
  const Call call{&op, attributes};
  if (bias.defined()) return apply(call, detail::Borrowed(x, weight, bias));
  return apply(call, detail::Borrowed(x, weight));
}

bool is_convolution(const OpDef* op) { return op == &kConv1d || op == &kConv2d || op == &kConv3d; }
bool is_conv_transpose(const OpDef* op) {
  return op == &kConvTranspose1d || op == &kConvTranspose2d || op == &kConvTranspose3d;
}

std::int64_t groups_of(const Call& call) {
  const OpDef* op = call.op;
  if (op == &kConv1d) return call.attributes.as<Conv1dAttributes>().groups;
  if (op == &kConv2d) return call.attributes.as<Conv2dAttributes>().groups;
  if (op == &kConv3d) return call.attributes.as<Conv3dAttributes>().groups;
  if (op == &kConvTranspose1d) return call.attributes.as<ConvTranspose1dAttributes>().groups;
  if (op == &kConvTranspose2d) return call.attributes.as<ConvTranspose2dAttributes>().groups;
  PARE_ASSERT(op == &kConvTranspose3d);
  return call.attributes.as<ConvTranspose3dAttributes>().groups;
}

void check_convolution_operands(const InferArgs& args, const Shape& y, const char* where) {
  PARE_CHECK(args.dtype(0) == DType::f32 && args.dtype(1) == DType::f32 &&
                 (!args.has(2) || args.dtype(2) == DType::f32),
             dtype_mismatch, where, "expected f32 operands, got x {}, weight {}{}", args.dtype(0),
             args.dtype(1), args.has(2) ? fmt::format(", bias {}", args.dtype(2)) : "");
  if (!args.has(2)) return;
  const Shape& bias = args.shape(2);
  PARE_CHECK(bias.rank() == 1 && bias.same_axis(0, y, 1), shape_mismatch, where,
             "expected a bias of shape [{}], got {}", y[1], bias);
}

namespace {

/// `reduced`: the operand whose channels the weight's axis 1 meets group by group; `along`: the one
/// whose channels are the weight's axis 0.
void link(std::int64_t groups, ChannelLinks& links, Operand reduced, Operand along) {
  const Shape& weight = links.shape(in(1));
  links.tie(in(1), 0, along, 1);
  const std::int64_t channels = weight[1];
  const std::int64_t outputs = weight[0] / groups;
  for (std::int64_t g = 0; g < groups; ++g) {
    if (channels == 1) {
      for (std::int64_t j = 0; j < outputs; ++j)
        links.tie_at(reduced, 1, g, in(1), 0, g * outputs + j);
      continue;
    }
    for (std::int64_t i = 0; i < channels; ++i)
      links.tie_at(reduced, 1, g * channels + i, in(1), 1, i);
    for (std::int64_t j = 0; j < outputs; ++j) links.tie_at(in(1), 0, g * outputs + j, in(1), 0, j);
  }
}

std::int64_t resized(std::int64_t groups, const ChannelResize& resize, Operand reduced) {
  const std::vector<std::int64_t>* kept = resize.kept(reduced, 1);
  const bool depthwise = groups > 1 && resize.shape(in(1))[1] == 1;
  return depthwise && kept ? static_cast<std::int64_t>(kept->size()) : groups;
}

}  // namespace

void link_convolution(std::int64_t groups, ChannelLinks& links) {
  if (links.has(in(2))) links.tie(in(2), 0, out(0), 1);
  if (groups > 1) return link(groups, links, in(0), out(0));
  links.tie(in(1), 0, out(0), 1);
  links.reduce(in(0), 1, in(1), 1);
}

void link_conv_transpose(std::int64_t groups, ChannelLinks& links) {
  if (links.has(in(2))) links.tie(in(2), 0, out(0), 1);
  if (groups > 1) return link(groups, links, out(0), in(0));
  links.tie(in(1), 1, out(0), 1);
  links.reduce(in(0), 1, in(1), 0);
}

std::int64_t resized_groups(std::int64_t groups, const ChannelResize& resize) {
  return resized(groups, resize, in(0));
}
std::int64_t resized_transpose_groups(std::int64_t groups, const ChannelResize& resize) {
  return resized(groups, resize, out(0));
}

}  // namespace pare
