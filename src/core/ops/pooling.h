// Windows and facts that the pooling ops share, over one to three spatial axes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "pare/core/ops/pooling.h"

namespace pare {

/// The part of a window along one axis: tap t lies at first + t · dilation.
struct PoolWindow {
  std::int64_t first;
  std::int64_t begin, end;  ///< the taps inside the picture
  std::int64_t counted;     ///< the taps inside the padded picture
};

/// One axis of the picture.
struct PoolAxis {
  std::int64_t size = 1, outputs = 1;
  std::int64_t kernel = 1;  ///< the taps of the largest window
  std::int64_t stride = 1, dilation = 1, padding = 0;
  /// Whether window i begins i · stride after the first one.
  bool regular = true;
};

/// Sizes of a pooling; a missing axis has size 1. Windows are precomputed, one per output index.
class PoolSizes {
 public:
  template <std::size_t N>
  PoolSizes(const PoolAttributes<N>& attributes, const Shape& x, const Shape& y);
  /// Adaptive pooling.
  PoolSizes(const Shape& x, const Shape& y);

  std::int64_t batch, channels;
  PoolAxis depth, height, width;
  bool count_padding = false;
  std::int64_t divisor_override = 0;

  const PoolWindow& z(std::int64_t i) const { return windows_[static_cast<std::size_t>(i)]; }
  const PoolWindow& y(std::int64_t i) const {
    return windows_[static_cast<std::size_t>(depth.outputs + i)];
  }
  const PoolWindow& x(std::int64_t i) const {
    return windows_[static_cast<std::size_t>(depth.outputs + height.outputs + i)];
  }
  std::int64_t pixels() const { return depth.size * height.size * width.size; }
  /// Rows of the result in one picture.
  std::int64_t rows() const { return depth.outputs * height.outputs; }
  std::int64_t taps() const { return depth.kernel * height.kernel * width.kernel; }
  /// Pixels from the picture's begin to where the first taps lie.
  std::int64_t corner(const PoolWindow& wz, const PoolWindow& wy, const PoolWindow& wx) const {
    return (wz.first * height.size + wy.first) * width.size + wx.first;
  }
  /// Pixels from there to a tap.
  std::int64_t offset(std::int64_t kz, std::int64_t ky, std::int64_t kx) const {
    return (kz * depth.dilation * height.size + ky * height.dilation) * width.size +
           kx * width.dilation;
  }
  std::int64_t tap(std::int64_t kz, std::int64_t ky, std::int64_t kx) const {
    return (kz * height.kernel + ky) * width.kernel + kx;
  }
  /// What the sum of a window is divided by.
  std::int64_t divisor(const PoolWindow& wz, const PoolWindow& wy, const PoolWindow& wx) const {
    if (divisor_override != 0) return divisor_override;
    if (count_padding) return wz.counted * wy.counted * wx.counted;
    return (wz.end - wz.begin) * (wy.end - wy.begin) * (wx.end - wx.begin);
  }
  /// Whether no element of x belongs to two windows.
  bool disjoint() const;
  /// Whether the windows tile x exactly.
  bool tiles() const;

 private:
  void make_windows(std::int64_t end_padding_z, std::int64_t end_padding_y,
                    std::int64_t end_padding_x);
  std::vector<PoolWindow> windows_;  // of z, then y, then x
};

/// The shape of the result; checks attributes and shape. `where` goes into messages.
template <std::size_t N>
Shape pool_shape(const PoolAttributes<N>& attributes, const Shape& x, const char* where);
Shape adaptive_pool_shape(const AdaptivePoolAttributes& attributes, const Shape& x,
                          const char* where);

/// The attributes of an ordinary pooling without padding that is the same, for known sizes where
/// all windows of an axis are alike; empty otherwise.
std::vector<std::int64_t> even_kernel(const std::vector<std::int64_t>& output, const Shape& x);

/// Channel k of the result is channel k of the input.
void link_channels(const Call& call, ChannelLinks& links);

/// Whether the sizes differ with and without ceil_mode. Where the last window would lie in the
/// padding they do not, but ONNX's shape inference counts it.
template <std::size_t N>
bool needs_ceil_mode(const PoolAttributes<N>& attributes, const OnnxEmitter& e) {
  if (!attributes.ceil_mode) return false;
  const Shape& x = e.input_shape(0);
  for (std::size_t i = 0; i < N; ++i) {
    const int a = 2 + static_cast<int>(i);
    if (x.symbolic(a)) return true;
    const std::int64_t room = x[a] + attributes.padding[i] + attributes.padding[i + N] -
                              attributes.dilation[i] * (attributes.kernel[i] - 1) - 1;
    if (room < 0 || e.output_shape(0)[a] != room / attributes.stride[i] + 1) return true;
  }
  return false;
}

/// Adds the attributes that ONNX's pooling nodes share.
template <std::size_t N>
void emit_pool(const PoolAttributes<N>& attributes, const OnnxEmitter& e, OnnxEmitter::Node& node) {
  node.attribute("kernel_shape", attributes.kernel)
      .attribute("strides", attributes.stride)
      .attribute("pads", attributes.padding)
      .attribute("ceil_mode", std::int64_t{needs_ceil_mode(attributes, e)});
}

/// Which poolings there are, for whoever treats them alike.
bool is_pool(const OpDef* op);
bool is_max_pool(const OpDef* op);
struct PoolCall {
  bool max;  ///< else the mean
  PoolSizes sizes;
};
/// Empty for another op, or where a shape is symbolic.
std::optional<PoolCall> pool_sizes_of(const Call& call, const Shape& x, const Shape& y);
/// "max pool", "average pool", "global average pool"
const char* pool_kernel_name(const Call& call);

// The loops, for all of these ops.
/// x and y in one memory format, f32, i8 or u8.
void average_forward(const PoolSizes& sizes, const Tensor& x, Tensor& y);
/// The gradient of x, of that shape, in `format`, from that of y.
Tensor average_backward(const PoolSizes& sizes, const Tensor& gradient, const Shape& shape,
                        MemoryFormat format);
/// As average_forward; `index`, if defined, takes the largest's tap (kz · kernel_y + ky) · kernel_x
/// + kx in the window, in max_index_dtype.
void max_forward(const PoolSizes& sizes, const Tensor& x, Tensor& y, Tensor& index);
Tensor max_backward(const PoolSizes& sizes, const Tensor& gradient, const Tensor& index,
                    const Shape& shape);
/// The smallest type that holds every tap.
DType max_index_dtype(std::int64_t taps);

}  // namespace pare
