// Sizes and facts that convolutions over one to three axes share, in float and integer form.
#pragma once

#include <cstdint>

#include "pare/core/ops/convolution.h"

namespace pare {

/// The shape of the result; checks attributes and shapes. `where` goes into messages.
template <std::size_t N>
Shape convolution_shape(const ConvolutionAttributes<N>& attributes, const Shape& x,
                        const Shape& weight, const char* where);
/// The same of a transposed convolution.
template <std::size_t N>
Shape conv_transpose_shape(const ConvTransposeAttributes<N>& attributes, const Shape& x,
                           const Shape& weight, const char* where);

/// The convolution that a transposed one is the gradient of: from its result to its input.
template <std::size_t N>
ConvolutionAttributes<N> convolution_of(const ConvTransposeAttributes<N>& attributes);

/// A missing axis has size 1. Elements are counted from x and y: padding at the end is not needed.
struct ConvolutionSizes {
  template <std::size_t N>
  ConvolutionSizes(const ConvolutionAttributes<N>& a, const Shape& x, const Shape& weight,
                   const Shape& y);

  std::int64_t batch, channels, depth, height, width;      // of x
  std::int64_t outputs, out_depth, out_height, out_width;  // of y
  std::int64_t kernel_depth, kernel_height, kernel_width, groups;
  std::int64_t stride_z, stride_y, stride_x;
  std::int64_t pad_front, pad_top, pad_left;
  std::int64_t dilation_z, dilation_y, dilation_x;
  std::int64_t group_channels, group_outputs;  // per group
  std::int64_t taps;                           // weights of one output
  std::int64_t pixels;                         // out_depth · out_height · out_width
  std::int64_t source_pixels;                  // depth · height · width
  /// Whether a pixel of y reads just the same pixel of x.
  bool pointwise;
};

/// Applies either kind; `bias` may be undefined.
Tensor apply_convolution(const OpDef& op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const Attributes& attributes);

/// conv1d, conv2d, conv3d.
bool is_convolution(const OpDef* op);
/// conv_transpose1d, conv_transpose2d, conv_transpose3d.
bool is_conv_transpose(const OpDef* op);
/// The groups of either.
std::int64_t groups_of(const Call& call);

/// Checks that operands of a convolution are f32, and the bias [channels of y].
void check_convolution_operands(const InferArgs& args, const Shape& y, const char* where);

/// Ties the channels of x, weight and y. A cut must leave the groups equal. Depthwise: a channel
/// goes with its outputs, and the number of groups follows. Grouped: channel i of every group goes
/// together, so do outputs j of every group.
void link_convolution(std::int64_t groups, ChannelLinks& links);
/// The same where the weight is [C, O/groups, …].
void link_conv_transpose(std::int64_t groups, ChannelLinks& links);

/// The number of groups after a cut.
std::int64_t resized_groups(std::int64_t groups, const ChannelResize& resize);
/// The same where the weight is [C, O/groups, …].
std::int64_t resized_transpose_groups(std::int64_t groups, const ChannelResize& resize);

/// Begins ONNX's Conv or ConvTranspose with what both have.
template <class Attributes>
OnnxEmitter::Node& emit_convolution(const char* op_type, const Attributes& attr,
                                    OnnxEmitter& emitter) {
  const Shape& weight = emitter.input_shape(1);
  std::vector<std::int64_t> kernel;
  for (int a = 2; a < weight.rank(); ++a) kernel.push_back(weight[a]);
  std::vector<std::string> names{emitter.input(0), emitter.input(1)};
  if (emitter.has_input(2)) names.push_back(emitter.input(2));
  return emitter.node(op_type, names, {emitter.output(0)})
      .attribute("kernel_shape", kernel)
      .attribute("strides", attr.stride)
      .attribute("pads", attr.padding)
      .attribute("dilations", attr.dilation)
      .attribute("group", attr.groups);
}

}  // namespace pare
