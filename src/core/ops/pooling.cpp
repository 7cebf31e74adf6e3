// Sizes and facts that the two-dimensional pooling ops share.
#include "core/ops/pooling.h"

#include <limits>

#include "core/check.h"

namespace pare {
namespace {

// Sums and products of two of these stay within 64 bits; taps are counted in 32.
constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();

void append_output_axis(Shape& y, const Pool2dAttributes& attr, const Shape& x, int a,
                        const char* where) {
  const auto i = static_cast<std::size_t>(a);
  const std::int64_t padding = attr.padding[i] + attr.padding[i + 2];
  if (x.symbolic(2 + a)) {
    PARE_CHECK(attr.stride[i] == 1 && padding == attr.kernel[i] - 1, unsupported, where,
               "expected a known {} where pooling changes it, got x {}",
               a == 0 ? "height" : "width", x);
    y.append(x, 2 + a);
    return;
  }
  const std::int64_t padded = x[2 + a] + padding;
  PARE_CHECK(attr.kernel[i] <= padded, shape_mismatch, where,
             "expected a kernel no larger than the padded input, got {} {} over {} for x {}",
             a == 0 ? "height" : "width", attr.kernel[i], padded, x);
  y.append((padded - attr.kernel[i]) / attr.stride[i] + 1);
}

}  // namespace

Shape pool2d_shape(const Pool2dAttributes& attr, const Shape& x, const char* where) {
  PARE_CHECK(x.rank() == 4, shape_mismatch, where, "expected x of shape [N, C, H, W], got {}", x);
  for (std::size_t i = 0; i < 2; ++i) {
    PARE_CHECK(attr.kernel[i] >= 1 && attr.stride[i] >= 1 && attr.kernel[i] <= kLimit &&
                   attr.stride[i] <= kLimit,
               invalid_argument, where, "expected kernels and strides of 1 to {}, got {} and {}",
               kLimit, attr.kernel[i], attr.stride[i]);
    for (const std::size_t side : {i, i + 2})
      PARE_CHECK(attr.padding[side] >= 0 && attr.padding[side] <= attr.kernel[i] / 2,
                 invalid_argument, where,
                 "expected padding of at most half the kernel ({}), got {}", attr.kernel[i],
                 attr.padding[side]);
  }
  PARE_CHECK(attr.kernel[0] * attr.kernel[1] <= kLimit, invalid_argument, where,
             "expected a kernel of at most {} taps, got {} by {}", kLimit, attr.kernel[0],
             attr.kernel[1]);
  // With padding a window could otherwise see no element at all.
  for (const int a : {2, 3})
    PARE_CHECK(x.symbolic(a) || x[a] >= 1, shape_mismatch, where,
               "expected pictures of 1 by 1 or more, got x {}", x);
  Shape y;
  y.append(x, 0);
  y.append(x, 1);
  append_output_axis(y, attr, x, 0, where);
  append_output_axis(y, attr, x, 1, where);
  return y;
}

void link_channels(const Call&, ChannelLinks& links) { links.tie(in(0), 1, out(0), 1); }

void emit_pool2d(const Pool2dAttributes& attr, OnnxEmitter::Node& node) {
  node.attribute("kernel_shape", attr.kernel)
      .attribute("strides", attr.stride)
      .attribute("pads", attr.padding);
}

}  // namespace pare
