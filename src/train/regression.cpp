// Mean absolute and mean squared error, R².
#include "pare/train/regression.h"

#include <cmath>
#include <limits>

#include "core/check.h"
#include "pare/core/context.h"

namespace pare::train {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// [N] and [N, 1] are the same.
bool same_samples(const Shape& a, const Shape& b) {
  if (a.rank() < 1 || b.rank() < 1 || a[0] != b[0] || a.elements() != b.elements()) return false;
  return a == b || a.elements() == a[0];
}

Tensor as_doubles(const Tensor& t) {
  const NoGrad off;
  return t.detach().to(MemoryFormat::row_major).to(DType::f64);
}

}  // namespace

void RegressionScores::add(const Tensor& output, const Tensor& labels) {
  constexpr const char* kPlace = "RegressionScores";
  PARE_CHECK(output.defined() && labels.defined(), invalid_argument, kPlace,
             "expected outputs and labels, got an undefined tensor");
  for (const Tensor& t : {output, labels})
    PARE_CHECK(t.dtype() == DType::f32 || t.dtype() == DType::f64, dtype_mismatch, kPlace,
               "expected outputs and labels of f32 or f64, got {} and {}", output.dtype(),
               labels.dtype());
  PARE_CHECK(same_samples(output.shape(), labels.shape()), shape_mismatch, kPlace,
             "expected outputs and labels of one shape [N, …], got {} and {}", output.shape(),
             labels.shape());
  const std::int64_t count = output.dim(0);
  if (count == 0) return;
  const auto width = static_cast<std::size_t>(output.elements() / count);
  PARE_CHECK(samples_ == 0 || width == targets_.size(), shape_mismatch, kPlace,
             "expected {} values of each sample, as before, got outputs {}", targets_.size(),
             output.shape());
  targets_.resize(width);
  const Tensor found = as_doubles(output);
  const Tensor wanted = as_doubles(labels);
  const double* y = found.data<double>();
  const double* t = wanted.data<double>();
  for (std::int64_t n = 0; n < count; ++n) {
    ++samples_;
    for (Target& target : targets_) {
      const double error = *t - *y++;
      target.absolute += std::abs(error);
      target.squared += error * error;
      // Welford's: a sum of squares less the square of a sum would cancel.
      const double step = *t - target.mean;
      target.mean += step / static_cast<double>(samples_);
      target.spread += step * (*t++ - target.mean);
    }
  }
}

double RegressionScores::mean_absolute_error() const {
  double sum = 0;
  for (const Target& t : targets_) sum += t.absolute;
  return targets_.empty()
             ? kNone
             : sum / static_cast<double>(samples_) / static_cast<double>(targets_.size());
}

double RegressionScores::mean_squared_error() const {
  double sum = 0;
  for (const Target& t : targets_) sum += t.squared;
  return targets_.empty()
             ? kNone
             : sum / static_cast<double>(samples_) / static_cast<double>(targets_.size());
}

double RegressionScores::r2() const {
  if (samples_ < 2 || targets_.empty()) return kNone;
  double sum = 0;
  for (const Target& t : targets_)
    sum += t.spread != 0 ? 1 - t.squared / t.spread : (t.squared == 0 ? 1.0 : 0.0);
  return sum / static_cast<double>(targets_.size());
}

}  // namespace pare::train
