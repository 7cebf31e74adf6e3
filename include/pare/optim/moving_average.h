// An exponential moving average of a network's weights, for evaluation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/tensor.h"
#include "pare/optim/optimizer.h"

namespace pare::optim {

struct MovingAverageOptions {
  double decay = 0.999;
  /// At first the average follows faster: the decay of update t is at most t / (t + 9), so that
  /// the start is forgotten (TensorFlow's num_updates).
  bool warm_up = true;
};

/// average = decay·average + (1 − decay)·w after each optimizer step; the first update takes w.
/// Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
class PARE_API MovingAverage {
 public:
  /// The parameters' handles (`net.parameters()`). Throws invalid_argument for none, for one that
  /// is not f32, and for a decay outside [0, 1).
  explicit MovingAverage(Tensors parameters, const MovingAverageOptions& options = {});

  /// To be called after `optimizer.step()`. Throws invalid_state for parameters that a structural
  /// edit has replaced.
  void update();
  /// Puts the averages into the network and what was there into the averages; a second call
  /// undoes it. Throws invalid_state before the first update.
  void swap();
  /// Copies of the averages, in the parameters' order; the parameters before the first update.
  Tensors averages() const;
  std::int64_t updates() const { return updates_; }

  /// "updates" and the averages under the names given, in the parameters' order (their numbers
  /// where there are none). The tensors are copies. Throws invalid_argument for another number of
  /// names.
  NamedState state(const std::vector<std::string>& names = {}) const;
  /// Takes over such a state. Throws invalid_argument for other names and shape_mismatch, having
  /// changed nothing.
  void load_state(const NamedState& state, const std::vector<std::string>& names = {});

 private:
  std::string name(const std::vector<std::string>& names, std::size_t i) const;
  Tensors parameters_;
  Tensors averages_;
  MovingAverageOptions options_;
  std::int64_t updates_ = 0;
};

}  // namespace pare::optim
