// Observers: ops that pass a tensor on and take note of its values; scales from what they noted.
#pragma once

#include <cstdint>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kObserveMinMax, kObserveHistogram, kObserveFakeQuantize,
    kSymmetricScale;

/// What an observed activation will be quantized to, and how its range follows the data.
struct ObserveAttributes {
  std::int64_t qmin = 0;
  std::int64_t qmax = 255;
  bool even_zero_point = true;  ///< even zero points, where all rounding orders agree on ties
  bool symmetric = false;       ///< of observe_fake_quantize: as Codes::symmetric
  /// 0: the range is that of all values seen. Else the first batch's range, and from then on
  /// range += averaging · (batch's range − range). Histograms ignore it.
  double averaging = 0;
  /// observe_fake_quantize takes relu(x) for x, in the same pass. The other observers ignore it.
  bool relu = false;
  bool fixed = false;  ///< of observe_fake_quantize: the range stays, whatever is observed
  void fields(AttributeVisitor& visit) {
    visit("qmin", qmin);
    visit("qmax", qmax);
    visit("even_zero_point", even_zero_point);
    visit("symmetric", symmetric);
    visit("averaging", averaging);
    visit("relu", relu);
    visit("fixed", fixed);
  }
};
struct SymmetricScaleAttributes {
  std::int64_t qmax = 127;  ///< codes are −qmax … qmax
  std::int64_t axis = 0;    ///< channel axis; −1 for one scale of rank 0
  void fields(AttributeVisitor& visit) {
    visit("qmax", qmax);
    visit("axis", axis);
  }
};

struct ScaleAndZeroPoint {
  float scale = 1;
  std::int32_t zero_point = 0;
};
/// The one rule for affine ranges: the range is widened to hold 0; s = max((max − min) /
/// (qmax − qmin), 2⁻²³), z = qmin − min/s rounded (to an even number if asked) and clamped.
/// Throws invalid_argument for a range that is not finite or empty.
PARE_API ScaleAndZeroPoint affine_parameters(double min, double max, std::int64_t qmin,
                                             std::int64_t qmax, bool even_zero_point);
/// The one rule for symmetric ranges: s = largest / qmax; 2⁻²³ where all values are 0.
PARE_API float symmetric_scale(float largest, std::int64_t qmax);

/// An observer that has seen nothing: {+inf, −inf}.
PARE_API Tensor empty_range();

/// Returns x (f32); while context().observing, `range` (f32 [2]: min, max) becomes that of its old
/// value and x. Throws invalid_argument if x holds NaN or infinity. A node may have further inputs:
/// the ranges of activations that will share its scale.
PARE_API Tensor observe_min_max(const Tensor& x, const Tensor& range,
                                const ObserveAttributes& attributes = {});
/// Returns x; while observing, counts its values into `counts` (i64 [bins]). A bin is 2^e wide and
/// starts at a multiple of 2^e; e is the smallest that holds all values seen, so that the counts do
/// not depend on how the values were split into batches. Throws as observe_min_max.
PARE_API Tensor observe_histogram(const Tensor& x, const Tensor& counts, const Tensor& range,
                                  const ObserveAttributes& attributes = {});
/// Observes x (or relu(x)) as observe_min_max and returns it fake-quantized by the range so found
/// (joined with the ranges `others`, which it does not change); x itself as long as that range is
/// empty. The gradient passes where the unclamped code lies in [qmin, qmax].
PARE_API Tensor observe_fake_quantize(const Tensor& x, const Tensor& range, const Tensors& others,
                                      const ObserveAttributes& attributes = {});
/// The scales [C] of symmetric quantization of w (f32) per channel: max|w| / qmax. No gradient.
PARE_API Tensor symmetric_scale(const Tensor& w, const SymmetricScaleAttributes& attributes = {});

}  // namespace pare
