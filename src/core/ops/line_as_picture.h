// conv1d as conv2d: lines as pictures of height 1, the same memory in both formats.
#pragma once

#include "core/ops/layout.h"
#include "pare/core/ops/convolution.h"

namespace pare {

/// [N, C, L] → [N, C, 1, L]; other ranks stay.
inline Shape with_height(const Shape& x) { return x.rank() == 3 ? Shape{x[0], x[1], 1, x[2]} : x; }
inline Tensor with_height(const Tensor& x) {
  return x.rank() == 3 ? share_memory(x, with_height(x.shape()), x.format()) : x;
}
inline Conv2dAttributes with_height(const Conv1dAttributes& a) {
  return {.stride = {1, a.stride[0]},
          .padding = {0, a.padding[0], 0, a.padding[1]},
          .dilation = {1, a.dilation[0]},
          .groups = a.groups};
}
inline ConvTranspose2dAttributes with_height(const ConvTranspose1dAttributes& a) {
  return {.stride = {1, a.stride[0]},
          .padding = {0, a.padding[0], 0, a.padding[1]},
          .output_padding = {0, a.output_padding[0]},
          .dilation = {1, a.dilation[0]},
          .groups = a.groups};
}

/// Whether the call is conv2d or can run as such.
inline bool is_picture_convolution(const OpDef* op) { return op == &kConv2d || op == &kConv1d; }
/// Its attributes as conv2d's.
inline Conv2dAttributes picture_attributes(const Call& call) {
  return call.op == &kConv1d ? with_height(call.attributes.as<Conv1dAttributes>())
                             : call.attributes.as<Conv2dAttributes>();
}

}  // namespace pare
