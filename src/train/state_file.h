// The file from which a training goes on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pare/core/generator.h"
#include "pare/io/safetensors.h"
#include "pare/nn/module.h"
#include "pare/optim/moving_average.h"
#include "pare/optim/optimizer.h"
#include "pare/optim/schedule.h"
#include "pare/train/fit.h"

namespace pare::train {

/// All that is not in the module, the optimizer or the average.
struct TrainingState {
  std::int64_t epoch = 0;  ///< epochs that are done
  std::int64_t loader_epoch = 0, validation_epoch = 0;
  Generator::State generator = {};
  std::vector<double> base_rates = {};
  double early_best = 0;
  std::int64_t early_stale = 0;
  History history = {};
  std::vector<nn::NamedTensor> best = {};  ///< the module in its best epoch; none: not kept
};

/// What a training state is written from and read into; all borrowed, the last two may be null.
struct Trained {
  nn::Module& module;
  optim::Optimizer& optimizer;
  optim::MovingAverage* average;
  optim::ReduceLROnPlateau* plateau;
};

/// Throws what io::save_tensors throws.
void save_state(const std::string& path, const Trained& trained, const TrainingState& state);

/// Throws, naming the file, what io::load_tensors throws, corrupt_data for a file that is no
/// training state, and invalid_argument, shape_mismatch or dtype_mismatch for that of another
/// training; nothing has changed then.
TrainingState load_state(const std::string& path, const Trained& trained);

}  // namespace pare::train
