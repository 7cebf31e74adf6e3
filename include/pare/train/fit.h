// fit: the ordinary training loop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/data/loader.h"
#include "pare/nn/module.h"
#include "pare/optim/optimizer.h"
#include "pare/optim/schedule.h"
#include "pare/train/loss.h"
#include "pare/train/metrics.h"

namespace pare::train {

struct FitOptions {
  std::int64_t epochs = 1;
  /// Borrowed, and goes on where it stands; null: Adam with a rate of 1e-3, made for this call.
  optim::Optimizer* optimizer = nullptr;
  /// Sets the rate at the start of every epoch, from the optimizer's rate before the first.
  optim::Schedule schedule = {};
  Loss loss = {};
  double clip_norm = 0;  ///< largest norm of all gradients together; 0: not clipped
  /// Borrowed; its loss and accuracy are measured after every epoch.
  data::Loader* validation = nullptr;
  /// Where there is a validation set: at the end the module has its state of the best epoch
  /// (highest accuracy, then lowest loss), of those in which every batch had a finite loss.
  bool keep_best = true;
  std::string checkpoint =
      {};                  ///< a file that io::save writes whenever an epoch is the best so far
  std::uint64_t seed = 0;  ///< of dropout
  /// Is shown how far the training is, and returns whether to go on.
  std::function<bool(const Progress&)> progress = {};
};

struct EpochRecord {
  Metrics train =
      {};  ///< over the batches as they were trained on, so with dropout and augmentation
  std::optional<Metrics> validation = {};
  double learning_rate = 0;
};

struct History {
  std::vector<EpochRecord> epochs;  ///< the last one may be incomplete
  bool stopped = false;             ///< the callback asked to
  std::int64_t skipped = 0;         ///< batches whose loss was not finite
  int best_epoch = -1;  ///< index of the epoch that the module now is in; −1: the last
};

/// Trains the module in place. Sets the context's training and generator; what fake-quantizers
/// observe is left as it is. A batch whose loss is NaN or infinite changes no weights: the callback
/// sees it (Progress::finite) and decides; without a callback it is an Error (invalid_state). Where
/// fake-quantizers observe (a graph of prepare_qat), NaN or infinity in an activation never becomes
/// a loss: it is an Error (invalid_argument) that names the node. Throws invalid_argument for
/// options that make no sense and loaders without a batch, io_error where the checkpoint's folder
/// does not exist.
PARE_API History fit(nn::Module& module, data::Loader& data, const FitOptions& options = {});

/// The same with everything but the loss as it is by default.
PARE_API History fit(nn::Module& module, data::Loader& data, Loss loss);

}  // namespace pare::train
