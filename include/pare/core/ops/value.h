// Ops between tensors and their shapes: shape, size, squeeze, nonzero, compress.
#pragma once

#include <cstdint>
#include <limits>

#include "pare/core/op.h"

namespace pare {

// Records of other families take what their attributes say as tensors too, where such inputs are
// given, as ONNX does (shapes, bounds and axes are i64 or i32; what is in brackets may be left
// out): reshape (x, shape); expand (x, shape), whose sizes broadcast both ways; slice (x, starts,
// ends, [axes], [steps]); pad (x, amounts, [axes], [value]) and pad_border (x, amounts, [axes]),
// amounts all before and then all after; tile (x, repeats); resize (x, [sizes], [scales]); topk
// (x, k); one_hot (indices, [depth], [values: off, on]); trilu (x, diagonal); cumsum and cumprod
// (x, axis); sum, mean, max, min, prod, norm and logsumexp (x, axes: none are all). ONNX's
// ConstantOfShape is expand of a scalar.

// squeeze and unsqueeze are the forms whose axes are a second input; of known axes they are
// reshapes.
PARE_API extern const OpDef kShape, kSize, kSqueeze, kUnsqueeze, kNonZero, kCompress;

/// ONNX's Shape: the sizes of the axes from `start` to before `end`; negative ones count from the
/// end, both are clamped.
struct ShapeAttributes {
  std::int64_t start = 0;
  std::int64_t end = std::numeric_limits<std::int64_t>::max();
  void fields(AttributeVisitor& visit) {
    visit("start", start);
    visit("end", end);
  }
};
struct CompressAttributes {
  std::int64_t axis = 0;
  bool flat = true;  ///< of all elements in order; else along `axis`
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("flat", flat);
  }
};

/// The sizes of x, i64 [rank]. In a trace they are computed, not constants.
PARE_API Tensor shape_of(const Tensor& x, const ShapeAttributes& attributes = {});
/// The number of elements of x, an i64 scalar.
PARE_API Tensor size_of(const Tensor& x);
/// Without `axes` (i64 or i32 [n], each of size 1). Throws shape_mismatch, out_of_range,
/// dtype_mismatch.
PARE_API Tensor squeeze(const Tensor& x, const Tensor& axes);
/// With new axes of size 1 at the places `axes` (i64 or i32 [n]) of the result. Throws
/// out_of_range, invalid_argument, dtype_mismatch.
PARE_API Tensor unsqueeze(const Tensor& x, const Tensor& axes);
/// Where x is not 0: i64 [rank, count], the places in order; a scalar counts as one axis. Throws
/// dtype_mismatch. ONNX's NonZero; torch.nonzero gives the transpose.
PARE_API Tensor nonzero(const Tensor& x);
/// What x has where `condition` (bool [n]) is true: elements of all in order, or slices along an
/// axis; beyond the condition's end nothing. Throws dtype_mismatch, shape_mismatch, out_of_range.
/// ONNX's Compress; torch.masked_select where the condition is flattened too.
PARE_API Tensor compress(const Tensor& x, const Tensor& condition,
                         const CompressAttributes& attributes = {});

}  // namespace pare
