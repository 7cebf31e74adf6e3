// Accumulator: loss and accuracy over the batches of an epoch.
#pragma once

#include <chrono>
#include <cmath>

#include "core/check.h"
#include "pare/train/metrics.h"

namespace pare::train {

/// What a batch adds to the loss. Throws invalid_argument where that is no scalar.
inline double checked_item(const Tensor& loss, const char* where) {
  PARE_CHECK(loss.defined() && loss.elements() == 1, invalid_argument, where,
             "expected a scalar loss, got {}",
             loss.defined() ? loss.shape().to_string() : "an undefined tensor");
  return loss.item();
}

class Accumulator {
 public:
  /// `loss` is the batch's mean. A batch whose loss is not finite counts as seen, but not in the
  /// mean.
  void add(double loss, const Tensor& output, const Batch& batch) {
    const std::int64_t count = batch.x.dim(0);
    samples_ += count;
    if (std::isfinite(loss)) {
      loss_ += loss * static_cast<double>(count);
      counted_ += count;
    } else {
      ++non_finite_;
    }
    const std::int64_t correct = count_correct(output, batch.y);
    if (correct < 0) classes_ = false;
    correct_ += correct;
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Metrics metrics() const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    Metrics m{.samples = samples_, .seconds = seconds(), .non_finite = non_finite_};
    m.loss = counted_ > 0 ? loss_ / static_cast<double>(counted_) : kNone;
    if (classes_ && samples_ > 0) {
      m.accuracy = static_cast<double>(correct_) / static_cast<double>(samples_);
    }
    return m;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double loss_ = 0;
  std::int64_t samples_ = 0, counted_ = 0, correct_ = 0, non_finite_ = 0;
  bool classes_ = true;
};

}  // namespace pare::train
