// Learning rate schedules, in closed form.
#include "pare/optim/schedule.h"

#include <cmath>
#include <numbers>

#include "core/check.h"

namespace pare::optim {

double StepLR::operator()(double base, std::int64_t epoch) const {
  PARE_CHECK(step_size > 0, invalid_argument, "StepLR", "expected step_size of at least 1, got {}",
             step_size);
  return base * std::pow(gamma, static_cast<double>(epoch / step_size));
}

double CosineAnnealingLR::operator()(double base, std::int64_t epoch) const {
  PARE_CHECK(T_max > 0, invalid_argument, "CosineAnnealingLR",
             "expected T_max of at least 1, got {}", T_max);
  const double angle = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(T_max);
  return eta_min + (base - eta_min) * (1 + std::cos(angle)) / 2;
}

double ConstantLR::operator()(double base, std::int64_t epoch) const {
  return epoch < total_iters ? base * factor : base;
}

}  // namespace pare::optim
