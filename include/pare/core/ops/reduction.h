// Reductions over axes, running sums and products, and the softmax family.
#pragma once

#include <vector>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kSum, kMean, kMax, kMin, kProd, kVar, kStd, kNorm, kLogSumExp, kAny,
    kAll, kArgmax, kArgmin, kCumsum, kCumprod, kSoftmax, kLogSoftmax;

struct ReduceAttributes {
  std::vector<std::int64_t> axes;  ///< empty: all; negative counts from the end
  bool keepdim = false;
  void fields(AttributeVisitor& visit) {
    visit("axes", axes);
    visit("keepdim", keepdim);
  }
};
/// Of var and std, which divide by the number of elements less `correction`.
struct VarianceAttributes {
  std::vector<std::int64_t> axes;
  double correction = 1;
  bool keepdim = false;
  void fields(AttributeVisitor& visit) {
    visit("axes", axes);
    visit("correction", correction);
    visit("keepdim", keepdim);
  }
};
struct NormAttributes {
  std::vector<std::int64_t> axes;
  double p = 2;
  bool keepdim = false;
  void fields(AttributeVisitor& visit) {
    visit("axes", axes);
    visit("p", p);
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
/// ONNX's CumSum: `exclusive` leaves each element out of its own result, `reverse` runs from the
/// end.
struct CumulativeAttributes {
  std::int64_t axis = -1;
  bool exclusive = false;
  bool reverse = false;
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("exclusive", exclusive);
    visit("reverse", reverse);
  }
};
struct SoftmaxAttributes {
  std::int64_t axis = -1;
  void fields(AttributeVisitor& visit) { visit("axis", axis); }
};

/// Floats, i32, i64 (mean: floats) over axes (none: all). Throws out_of_range, dtype_mismatch.
PARE_API Tensor sum(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
PARE_API Tensor mean(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                     bool keepdim = false);
/// Largest number, NaN first; the gradient is shared evenly among ties (PyTorch's amax).
PARE_API Tensor max(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
/// Smallest value; the gradient as that of max (PyTorch's amin).
PARE_API Tensor min(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
/// 1 over no elements. Integers wrap.
PARE_API Tensor prod(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                     bool keepdim = false);
/// Σ(x − mean)² / (n − correction); NaN or infinite where n ≤ correction, as in PyTorch.
PARE_API Tensor var(const Tensor& x, const VarianceAttributes& attributes = {});
/// PyTorch's std: √var, of slope 0 where that is 0.
PARE_API Tensor stddev(const Tensor& x, const VarianceAttributes& attributes = {});
/// (Σ|x|^p)^(1/p); p = 0 counts what is not zero, ±infinity is the largest or smallest |x|. The
/// slope at a norm of 0 is 0.
PARE_API Tensor norm(const Tensor& x, const NormAttributes& attributes = {});
/// log Σ e^x without overflow; where all x are −infinity the slope is 0.
PARE_API Tensor logsumexp(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                          bool keepdim = false);
/// Whether any (all) of the elements are not zero: bool.
PARE_API Tensor any(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
PARE_API Tensor all(const Tensor& x, const std::vector<std::int64_t>& axes = {},
                    bool keepdim = false);
/// i64 index of the first largest (smallest) value along `axis`. NaN is both.
PARE_API Tensor argmax(const Tensor& x, int axis = -1, bool keepdim = false);
PARE_API Tensor argmin(const Tensor& x, int axis = -1, bool keepdim = false);
/// Element k is the sum (product) of the elements 0 … k along `axis`.
PARE_API Tensor cumsum(const Tensor& x, int axis = -1);
PARE_API Tensor cumsum(const Tensor& x, const CumulativeAttributes& attributes);
PARE_API Tensor cumprod(const Tensor& x, int axis = -1);
PARE_API Tensor cumprod(const Tensor& x, const CumulativeAttributes& attributes);
PARE_API Tensor softmax(const Tensor& x, int axis = -1);
PARE_API Tensor log_softmax(const Tensor& x, int axis = -1);

}  // namespace pare
