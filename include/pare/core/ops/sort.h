// Order along an axis: sort, argsort, topk, and the distinct values of a tensor.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kSort, kTopk;

struct SortAttributes {
  std::int64_t axis = -1;
  bool descending = false;
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("descending", descending);
  }
};
struct TopkAttributes {
  std::int64_t k = 1;
  std::int64_t axis = -1;
  bool largest = true;  ///< else the smallest
  void fields(AttributeVisitor& visit) {
    visit("k", k);
    visit("axis", axis);
    visit("largest", largest);
  }
};

/// Values in order, and the i64 indices along the axis where they were.
struct Sorted {
  Tensor values, indices;
};
/// Stable: equal values stay in their order. NaN is the largest of all.
PARE_API Sorted sort(const Tensor& x, const SortAttributes& attributes = {});
PARE_API Tensor argsort(const Tensor& x, const SortAttributes& attributes = {});
/// The k largest, largest first (or smallest); of equal ones those that come first. Throws
/// out_of_range for k outside [0, length].
PARE_API Sorted topk(const Tensor& x, const TopkAttributes& attributes);

/// The distinct values [M] of a tensor in ascending order; for each of its elements the index of
/// its value (i64, its shape); how often each value occurs (i64 [M]). Every NaN is its own.
struct Unique {
  Tensor values, inverse, counts;
};
/// Not on the tape, and not traced: the number of values is known to the data alone.
PARE_API Unique unique(const Tensor& x);

}  // namespace pare
