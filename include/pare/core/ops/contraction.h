// Matrix products and convolutions.
#pragma once

#include <array>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kMatmul, kLinear, kConv2d;

struct Conv2dAttributes {
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 4> padding{0, 0, 0, 0};  ///< top, left, bottom, right
  std::array<std::int64_t, 2> dilation{1, 1};
  std::int64_t groups = 1;
  void fields(AttributeVisitor& visit) {
    visit("stride", stride);
    visit("padding", padding);
    visit("dilation", dilation);
    visit("groups", groups);
  }
};

/// NumPy's matmul: the last two axes are multiplied, the others broadcast; rank 1 is a row or
/// column.
PARE_API Tensor matmul(const Tensor& a, const Tensor& b);
/// x [..., in] · weightᵀ [out, in] + bias [out] (bias may be undefined).
PARE_API Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
/// x [N, C, H, W], weight [O, C/groups, kH, kW], bias [O] or undefined.
/// Throws shape_mismatch also where the kernel is larger than the padded input.
PARE_API Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const Attributes& attributes);
PARE_API Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                       const Conv2dAttributes& attributes = {});

}  // namespace pare
