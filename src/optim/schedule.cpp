// Learning rate schedules, in closed form.
#include "pare/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/check.h"
#include "optim/state_reader.h"

namespace pare::optim {
namespace {

void check_epoch(const char* where, std::int64_t epoch) {
  PARE_CHECK(epoch >= 0, invalid_argument, where, "expected an epoch of at least 0, got {}", epoch);
}

}  // namespace

double StepLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("StepLR", epoch);
  PARE_CHECK(step_size > 0, invalid_argument, "StepLR", "expected step_size of at least 1, got {}",
             step_size);
  return base * std::pow(gamma, static_cast<double>(epoch / step_size));
}

double CosineAnnealingLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("CosineAnnealingLR", epoch);
  PARE_CHECK(T_max > 0, invalid_argument, "CosineAnnealingLR",
             "expected T_max of at least 1, got {}", T_max);
  const double angle = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(T_max);
  return eta_min + (base - eta_min) * (1 + std::cos(angle)) / 2;
}

double ConstantLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("ConstantLR", epoch);
  return epoch < total_iters ? base * factor : base;
}

double ExponentialLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("ExponentialLR", epoch);
  return base * std::pow(gamma, static_cast<double>(epoch));
}

double MultiStepLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("MultiStepLR", epoch);
  PARE_CHECK(std::is_sorted(milestones.begin(), milestones.end()), invalid_argument, "MultiStepLR",
             "expected ascending milestones, got {}", listed(milestones));
  const auto reached = std::upper_bound(milestones.begin(), milestones.end(), epoch);
  return base * std::pow(gamma, static_cast<double>(reached - milestones.begin()));
}

namespace {

void check_iters(const char* where, std::int64_t iters) {
  PARE_CHECK(iters > 0, invalid_argument, where, "expected total_iters of at least 1, got {}",
             iters);
}

double cosine(double from, double to, double share) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

}  // namespace

double LinearLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("LinearLR", epoch);
  check_iters("LinearLR", total_iters);
  const double share =
      static_cast<double>(std::min(epoch, total_iters)) / static_cast<double>(total_iters);
  return base * (start_factor + (end_factor - start_factor) * share);
}

double PolynomialLR::operator()(double base, std::int64_t epoch) const {
  check_epoch("PolynomialLR", epoch);
  check_iters("PolynomialLR", total_iters);
  const double left =
      1 - static_cast<double>(std::min(epoch, total_iters)) / static_cast<double>(total_iters);
  return base * std::pow(left, power);
}

double CosineAnnealingWarmRestarts::operator()(double base, std::int64_t epoch) const {
  check_epoch("CosineAnnealingWarmRestarts", epoch);
  PARE_CHECK(T_0 > 0 && T_mult > 0, invalid_argument, "CosineAnnealingWarmRestarts",
             "expected T_0 and T_mult of at least 1, got {} and {}", T_0, T_mult);
  std::int64_t length = T_0;
  if (T_mult == 1) {
    epoch %= length;
  } else {
    for (; epoch >= length; length *= T_mult) epoch -= length;
  }
  return cosine(base, eta_min, static_cast<double>(epoch) / static_cast<double>(length));
}

double OneCycleLR::operator()(double /*base*/, std::int64_t step) const {
  check_epoch("OneCycleLR", step);
  PARE_CHECK(total_steps > 0, invalid_argument, "OneCycleLR",
             "expected total_steps of at least 1, got {}", total_steps);
  PARE_CHECK(pct_start >= 0 && pct_start <= 1, invalid_argument, "OneCycleLR",
             "expected pct_start from 0 to 1, got {}", pct_start);
  // As PyTorch; the step after the last one is where a loop ends.
  PARE_CHECK(step <= total_steps, invalid_argument, "OneCycleLR",
             "expected at most total_steps ({}) steps, got {}", total_steps, step);
  const double initial = max_lr / div_factor;
  const double last = initial / final_div_factor;
  const double peak = pct_start * static_cast<double>(total_steps) - 1;
  const double end = static_cast<double>(total_steps) - 1;
  const auto at = static_cast<double>(std::min(step, total_steps - 1));
  const auto between = [&](double from, double to, double share) {
    return linear ? from + (to - from) * share : cosine(from, to, share);
  };
  if (at <= peak) return between(initial, max_lr, peak > 0 ? at / peak : 1);
  return between(max_lr, last, end > peak ? (at - peak) / (end - peak) : 1);
}

double WarmUp::operator()(double base, std::int64_t epoch) const {
  check_epoch("WarmUp", epoch);
  PARE_CHECK(epochs > 0, invalid_argument, "WarmUp", "expected epochs of at least 1, got {}",
             epochs);
  if (epoch < epochs)
    return LinearLR{.start_factor = start_factor, .total_iters = epochs}(base, epoch);
  return then ? then(base, epoch - epochs) : base;
}

ReduceLROnPlateau::ReduceLROnPlateau(const ReduceLROnPlateauOptions& options)
    : options_(options),
      best_(options.maximize ? -std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::infinity()) {
  PARE_CHECK(options.factor > 0 && options.factor < 1, invalid_argument, "ReduceLROnPlateau",
             "expected a factor between 0 and 1, got {}", options.factor);
  PARE_CHECK(options.patience >= 0 && options.threshold >= 0 && options.cooldown >= 0 &&
                 options.min_lr >= 0,
             invalid_argument, "ReduceLROnPlateau",
             "expected patience, threshold, cooldown and min_lr of at least 0, got {}, {}, {} and "
             "{}",
             options.patience, options.threshold, options.cooldown, options.min_lr);
}

bool ReduceLROnPlateau::better(double metric) const {
  return options_.maximize ? metric > best_ * (1 + options_.threshold)
                           : metric < best_ * (1 - options_.threshold);
}

bool ReduceLROnPlateau::reduces(double metric) {
  if (better(metric)) {
    best_ = metric;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooldown_ > 0) {
    --cooldown_;
    bad_ = 0;
  }
  if (bad_ <= options_.patience) return false;
  cooldown_ = options_.cooldown;
  bad_ = 0;
  return true;
}

double ReduceLROnPlateau::step(double metric, double rate) {
  return reduces(metric) ? std::max(rate * options_.factor, options_.min_lr) : rate;
}

void ReduceLROnPlateau::step(double metric, Optimizer& optimizer) {
  if (!reduces(metric)) return;
  for (int g = 0; g < optimizer.groups(); ++g)
    optimizer.set_learning_rate(
        std::max(optimizer.learning_rate(g) * options_.factor, options_.min_lr), g);
}

NamedState ReduceLROnPlateau::state() const {
  return {{"best", Tensor::scalar(best_, DType::f64)},
          {"bad", Tensor::scalar(static_cast<double>(bad_), DType::i64)},
          {"cooldown", Tensor::scalar(static_cast<double>(cooldown_), DType::i64)}};
}

void ReduceLROnPlateau::load_state(const NamedState& state) {
  StateReader reader("ReduceLROnPlateau", state);
  const double best = reader.number("best");
  const std::int64_t bad = reader.count("bad");
  const std::int64_t cooldown = reader.count("cooldown");
  reader.finish();
  best_ = best;
  bad_ = bad;
  cooldown_ = cooldown;
}

Scheduler::Scheduler(Optimizer& optimizer, Schedule schedule)
    : Scheduler(optimizer, std::vector<Schedule>(static_cast<std::size_t>(optimizer.groups()),
                                                 std::move(schedule))) {}

Scheduler::Scheduler(Optimizer& optimizer, std::vector<Schedule> schedules)
    : optimizer_(&optimizer), schedules_(std::move(schedules)) {
  PARE_CHECK(static_cast<int>(schedules_.size()) == optimizer.groups(), invalid_argument,
             "Scheduler", "expected one schedule or one for each of the {} groups, got {}",
             optimizer.groups(), schedules_.size());
  for (const Schedule& schedule : schedules_)
    PARE_CHECK(schedule != nullptr, invalid_argument, "Scheduler",
               "expected a schedule, got an empty function");
  for (int g = 0; g < optimizer.groups(); ++g) bases_.push_back(optimizer.learning_rate(g));
  set_epoch(0);
}

void Scheduler::set_epoch(std::int64_t epoch) {
  PARE_CHECK(epoch >= 0, invalid_argument, "Scheduler", "expected an epoch of at least 0, got {}",
             epoch);
  std::vector<double> rates;
  for (std::size_t g = 0; g < bases_.size(); ++g) rates.push_back(schedules_[g](bases_[g], epoch));
  for (std::size_t g = 0; g < rates.size(); ++g)
    optimizer_->set_learning_rate(rates[g], static_cast<int>(g));
  epoch_ = epoch;
}

NamedState Scheduler::state() const {
  NamedState result{{"epoch", Tensor::scalar(static_cast<double>(epoch_), DType::i64)}};
  for (std::size_t g = 0; g < bases_.size(); ++g)
    result.emplace_back(fmt::format("base.{}", g), Tensor::scalar(bases_[g], DType::f64));
  return result;
}

void Scheduler::load_state(const NamedState& state) {
  StateReader reader("Scheduler", state);
  const std::int64_t epoch = reader.count("epoch");
  std::vector<double> bases;
  for (std::size_t g = 0; g < bases_.size(); ++g)
    bases.push_back(reader.number(fmt::format("base.{}", g)));
  reader.finish();
  bases_.swap(bases);
  try {
    set_epoch(epoch);
  } catch (...) {
    bases_.swap(bases);
    throw;
  }
}

}  // namespace pare::optim
