// Metrics: how well a network does on a data set, and how far a training is.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/loader.h"
#include "pare/nn/module.h"
#include "pare/train/forward.h"
#include "pare/train/loss.h"

namespace pare::train {

struct Metrics {
  double loss = 0;  ///< mean over the samples of batches whose loss is finite; NaN of none
  /// Share of the labels (−100 apart, as in cross_entropy) that are their sample's or token's
  /// largest output; NaN where outputs are not [M, C], or labels not i64 [M] or [N, T] of M tokens.
  double accuracy = std::numeric_limits<double>::quiet_NaN();
  std::int64_t samples = 0;
  double seconds = 0;
  std::int64_t non_finite = 0;  ///< batches whose loss was NaN or infinite
  /// As RegressionScores; NaN where labels are not floats of the outputs' shape.
  double mean_absolute_error = std::numeric_limits<double>::quiet_NaN();
  double mean_squared_error = std::numeric_limits<double>::quiet_NaN();
  double r2 = std::numeric_limits<double>::quiet_NaN();
};

/// Where a training stands; `fit` shows it to its callback after every batch, and once more after
/// the validation of an epoch.
struct Progress {
  std::int64_t epoch = 0, epochs = 0;   ///< the present one, from 1, and how many there will be
  std::int64_t batch = 0, batches = 0;  ///< in this epoch
  double batch_loss = 0;                ///< of this batch alone
  bool finite = true;                   ///< false where batch_loss is NaN or infinite
  double loss = 0;                      ///< mean over the epoch so far
  double accuracy = 0;                  ///< over the epoch so far; NaN as in Metrics
  double learning_rate = 0;
  double samples_per_second = 0;           ///< of training, this epoch
  double seconds_left = 0;                 ///< of training, all epochs; 0 when done
  std::optional<Metrics> validation = {};  ///< at an epoch's end, where there is a validation set
};

/// Number of samples whose largest output is their class; −1 where outputs are not f32 [N, C] or
/// labels not i64 [N]. Of equal outputs the first counts.
PARE_API std::int64_t count_correct(const Tensor& output, const Tensor& labels);

/// Loss and accuracy, or of real labels the errors, on a data set, without training, observing or
/// gradients. Throws invalid_argument for a loss that is undefined or not a scalar.
PARE_API Metrics evaluate(nn::Module& module, data::Loader& data, const Loss& loss = {});

struct EvaluateOptions {
  Loss loss = {};
  Forward forward = {};  ///< empty: module(batch.x)
};
PARE_API Metrics evaluate(nn::Module& module, data::Loader& data, const EvaluateOptions& options);

/// "epoch 2/10 [=====>    ] 120/469  loss 0.312  accuracy 91.25 %  12345/s  0:42 left"
PARE_API std::string to_string(const Progress& progress);
/// "loss 0.312  accuracy 91.25 %  (10000 samples, 0.8 s)", of real labels "MAE 0.21  R2 0.934" in
/// the accuracy's place; batches without a finite loss are told.
PARE_API std::string to_string(const Metrics& metrics);

}  // namespace pare::train
