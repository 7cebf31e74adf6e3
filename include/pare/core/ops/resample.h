// Ops between resolutions: resize, depth and space, unfold and fold.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kResize, kDepthToSpace, kSpaceToDepth, kUnfold, kFold;

/// ONNX's Resize. Either sizes or scales are given, one per axis (of `axes`, where those are
/// named). The record takes them as tensors too: resize (x, sizes, scales), one of them left out.
struct ResizeAttributes {
  std::string mode = "nearest";          ///< "nearest", "linear" or "cubic"
  std::vector<std::int64_t> sizes = {};  ///< of the result; −1 keeps the input's
  std::vector<double> scales = {};       ///< the result has floor(size · scale); 1 keeps the axis
  /// Where in the input an index of the result lies: "half_pixel", "half_pixel_symmetric",
  /// "pytorch_half_pixel", "align_corners" or "asymmetric".
  std::string coordinates = "half_pixel";
  /// "round_prefer_floor", "round_prefer_ceil", "floor" or "ceil".
  std::string nearest = "round_prefer_floor";
  double cubic_coefficient = -0.75;
  bool exclude_outside = false;  ///< weights outside the input are 0 and the others scaled up
  bool antialias = false;        ///< linear and cubic: a wider filter where the result is smaller
  std::vector<std::int64_t> axes = {};  ///< that sizes and scales are for; empty: all
  /// What sizes mean: "stretch", or one scale for all their axes with a result "not_larger" or
  /// "not_smaller" than they say.
  std::string policy = "stretch";
  void fields(AttributeVisitor& visit) {
    visit("mode", mode);
    visit("sizes", sizes);
    visit("scales", scales);
    visit("coordinates", coordinates);
    visit("nearest", nearest);
    visit("cubic_coefficient", cubic_coefficient);
    visit("exclude_outside", exclude_outside);
    visit("antialias", antialias);
    visit("axes", axes);
    visit("policy", policy);
  }
};
/// `order` says which part of the channel axis is the place in the block: "DCR" the first
/// (b, b, C), "CRD" the last (C, b, b: PyTorch's pixel_shuffle).
struct DepthSpaceAttributes {
  std::int64_t block = 2;
  std::string order = "DCR";
  void fields(AttributeVisitor& visit) {
    visit("block", block);
    visit("order", order);
  }
};
struct UnfoldAttributes {
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};  ///< on both sides
  void fields(AttributeVisitor& visit) {
    visit("kernel", kernel);
    visit("stride", stride);
    visit("dilation", dilation);
    visit("padding", padding);
  }
};
struct FoldAttributes {
  std::array<std::int64_t, 2> output{1, 1};  ///< height and width of the result
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};
  void fields(AttributeVisitor& visit) {
    visit("output", output);
    visit("kernel", kernel);
    visit("stride", stride);
    visit("dilation", dilation);
    visit("padding", padding);
  }
};

/// Another number of elements along some axes, by interpolation. Nearest takes every dtype, the
/// others floating ones. Throws invalid_argument, dtype_mismatch, shape_mismatch, unsupported.
PARE_API Tensor resize(const Tensor& x, const ResizeAttributes& attributes);

/// One of size and scale is given: one number for all spatial axes, or one for each.
struct InterpolateOptions {
  std::vector<std::int64_t> size = {};
  std::vector<double> scale = {};
  /// "nearest", "nearest-exact", "linear", "bilinear", "trilinear" or "bicubic".
  std::string mode = "nearest";
  bool align_corners = false;
  bool antialias = false;  ///< bilinear and bicubic
};
/// torch.nn.functional.interpolate of x [N, C, spatial…]. Throws invalid_argument, unsupported.
PARE_API Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

/// [N, C·b², H, W] → [N, C, H·b, W·b]. Throws shape_mismatch, invalid_argument.
PARE_API Tensor depth_to_space(const Tensor& x, const DepthSpaceAttributes& attributes);
/// [N, C, H·b, W·b] → [N, C·b², H, W]. Throws shape_mismatch, invalid_argument.
PARE_API Tensor space_to_depth(const Tensor& x, const DepthSpaceAttributes& attributes);
/// depth_to_space in PyTorch's order of channels.
PARE_API Tensor pixel_shuffle(const Tensor& x, std::int64_t factor);
/// Its inverse.
PARE_API Tensor pixel_unshuffle(const Tensor& x, std::int64_t factor);

/// im2col: [N, C, H, W] → [N, C·kh·kw, places], what a kernel sees at each of its places. Throws
/// shape_mismatch, invalid_argument.
PARE_API Tensor unfold(const Tensor& x, const UnfoldAttributes& attributes);
/// col2im: [N, C·kh·kw, places] → [N, C, H, W], each element the sum of what was taken of it.
/// Throws shape_mismatch, dtype_mismatch, invalid_argument.
PARE_API Tensor fold(const Tensor& x, const FoldAttributes& attributes);

}  // namespace pare
