// Accumulator: loss, accuracy and errors over the batches of an epoch.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/core/ops/loss.h"
#include "pare/train/metrics.h"
#include "pare/train/regression.h"

namespace pare::train {

/// What a batch adds to the loss. Throws invalid_argument where that is no scalar.
inline double checked_item(const Tensor& loss, const char* where) {
  PARE_CHECK(loss.defined() && loss.elements() == 1, invalid_argument, where,
             "expected a scalar loss, got {}",
             loss.defined() ? loss.shape().to_string() : "an undefined tensor");
  return loss.item();
}

inline Tensor output_of(nn::Module& module, const Batch& batch, const Forward& forward) {
  return forward ? forward(module, batch) : module(batch.x);
}

/// Whether labels are real values that outputs are to meet, one by one.
inline bool is_regression(const Tensor& output, const Tensor& labels) {
  const auto real = [](const Tensor& t) {
    return t.defined() && t.rank() >= 1 && (t.dtype() == DType::f32 || t.dtype() == DType::f64);
  };
  if (!real(output) || !real(labels) || output.dim(0) != labels.dim(0)) return false;
  return output.shape() == labels.shape() ||
         (output.elements() == output.dim(0) && labels.elements() == labels.dim(0));
}

class Accumulator {
 public:
  /// `loss` is the batch's mean. A batch whose loss is not finite counts as seen, but not in the
  /// mean nor in the errors.
  void add(double loss, const Tensor& output, const Batch& batch) {
    const std::int64_t count = batch.x.dim(0);
    samples_ += count;
    if (std::isfinite(loss)) {
      loss_ += loss * static_cast<double>(count);
      counted_ += count;
    } else {
      ++non_finite_;
    }
    count_classes(output, batch.y);
    // Padded labels may differ in width from batch to batch: then there are no targets to tell.
    if (real_ && is_regression(output, batch.y) &&
        (width_ < 0 || width_ * count == output.elements()))
      width_ = count > 0 ? output.elements() / count : width_;
    else
      real_ = false;
    if (real_ && std::isfinite(loss)) scores_.add(output, batch.y);
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Metrics metrics() const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    Metrics m{.samples = samples_, .seconds = seconds(), .non_finite = non_finite_};
    m.loss = counted_ > 0 ? loss_ / static_cast<double>(counted_) : kNone;
    if (classes_ && labels_ > 0)
      m.accuracy = static_cast<double>(correct_) / static_cast<double>(labels_);
    if (real_) {
      m.mean_absolute_error = scores_.mean_absolute_error();
      m.mean_squared_error = scores_.mean_squared_error();
      m.r2 = scores_.r2();
    }
    return m;
  }

 private:
  /// Of tokens too: labels [N, T] of logits [N·T, C].
  void count_classes(const Tensor& output, const Tensor& labels) {
    const bool tokens = labels.defined() && output.defined() && labels.rank() > 1 &&
                        labels.dtype() == DType::i64 && output.rank() == 2 &&
                        labels.elements() == output.dim(0);
    const Tensor own = tokens ? reshape(labels, {-1}) : labels;
    const std::int64_t correct = count_correct(output, own);
    if (correct < 0) {
      classes_ = false;
      return;
    }
    correct_ += correct;
    const std::vector<std::int64_t> classes = own.to_vector<std::int64_t>();
    labels_ += own.elements() - std::ranges::count(classes, CrossEntropyAttributes{}.ignore_index);
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double loss_ = 0;
  std::int64_t samples_ = 0, counted_ = 0, labels_ = 0, correct_ = 0, non_finite_ = 0;
  bool classes_ = true;
  bool real_ = true;
  std::int64_t width_ = -1;  // values of a sample
  RegressionScores scores_;
};

}  // namespace pare::train
