// Sizes of a two-dimensional convolution, shared by its float and its integer form.
#pragma once

#include <cstdint>

#include "pare/core/ops/contraction.h"

namespace pare {

/// The shape of the result; checks attributes and shapes. `where` goes into messages.
Shape conv2d_shape(const Conv2dAttributes& attributes, const Shape& x, const Shape& weight,
                   const char* where);

struct Conv2dSizes {
  Conv2dSizes(const Conv2dAttributes& a, const Shape& x, const Shape& weight, const Shape& y);

  std::int64_t batch, channels, height, width;  // of x
  std::int64_t outputs, out_height, out_width;  // of y
  std::int64_t kernel_height, kernel_width, groups;
  std::int64_t stride_y, stride_x, pad_top, pad_left, dilation_y, dilation_x;
  std::int64_t group_channels, group_outputs;  // per group
  std::int64_t taps;                           // weights of one output
  std::int64_t pixels;                         // out_height · out_width
  /// Whether a pixel of y reads just the same pixel of x.
  bool pointwise;
};

}  // namespace pare
