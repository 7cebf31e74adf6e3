// Windows over spatial axes: what the attributes of convolutions and pooling say in ONNX.
#pragma once

#include <array>
#include <vector>

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// Per spatial axis; `padding` all before, then all after.
struct Windows {
  std::vector<std::int64_t> kernel, stride, dilation, padding;
  std::size_t axes() const { return kernel.size(); }
  std::int64_t reach(std::size_t axis) const { return (kernel[axis] - 1) * dilation[axis] + 1; }
};

/// Reads kernel_shape (or takes `kernel`, where that is not empty), strides, dilations, pads and
/// auto_pad of a node over x [N, C, …].
Windows windows_of(NodeImport& node, const Shape& x, const std::vector<std::int64_t>& kernel);

/// The numbers as the array of an attribute struct.
template <std::size_t N>
std::array<std::int64_t, N> to_array(const std::vector<std::int64_t>& values) {
  std::array<std::int64_t, N> out{};
  for (std::size_t i = 0; i < N; ++i) out[i] = values[i];
  return out;
}

}  // namespace pare::onnx
