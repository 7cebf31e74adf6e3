// fit: the ordinary training loop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/precision.h"
#include "pare/data/loader.h"
#include "pare/nn/module.h"
#include "pare/optim/moving_average.h"
#include "pare/optim/optimizer.h"
#include "pare/optim/schedule.h"
#include "pare/train/forward.h"
#include "pare/train/loss.h"
#include "pare/train/metrics.h"

namespace pare::train {

/// What is watched: of the validation where there is one, else of the training.
enum class Monitor : std::uint8_t { loss, accuracy };

struct EarlyStopping {
  /// Epochs in a row without improvement after which training ends; 0: never.
  std::int64_t patience = 0;
  double min_delta = 0;  ///< what is no more than this better is no improvement; NaN never is
  Monitor monitor = Monitor::loss;
};

struct FitOptions {
  std::int64_t epochs = 1;
  /// Borrowed, and goes on where it stands; null: Adam with a rate of 1e-3, made for this call.
  optim::Optimizer* optimizer = nullptr;
  /// Sets the rate at the start of every epoch, from the optimizer's rate before the first.
  optim::Schedule schedule = {};
  Loss loss = {};
  /// How the module sees a batch, of the validation too; with_lengths hands on the lengths of
  /// padded sequences. Empty: module(batch.x).
  Forward forward = {};
  /// Borrowed; lowers the rates by the loss after every epoch (accuracy where it maximizes), of the
  /// validation where there is one. Not together with a schedule.
  optim::ReduceLROnPlateau* plateau = nullptr;
  double clip_norm = 0;  ///< largest norm of all gradients together; 0: not clipped
  /// Batches whose gradients make one step: that of the mean over all their examples. What is left
  /// at an epoch's end makes a step of its own. The loss has to be a mean over the batch.
  std::int64_t accumulate = 1;
  /// bf16: matrix products and convolutions multiply in bf16; weights, sums, everything between and
  /// the loss are f32. Only on CPUs with has_bf16().
  Precision precision = Precision::f32;
  /// Keeps an average of the weights, which validation looks at and the module has at the end.
  std::optional<optim::MovingAverageOptions> moving_average = {};
  EarlyStopping early_stopping = {};
  /// Borrowed; its loss and accuracy are measured after every epoch.
  data::Loader* validation = nullptr;
  /// Where there is a validation set: at the end the module has its state of the best epoch
  /// (highest accuracy, then lowest loss), of those in which every batch had a finite loss.
  bool keep_best = true;
  std::string checkpoint =
      {};  ///< a file that io::save writes whenever an epoch is the best so far
  /// A file that after every epoch gets all that training needs to go on: module, optimizer,
  /// schedule, average, random numbers, the loader's epoch, the best epoch, the history.
  std::string state = {};
  /// Goes on from `state` where that file exists: what follows is bit for bit what would have
  /// followed. Give the same module, options and data; `epochs` is still the number of all.
  bool resume = false;
  std::uint64_t seed = 0;  ///< of dropout
  /// Is called with the number of an epoch, from 0, before it begins; when training is resumed
  /// with that of the epoch it goes on with.
  std::function<void(std::int64_t epoch)> begin_epoch = {};
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
  bool stopped_early = false;       ///< FitOptions::early_stopping
  std::int64_t skipped = 0;         ///< batches whose loss was not finite
  int best_epoch = -1;  ///< index of the epoch that the module now is in; −1: the last
};

/// Trains the module in place. Sets the context's training and generator; what fake-quantizers
/// observe is left as it is. A batch whose loss is NaN or infinite changes no weights: the callback
/// sees it (Progress::finite) and decides; without a callback it is an Error (invalid_state). Where
/// fake-quantizers observe (a graph of prepare_qat), NaN or infinity in an activation never becomes
/// a loss: it is an Error (invalid_argument) that names the node. Throws invalid_argument for
/// options that make no sense, io_error where no file can be at a path, unsupported for bf16 on a
/// CPU without it. A state file that is damaged, or of another module, kind of optimizer, number of
/// groups, average or plateau, is an Error that names it; nothing has changed then.
PARE_API History fit(nn::Module& module, data::Loader& data, const FitOptions& options = {});

/// The same with everything but the loss as it is by default.
PARE_API History fit(nn::Module& module, data::Loader& data, Loss loss);

/// The learning curve: a line of names, then one for each epoch ("epoch,learning_rate,train_loss,
/// train_accuracy,train_mae,train_mse,train_r2,validation_loss,…,validation_r2,seconds"); nothing
/// stands for NaN.
PARE_API std::string to_csv(const History& history);
/// The same as an object with "epochs", "best_epoch", "stopped", "stopped_early" and "skipped";
/// null stands for NaN.
PARE_API std::string to_json(const History& history);

}  // namespace pare::train
