// Convolutions over one to three spatial axes, and transposed convolutions.
#pragma once

#include <array>

#include "pare/core/op.h"

namespace pare {

namespace detail {
template <std::size_t N> constexpr std::array<std::int64_t, N> filled(std::int64_t value) {
  std::array<std::int64_t, N> all{};
  for (std::int64_t& v : all) v = value;
  return all;
}
}  // namespace detail

/// Settings of a convolution over N spatial axes.
template <std::size_t N> struct ConvolutionAttributes {
  std::array<std::int64_t, N> stride = detail::filled<N>(1);
  /// Before each axis, then after each: top, left, bottom, right.
  std::array<std::int64_t, 2 * N> padding{};
  std::array<std::int64_t, N> dilation = detail::filled<N>(1);
  std::int64_t groups = 1;
  void fields(AttributeVisitor& visit) {
    visit("stride", stride);
    visit("padding", padding);
    visit("dilation", dilation);
    visit("groups", groups);
  }
};
using Conv1dAttributes = ConvolutionAttributes<1>;
using Conv2dAttributes = ConvolutionAttributes<2>;
using Conv3dAttributes = ConvolutionAttributes<3>;

/// Settings of a transposed convolution: those of the convolution that it is the gradient of, and
/// what is added to the size of its result at the end of each axis, where a stride leaves several.
template <std::size_t N> struct ConvTransposeAttributes {
  std::array<std::int64_t, N> stride = detail::filled<N>(1);
  std::array<std::int64_t, 2 * N> padding{};  ///< cut off: before each axis, then after each
  std::array<std::int64_t, N> output_padding{};
  std::array<std::int64_t, N> dilation = detail::filled<N>(1);
  std::int64_t groups = 1;
  void fields(AttributeVisitor& visit) {
    visit("stride", stride);
    visit("padding", padding);
    visit("output_padding", output_padding);
    visit("dilation", dilation);
    visit("groups", groups);
  }
};
using ConvTranspose1dAttributes = ConvTransposeAttributes<1>;
using ConvTranspose2dAttributes = ConvTransposeAttributes<2>;
using ConvTranspose3dAttributes = ConvTransposeAttributes<3>;

PARE_API extern const OpDef kConv1d, kConv2d, kConv3d, kConvTranspose1d, kConvTranspose2d,
    kConvTranspose3d;

/// x [N, C, L], weight [O, C/groups, k], bias [O] or undefined → [N, O, L'], f32, with
/// L' = ⌊(L + padding − dilation·(k − 1) − 1) / stride⌋ + 1. Throws shape_mismatch, also where the
/// kernel is larger than the padded input, dtype_mismatch and invalid_argument.
PARE_API Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const Attributes& attributes);
PARE_API Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                       const Conv1dAttributes& attributes = {});
/// As conv1d: x [N, C, H, W], weight [O, C/groups, kH, kW].
PARE_API Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const Attributes& attributes);
PARE_API Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                       const Conv2dAttributes& attributes = {});
/// As conv1d: x [N, C, D, H, W], weight [O, C/groups, kD, kH, kW].
PARE_API Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const Attributes& attributes);
PARE_API Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                       const Conv3dAttributes& attributes = {});

/// x [N, C, L], weight [C, O/groups, k], bias [O] or undefined → [N, O, L'], f32, with
/// L' = (L − 1)·stride − padding + dilation·(k − 1) + output_padding + 1: the gradient of a
/// convolution with that weight. Throws shape_mismatch, also where L' is below 1, dtype_mismatch,
/// and invalid_argument, also for an output padding not below both stride and dilation.
PARE_API Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 const Attributes& attributes);
PARE_API Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                                 const ConvTranspose1dAttributes& attributes = {});
/// As conv_transpose1d: x [N, C, H, W], weight [C, O/groups, kH, kW].
PARE_API Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 const Attributes& attributes);
PARE_API Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                                 const ConvTranspose2dAttributes& attributes = {});
/// As conv_transpose1d: x [N, C, D, H, W], weight [C, O/groups, kD, kH, kW].
PARE_API Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 const Attributes& attributes);
PARE_API Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                                 const ConvTranspose3dAttributes& attributes = {});

}  // namespace pare
