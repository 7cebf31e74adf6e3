// Metrics of regression: mean absolute and mean squared error, R².
#pragma once

#include <cstdint>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"

namespace pare::train {

/// Errors of real values over any number of batches. All values behind the batch axis are targets
/// of their own, and scores are means over the targets, as scikit-learn's "uniform_average".
class PARE_API RegressionScores {
 public:
  /// Counts a batch: outputs and labels of one shape [N, …], f32 or f64, [N] standing for [N, 1].
  /// Throws shape_mismatch, dtype_mismatch; then nothing is counted.
  void add(const Tensor& output, const Tensor& labels);

  std::int64_t samples() const { return samples_; }
  /// These are NaN where there are no samples.
  double mean_absolute_error() const;
  double mean_squared_error() const;
  /// 1 − Σ(label − output)² / Σ(label − mean)²; of a target that does not vary 1 where every output
  /// is right, else 0. NaN of less than two samples.
  double r2() const;

 private:
  struct Target {
    double absolute = 0, squared = 0;  // sums of the errors
    double mean = 0, spread = 0;       // of the labels; the spread is Σ(label − mean)²
  };
  std::int64_t samples_ = 0;
  std::vector<Target> targets_;
};

}  // namespace pare::train
