// Ops that move elements without changing them.
#pragma once

#include <vector>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kReshape, kTranspose, kConcat, kSlice, kPad, kExpand, kGather;

struct ReshapeAttributes {
  /// ONNX's Reshape: 0 copies the input's size at that place, −1 is what remains (once).
  std::vector<std::int64_t> shape;
  void fields(AttributeVisitor& visit) { visit("shape", shape); }
};
struct TransposeAttributes {
  std::vector<std::int64_t> permutation;  ///< output axis k is input axis permutation[k]
  void fields(AttributeVisitor& visit) { visit("permutation", permutation); }
};
struct ConcatAttributes {
  std::int64_t axis = 0;
  void fields(AttributeVisitor& visit) { visit("axis", axis); }
};
/// One entry each per sliced axis; NumPy's meaning, steps other than 0, ends clamped.
struct SliceAttributes {
  std::vector<std::int64_t> axes, starts, ends, steps;
  void fields(AttributeVisitor& visit) {
    visit("axes", axes);
    visit("starts", starts);
    visit("ends", ends);
    visit("steps", steps);
  }
};
/// Per axis the numbers of elements before and after (negative crops), constant value.
struct PadAttributes {
  std::vector<std::int64_t> before, after;
  double value = 0;
  void fields(AttributeVisitor& visit) {
    visit("before", before);
    visit("after", after);
    visit("value", value);
  }
};
struct ExpandAttributes {
  std::vector<std::int64_t> shape;  ///< −1 keeps the input's size
  void fields(AttributeVisitor& visit) { visit("shape", shape); }
};
struct GatherAttributes {
  std::int64_t axis = 0;
  void fields(AttributeVisitor& visit) { visit("axis", axis); }
};

/// A view where the elements can stay (row-major), else a copy. Throws shape_mismatch.
PARE_API Tensor reshape(const Tensor& x, const std::vector<std::int64_t>& shape);
/// Axes [start, end] become one: flatten(x) of [N, C, H, W] is [N, C·H·W].
PARE_API Tensor flatten(const Tensor& x, int start_axis = 1, int end_axis = -1);
PARE_API Tensor transpose(const Tensor& x, const std::vector<std::int64_t>& permutation);
PARE_API Tensor concat(const Tensors& xs, int axis);
PARE_API Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t end,
                      std::int64_t step = 1);
PARE_API Tensor slice(const Tensor& x, const SliceAttributes& attributes);
PARE_API Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before,
                    const std::vector<std::int64_t>& after, double value = 0);
/// Broadcasts to `shape`.
PARE_API Tensor expand(const Tensor& x, const std::vector<std::int64_t>& shape);
/// numpy.take: out = x with `axis` replaced by the axes of `indices` (i64 or i32; negative counts
/// from the end). Throws out_of_range.
PARE_API Tensor gather(const Tensor& x, const Tensor& indices, int axis = 0);

}  // namespace pare
