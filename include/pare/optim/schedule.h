// Learning rate schedules: the rate as a function of the base rate and the epoch (or step).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pare/core/export.h"
#include "pare/optim/optimizer.h"

namespace pare::optim {

/// Any of the schedules below, or a function of one's own:
/// `optimizer.set_learning_rate(schedule(base, epoch));`
using Schedule = std::function<double(double base, std::int64_t epoch)>;

/// base·gamma^⌊epoch / step_size⌋. Throws invalid_argument for step_size below 1.
struct PARE_API StepLR {
  std::int64_t step_size = 1;
  double gamma = 0.1;
  double operator()(double base, std::int64_t epoch) const;
};

/// eta_min + (base − eta_min)·(1 + cos(π·epoch / T_max)) / 2. Throws invalid_argument for T_max
/// below 1. Loshchilov and Hutter, "SGDR", 2017.
struct PARE_API CosineAnnealingLR {
  std::int64_t T_max = 1;
  double eta_min = 0;
  double operator()(double base, std::int64_t epoch) const;
};

/// base·factor before epoch total_iters, then base.
struct PARE_API ConstantLR {
  double factor = 1.0 / 3.0;
  std::int64_t total_iters = 5;
  double operator()(double base, std::int64_t epoch) const;
};

/// base·gamma^epoch.
struct PARE_API ExponentialLR {
  double gamma = 0.95;
  double operator()(double base, std::int64_t epoch) const;
};

/// base·gamma^(milestones reached). Throws invalid_argument for milestones that do not ascend.
struct PARE_API MultiStepLR {
  std::vector<std::int64_t> milestones = {};
  double gamma = 0.1;
  double operator()(double base, std::int64_t epoch) const;
};

/// From base·start_factor in a straight line to base·end_factor at total_iters, then that. Throws
/// invalid_argument for total_iters below 1.
struct PARE_API LinearLR {
  double start_factor = 1.0 / 3.0;
  double end_factor = 1;
  std::int64_t total_iters = 5;
  double operator()(double base, std::int64_t epoch) const;
};

/// base·(1 − epoch / total_iters)^power, 0 from total_iters on. Throws as LinearLR.
struct PARE_API PolynomialLR {
  std::int64_t total_iters = 5;
  double power = 1;
  double operator()(double base, std::int64_t epoch) const;
};

/// Cosine annealing that starts anew after T_0 epochs, then after T_mult times as many each time.
/// Throws invalid_argument for T_0 or T_mult below 1. Loshchilov and Hutter, "SGDR", 2017.
struct PARE_API CosineAnnealingWarmRestarts {
  std::int64_t T_0 = 10;
  std::int64_t T_mult = 1;
  double eta_min = 0;
  double operator()(double base, std::int64_t epoch) const;
};

/// One cycle over total_steps: from max_lr / div_factor up to max_lr within the share pct_start,
/// then down to max_lr / div_factor / final_div_factor, both along cosines (or straight lines).
/// The base rate does not matter, as in PyTorch; momentum is not cycled. Throws invalid_argument
/// for total_steps below 1, a step beyond it and pct_start outside [0, 1]. Smith and Topin,
/// "Super-convergence", 2018.
struct PARE_API OneCycleLR {
  double max_lr = 0.1;
  std::int64_t total_steps = 1;
  double pct_start = 0.3;
  double div_factor = 25;
  double final_div_factor = 1e4;
  bool linear = false;
  double operator()(double base, std::int64_t step) const;
};

/// Another schedule behind a warm-up: in a straight line from base·start_factor over `epochs`, then
/// `then(base, epoch − epochs)`. Throws invalid_argument for epochs below 1.
struct PARE_API WarmUp {
  std::int64_t epochs = 5;
  double start_factor = 0.1;
  Schedule then = {};  ///< the base rate where there is none
  double operator()(double base, std::int64_t epoch) const;
};

struct ReduceLROnPlateauOptions {
  double factor = 0.1;
  std::int64_t patience = 10;  ///< epochs without improvement that are still borne
  double threshold = 1e-4;     ///< relative: what counts as an improvement
  std::int64_t cooldown = 0;   ///< epochs after a reduction that do not count
  double min_lr = 0;
  bool maximize = false;  ///< the metric is an accuracy, not a loss
};

/// Lowers the rate when a metric stops improving. Throws invalid_argument for a factor outside
/// (0, 1) and negative settings.
class PARE_API ReduceLROnPlateau {
 public:
  explicit ReduceLROnPlateau(const ReduceLROnPlateauOptions& options = {});
  /// The rate after an epoch that ended with `metric`, given the rate it was trained with:
  /// `optimizer.set_learning_rate(plateau.step(loss, optimizer.learning_rate()))`. NaN is no
  /// improvement.
  double step(double metric, double rate);
  /// The same for every group of an optimizer.
  void step(double metric, Optimizer& optimizer);

  bool maximizes() const { return options_.maximize; }

  /// "best", "bad" and "cooldown", for a checkpoint.
  NamedState state() const;
  /// Takes over such a state. Throws invalid_argument, having changed nothing, for other names.
  void load_state(const NamedState& state);

 private:
  bool better(double metric) const;
  bool reduces(double metric);
  ReduceLROnPlateauOptions options_;
  double best_;
  std::int64_t bad_ = 0;
  std::int64_t cooldown_ = 0;
};

/// Sets the rates of all groups of an optimizer by a schedule, each from its own base rate.
class PARE_API Scheduler {
 public:
  /// Borrows the optimizer, takes its rates as the bases and sets those of epoch (or step) 0. One
  /// schedule for all groups, or one for each. Throws invalid_argument for an empty schedule or
  /// another number of them, and what the schedule throws.
  Scheduler(Optimizer& optimizer, Schedule schedule);
  Scheduler(Optimizer& optimizer, std::vector<Schedule> schedules);

  /// Goes to the next epoch.
  void step() { set_epoch(epoch_ + 1); }
  /// Sets the rates of an epoch. Throws invalid_argument for one below 0.
  void set_epoch(std::int64_t epoch);
  std::int64_t epoch() const { return epoch_; }

  /// "epoch" and by group "base.0", …, for a checkpoint.
  NamedState state() const;
  /// Takes over such a state and sets the rates of its epoch. Throws invalid_argument, having
  /// changed nothing, for another number of groups or other names.
  void load_state(const NamedState& state);

 private:
  Optimizer* optimizer_;
  std::vector<Schedule> schedules_;
  std::vector<double> bases_;
  std::int64_t epoch_ = 0;
};

}  // namespace pare::optim
