// Sizes and facts that the two-dimensional pooling ops share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "pare/core/ops/pooling.h"

namespace pare {

/// The shape of the result; checks attributes and shape. `where` goes into messages.
Shape pool2d_shape(const Pool2dAttributes& attributes, const Shape& x, const char* where);

/// The taps [begin, end) of a window that lie inside the picture, along one axis.
struct PoolTaps {
  std::int64_t begin, end;
};

struct Pool2dSizes {
  Pool2dSizes(const Pool2dAttributes& a, const Shape& x, const Shape& y)
      : batch(x[0]),
        channels(x[1]),
        height(x[2]),
        width(x[3]),
        out_height(y[2]),
        out_width(y[3]),
        kernel_y(a.kernel[0]),
        kernel_x(a.kernel[1]),
        stride_y(a.stride[0]),
        stride_x(a.stride[1]),
        pad_top(a.padding[0]),
        pad_left(a.padding[1]) {}

  std::int64_t row_of(std::int64_t out_y) const { return out_y * stride_y - pad_top; }
  std::int64_t column_of(std::int64_t out_x) const { return out_x * stride_x - pad_left; }
  PoolTaps rows(std::int64_t out_y) const { return taps(row_of(out_y), kernel_y, height); }
  PoolTaps columns(std::int64_t out_x) const { return taps(column_of(out_x), kernel_x, width); }
  static PoolTaps taps(std::int64_t first, std::int64_t kernel, std::int64_t size) {
    return {std::max<std::int64_t>(0, -first), std::min(kernel, size - first)};
  }
  /// Whether no element of x belongs to two windows.
  bool disjoint() const { return stride_y >= kernel_y && stride_x >= kernel_x; }
  /// Whether the windows tile x exactly.
  bool tiles() const {
    return pad_top == 0 && pad_left == 0 && stride_y == kernel_y && stride_x == kernel_x &&
           out_height * kernel_y == height && out_width * kernel_x == width;
  }

  std::int64_t batch, channels, height, width, out_height, out_width;
  std::int64_t kernel_y, kernel_x, stride_y, stride_x, pad_top, pad_left;
};

/// Channel k of the result is channel k of the input.
void link_channels(const Call& call, ChannelLinks& links);

/// Adds the attributes that ONNX's pooling nodes share.
void emit_pool2d(const Pool2dAttributes& attributes, OnnxEmitter::Node& node);

}  // namespace pare
