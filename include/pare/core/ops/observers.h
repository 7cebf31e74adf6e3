// Further observers: means of samples' ranges, weights, and what a range is chosen from.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "pare/core/ops/observe.h"

namespace pare {

PARE_API extern const OpDef kObserveMeanMinMax, kObserveWeight;

/// The codes that a range of values is quantized to.
struct Codes {
  std::int64_t qmin = 0;
  std::int64_t qmax = 255;
  bool even_zero_point = true;  ///< even zero points, where all rounding orders agree on ties
  /// The range is widened to be the same on both sides of 0, and the zero point is the middle
  /// code: 0 of signed codes, 128 of 0 … 255.
  bool symmetric = false;
};
inline Codes codes_of(const ObserveAttributes& a) {
  return {.qmin = a.qmin,
          .qmax = a.qmax,
          .even_zero_point = a.even_zero_point,
          .symmetric = a.symmetric};
}
/// The one rule for ranges: the range is widened to hold 0 (to both sides of it, if symmetric);
/// s = max((max − min) / (qmax − qmin), 2⁻²³), z = qmin − min/s rounded (to an even number if
/// asked) and clamped; if symmetric the middle code. Throws invalid_argument for a range that is
/// not finite or empty, and for qmin ≥ qmax.
PARE_API ScaleAndZeroPoint affine_parameters(double min, double max, const Codes& codes);

/// What observe_histogram has counted. Bin i holds [(first + i) · width, (first + i + 1) · width).
struct Histogram {
  double width = 1;  ///< a power of two
  std::int64_t first = 0;
  std::span<const std::int64_t> counts = {};
  float min = 0;  ///< of all values seen
  float max = 0;
};
struct ChosenRange {
  float min = 0;
  float max = 0;
};

/// What observe_mean_min_max has summed up before the first sample: i64 [kRangeSums].
inline constexpr std::int64_t kRangeSums = 23;
PARE_API Tensor empty_range_sums();
/// Returns x; while observing, adds the least and the largest value of each sample (an index of
/// axis 0) to `sums` (i64 [kRangeSums]: their number and both sums, exactly, so that they do not
/// depend on order or batches), and joins `range` with that of x. The range that this observer
/// means is the samples' mean (NNCF). Throws as observe_min_max. A node may have further inputs:
/// the sums of activations that will share its scale.
PARE_API Tensor observe_mean_min_max(const Tensor& x, const Tensor& sums, const Tensor& range,
                                     const ObserveAttributes& attributes = {});

/// How the scales and zero points of a weight follow from its values.
struct ObserveWeightAttributes {
  std::int64_t qmin = -127;
  std::int64_t qmax = 127;
  std::int64_t axis = 0;  ///< channel axis; −1 for one scale of rank 0
  bool symmetric = true;  ///< else the range is min … max, widened to hold 0
  /// 1: the weight's own range. Below: that follows it, as ObserveAttributes::averaging.
  double averaging = 1;
  /// Of 80 ranges, 1 to 0.21 of the weight's own, the one that loses least in the square.
  bool least_squares = false;
  bool fixed = false;  ///< a range that follows the weight's own stays, whatever is observed
  void fields(AttributeVisitor& visit) {
    visit("qmin", qmin);
    visit("qmax", qmax);
    visit("axis", axis);
    visit("symmetric", symmetric);
    visit("averaging", averaging);
    visit("least_squares", least_squares);
    visit("fixed", fixed);
  }
};
/// The scales (f32) and zero points (i32), [C] or of rank 0, of w (f32) by its own values; a
/// symmetric one of codes −128 … 127 is max|w| / 127.5 (PyTorch). With an averaging below 1 they
/// follow `range` (f32 [C, 2], or [2] without an axis: min, max), which while context().observing
/// follows w; else it must be undefined. No gradient. Throws invalid_argument for NaN and infinity,
/// and for codes that are not qmin < qmax, around 0 if symmetric.
PARE_API Tensors observe_weight(const Tensor& w, const Tensor& range,
                                const ObserveWeightAttributes& attributes = {});

}  // namespace pare
