// Import of convolutions and transposed convolutions over one to three axes.
#include "io/onnx/import_convolution.h"

#include <algorithm>

#include "core/check.h"
#include "io/onnx/import_bounds.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_spatial.h"

namespace pare::onnx {
namespace {

template <std::size_t N>
int convolve(NodeImport& node, const OpDef& op, const Windows& w, std::vector<int> inputs,
             std::int64_t groups) {
  ConvolutionAttributes<N> attributes;
  attributes.stride = to_array<N>(w.stride);
  attributes.padding = to_array<2 * N>(w.padding);
  attributes.dilation = to_array<N>(w.dilation);
  attributes.groups = groups;
  return call(node, op, attributes, std::move(inputs));
}

std::vector<std::int64_t> kernel_of(NodeImport& node, const Shape& x, const Shape& weight) {
  if (weight.rank() != x.rank() || weight.symbolic())
    node.refuse(fmt::format("a weight {} for x {}", weight, x));
  std::vector<std::int64_t> kernel;
  for (int a = 2; a < weight.rank(); ++a) kernel.push_back(weight[a]);
  return kernel;
}

std::vector<int> float_operands(NodeImport& node) {
  std::vector<int> inputs{as_f32(node, node.value(0)), as_f32(node, node.value(1))};
  if (node.has(2)) inputs.push_back(as_f32(node, node.value(2)));
  return inputs;
}

void import_conv(NodeImport& node) {
  const DType dtype = node.dtype(0);
  node.output(0, cast(node, convolution(node, float_operands(node)), dtype));
}

template <std::size_t N>
int convolve_back(NodeImport& node, const OpDef& op, const Windows& w,
                  const std::vector<std::int64_t>& output_padding, std::vector<int> inputs,
                  std::int64_t groups) {
  ConvTransposeAttributes<N> attributes;
  attributes.stride = to_array<N>(w.stride);
  attributes.padding = to_array<2 * N>(w.padding);
  attributes.output_padding = to_array<N>(output_padding);
  attributes.dilation = to_array<N>(w.dilation);
  attributes.groups = groups;
  return call(node, op, attributes, std::move(inputs));
}

/// A result of these sizes: what is too much is cut off, what is missing is added at the end. In
/// ONNX the larger half of an odd cut is in front unless SAME_UPPER is asked for.
void fit_output(NodeImport& node, const Shape& x, Windows& w,
                std::vector<std::int64_t>& output_padding, const std::string& automatic,
                const std::vector<std::int64_t>& wanted) {
  for (std::size_t i = 0; i < w.axes(); ++i) {
    const int axis = static_cast<int>(i) + 2;
    if (x.symbolic(axis))
      node.refuse(fmt::format("it needs a known size of axis {} of {}", axis, x));
    const std::int64_t size = wanted.empty() ? x[axis] * w.stride[i] : wanted[i];
    const std::int64_t whole = (x[axis] - 1) * w.stride[i] + output_padding[i] + w.reach(i);
    const std::int64_t cut = std::max<std::int64_t>(0, whole - size);
    output_padding[i] += std::max<std::int64_t>(0, size - whole);
    const std::int64_t smaller = cut / 2;
    w.padding[i] = automatic == "SAME_UPPER" ? smaller : cut - smaller;
    w.padding[i + w.axes()] = cut - w.padding[i];
  }
}

void import_conv_transpose(NodeImport& node) {
  const DType dtype = node.dtype(0);
  std::vector<int> inputs = float_operands(node);
  const Shape x = node.shape(0);
  const std::int64_t groups = node.integer("group", 1);
  Windows w = windows_of(node, x, kernel_of(node, x, shape_of(node, inputs[1])));
  const std::size_t count = w.axes();
  std::vector<std::int64_t> output_padding = node.integers("output_padding");
  if (output_padding.empty()) output_padding.assign(count, 0);
  std::vector<std::int64_t> wanted = node.integers("output_shape");
  // Some writers give batch and channels as well.
  if (wanted.size() == count + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (output_padding.size() != count || (!wanted.empty() && wanted.size() != count))
    node.refuse(fmt::format("{} output_padding and {} output_shape for {} spatial axes",
                            output_padding.size(), wanted.size(), count));
  constexpr std::int64_t kLongest = std::int64_t{1} << 40;
  for (const std::int64_t size : output_padding) within(node, size, 0, kLongest);
  for (const std::int64_t size : wanted) within(node, size, 0, kLongest);
  const std::string automatic = node.string("auto_pad", "NOTSET");
  if (!wanted.empty() || automatic == "SAME_UPPER" || automatic == "SAME_LOWER")
    fit_output(node, x, w, output_padding, automatic, wanted);
  int y = -1;
  if (count == 1)
    y = convolve_back<1>(node, kConvTranspose1d, w, output_padding, std::move(inputs), groups);
  else if (count == 2)
    y = convolve_back<2>(node, kConvTranspose2d, w, output_padding, std::move(inputs), groups);
  else if (count == 3)
    y = convolve_back<3>(node, kConvTranspose3d, w, output_padding, std::move(inputs), groups);
  else
    node.refuse(fmt::format("{} spatial axes", count));
  node.output(0, cast(node, y, dtype));
}

constexpr OpImport kImports[] = {
    {"Conv", "", import_conv},
    {"ConvTranspose", "", import_conv_transpose},
};

}  // namespace

int convolution(NodeImport& node, std::vector<int> inputs) {
  const Shape x = shape_of(node, inputs[0]);
  const std::int64_t groups = node.integer("group", 1);
  const Windows w = windows_of(node, x, kernel_of(node, x, shape_of(node, inputs[1])));
  switch (w.axes()) {
    case 1:
      return convolve<1>(node, kConv1d, w, std::move(inputs), groups);
    case 2:
      return convolve<2>(node, kConv2d, w, std::move(inputs), groups);
    case 3:
      return convolve<3>(node, kConv3d, w, std::move(inputs), groups);
    default:
      refuse(node, fmt::format("{} spatial axes", w.axes()));
  }
}

constinit const std::span<const OpImport> kConvolutionImports = kImports;

}  // namespace pare::onnx
