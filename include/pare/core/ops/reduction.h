// Reductions over axes, and the softmax family.
#pragma once

#include <vector>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kSum, kMean, kMax, kArgmax, kSoftmax, kLogSoftmax;

struct ReduceAttributes {
  std::vector<std::int64_t> axes;  ///< empty: all; negative counts from the end
  bool keepdim = false;
  void fields(AttributeVisitor& visit) {
    visit("axes", axes);
    visit("keepdim", keepdim);
  }
};
struct AxisAttributes {
  std::int64_t axis = -1;
  bool keepdim = false;
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("keepdim", keepdim);
  }
};
struct SoftmaxAttributes {
  std::int64_t axis = -1;
  void fields(AttributeVisitor& visit) { visit("axis", axis); }
};

/// Over the given axes (all if none); accumulated in f32 pairwise or wider. Throws out_of_range.
PARE_API Tensor sum(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
PARE_API Tensor mean(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                     bool keepdim = false);
/// Largest value; the gradient is shared evenly among ties (PyTorch's amax).
PARE_API Tensor max(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
/// i64 index of the first largest value along `axis`.
PARE_API Tensor argmax(const Tensor& x, int axis = -1, bool keepdim = false);
PARE_API Tensor softmax(const Tensor& x, int axis = -1);
PARE_API Tensor log_softmax(const Tensor& x, int axis = -1);

}  // namespace pare
