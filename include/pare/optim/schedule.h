// Learning rate schedules: the rate as a function of the base rate and the epoch (or step).
#pragma once

#include <cstdint>
#include <functional>

#include "pare/core/export.h"

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

}  // namespace pare::optim
