// Ops that read or write where other tensors say: gather and scatter of elements and blocks.
#pragma once

#include <string>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kGatherElements, kScatterElements, kGatherNd, kScatterNd, kOneHot;

struct GatherElementsAttributes {
  std::int64_t axis = 0;
  void fields(AttributeVisitor& visit) { visit("axis", axis); }
};
/// `reduction`: "none" (overwrites), "add", "mul", "max" or "min".
struct ScatterElementsAttributes {
  std::int64_t axis = 0;
  std::string reduction = "none";
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("reduction", reduction);
  }
};
struct GatherNdAttributes {
  std::int64_t batch_axes = 0;  ///< first axes that x and the indices have in common
  void fields(AttributeVisitor& visit) { visit("batch_axes", batch_axes); }
};
struct ScatterNdAttributes {
  std::string reduction = "none";  ///< as ScatterElementsAttributes
  void fields(AttributeVisitor& visit) { visit("reduction", reduction); }
};
struct OneHotAttributes {
  std::int64_t depth = 1;
  std::int64_t axis = -1;  ///< of the result
  double off = 0;
  double on = 1;
  DType dtype = DType::i64;
  void fields(AttributeVisitor& visit) {
    visit("depth", depth);
    visit("axis", axis);
    visit("off", off);
    visit("on", on);
    visit("dtype", dtype);
  }
};

// Indices are i64 or i32; negative ones count from the end. One beyond throws out_of_range.

/// torch.gather: of the indices' shape, the element whose place along `axis` the index says and
/// whose other places are the index's own. No axis but `axis` of the indices is longer than x's.
/// Throws shape_mismatch, dtype_mismatch, out_of_range.
PARE_API Tensor gather_elements(const Tensor& x, const Tensor& indices, int axis = 0);
/// The slices of x along `axis` that `indices` [K] names. Throws as gather, and shape_mismatch.
PARE_API Tensor index_select(const Tensor& x, const Tensor& indices, int axis = 0);

struct ScatterOptions {
  int axis = 0;
  /// "sum", "prod", "mean", "amax" or "amin" (scatter_reduce).
  std::string reduction = "sum";
  /// Whether the elements of x that are written to count themselves (scatter_reduce).
  bool include_self = true;
};
/// torch.scatter: x with elements of `source` written where gather_elements would read them. Of
/// several for one place the last stays. Source has the indices' shape or is longer. Throws
/// shape_mismatch, dtype_mismatch, out_of_range.
PARE_API Tensor scatter(const Tensor& x, const Tensor& indices, const Tensor& source,
                        const ScatterOptions& options = {});
/// The same, added to what is there.
PARE_API Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& source,
                            const ScatterOptions& options = {});
/// The same, reduced with what is there. Throws invalid_argument for another reduction.
PARE_API Tensor scatter_reduce(const Tensor& x, const Tensor& indices, const Tensor& source,
                               const ScatterOptions& options = {});

/// ONNX's GatherND: the last axis of the indices [batch…, …, K] are places in the first K axes of x
/// behind the batch axes; the result is [batch…, …, rest of x]. Throws shape_mismatch,
/// dtype_mismatch, out_of_range.
PARE_API Tensor gather_nd(const Tensor& x, const Tensor& indices, int batch_axes = 0);
/// ONNX's ScatterND: x with the blocks of `updates` [indices' axes but the last, rest of x] written
/// there. Throws shape_mismatch, dtype_mismatch, out_of_range, invalid_argument.
PARE_API Tensor scatter_nd(const Tensor& x, const Tensor& indices, const Tensor& updates,
                           const ScatterNdAttributes& attributes = {});

/// torch.nn.functional.one_hot: [...] → [..., classes], i64. Throws dtype_mismatch,
/// invalid_argument, out_of_range.
PARE_API Tensor one_hot(const Tensor& indices, std::int64_t classes);
/// The same along any axis, of any values and dtype.
PARE_API Tensor one_hot(const Tensor& indices, const OneHotAttributes& attributes);

}  // namespace pare
