// How a range is chosen from a histogram.
#pragma once

#include <string>

#include "core/value_range.h"
#include "pare/quantize/observer.h"

namespace pare::quantize {

inline constexpr const char* kLeastSquares = "least_squares";
inline constexpr const char* kPercentile = "percentile";
inline constexpr const char* kEntropy = "entropy";
inline constexpr const char* kMse = "mse";

/// What prepare notes beside an observer (kRangeKey) on how its range becomes a scale.
struct RangeRule {
  std::string search = kLeastSquares;  ///< of a histogram: one of the four above, or the user's
  double share = 0;                    ///< percentile's
  bool symmetric = false;
  /// "percentile 99.99 symmetric", and back; throws corrupt_data for anything else.
  std::string to_string() const;
  static RangeRule parse(const std::string& text);
};

/// Whether the name is one of the four above.
bool is_built_in_search(const std::string& name);

/// The state of observe_histogram as a histogram that reads `counts`. `seen` must not be empty.
Histogram histogram_of(const Tensor& counts, const ValueRange& seen);

/// The part of the range that loses least in the square when it is quantized to `levels` codes:
/// PyTorch's search (HistogramObserver._non_linear_param_search), which narrows the range from the
/// side where that skips more bins until the loss rises.
ChosenRange least_squares_range(const Histogram& seen, int levels);

/// The range without (100 − percentile) / 2 percent of the values at each end; if symmetric without
/// 100 − percentile percent of the magnitudes. Values are taken to lie evenly in a bin.
ChosenRange percentile_range(const Histogram& seen, double percentile, bool symmetric);

/// The range −T … T, cut to what was seen, whose distribution loses least information when it is
/// quantized (Migacz, "8-bit inference with TensorRT", 2017): least KL(P‖Q), where P is the
/// histogram with what lies outside in its end bins, and Q gives each code's part of the histogram
/// without that evenly to the bins of the part where P is not 0. The bin of 0 counts no more than
/// its neighbour.
ChosenRange entropy_range(const Histogram& seen, const Codes& codes);

/// The range of least square error by the very codes that follow from it: 1, 0.99 … 0.01 of what
/// was seen, both ends together first, then each by itself until neither moves.
ChosenRange mse_range(const Histogram& seen, const Codes& codes);

/// As the rule says. Throws invalid_argument for a search of the user's that is not among
/// `searches`, or gives a range that is not finite or empty.
ChosenRange chosen_range(const Histogram& seen, const RangeRule& rule, const Codes& codes,
                         const RangeSearches& searches);

}  // namespace pare::quantize
