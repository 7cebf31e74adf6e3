// The moving average of weights.
#include "pare/optim/moving_average.h"

#include <algorithm>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/state_reader.h"
#include "pare/core/context.h"

namespace pare::optim {
namespace {

PARE_INLINE void approach_body(float* __restrict average, const float* __restrict w, std::int64_t n,
                               float part) {
  for (std::int64_t i = 0; i < n; ++i) average[i] += part * (w[i] - average[i]);
}
PARE_MULTIVERSION(void, approach, (float* average, const float* w, std::int64_t n, float part),
                  (average, w, n, part))

}  // namespace

MovingAverage::MovingAverage(Tensors parameters, const MovingAverageOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  PARE_CHECK(!parameters_.empty(), invalid_argument, "MovingAverage",
             "expected parameters to average, got none");
  PARE_CHECK(options.decay >= 0 && options.decay < 1, invalid_argument, "MovingAverage",
             "expected a decay from 0 to below 1, got {}", options.decay);
  for (const Tensor& p : parameters_) {
    PARE_CHECK(p.defined() && p.dtype() == DType::f32, invalid_argument, "MovingAverage",
               "expected f32 parameters, got {}",
               p.defined() ? traits(p.dtype()).name : "an undefined tensor");
    averages_.push_back(p.clone());
  }
}

void MovingAverage::update() {
  for (const Tensor& p : parameters_)
    PARE_CHECK(!p.impl()->retired, invalid_state, "MovingAverage",
               "expected parameters that are in use, got one of shape {} that a structural edit "
               "has replaced; average the new ones",
               p.shape());
  const auto t = static_cast<double>(++updates_);
  double decay = updates_ == 1 ? 0 : options_.decay;
  if (options_.warm_up) decay = std::min(decay, t / (t + 9));
  const NoGrad no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor w = parameters_[i].to(averages_[i].format());
    float* average = averages_[i].mutable_data<float>();
    parallel_for(0, w.elements(), kGrain, [&](std::int64_t b, std::int64_t e) {
      approach(average + b, w.data<float>() + b, e - b, static_cast<float>(1 - decay));
    });
  }
}

void MovingAverage::swap() {
  PARE_CHECK(updates_ > 0, invalid_state, "MovingAverage",
             "expected at least one update before swap, got none");
  const NoGrad no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor before = parameters_[i].clone();
    parameters_[i].copy_from(averages_[i]);
    averages_[i].copy_from(before);
  }
}

std::string MovingAverage::name(const std::vector<std::string>& names, std::size_t i) const {
  PARE_CHECK(names.empty() || names.size() == averages_.size(), invalid_argument, "MovingAverage",
             "expected {} names, one for each parameter, got {}", averages_.size(), names.size());
  return names.empty() ? std::to_string(i) : names[i];
}

NamedState MovingAverage::state(const std::vector<std::string>& names) const {
  NamedState result{{"updates", Tensor::scalar(static_cast<double>(updates_), DType::i64)}};
  for (std::size_t i = 0; i < averages_.size(); ++i)
    result.emplace_back(name(names, i), averages_[i].clone());
  return result;
}

void MovingAverage::load_state(const NamedState& state, const std::vector<std::string>& names) {
  StateReader reader("MovingAverage", state);
  const std::int64_t updates = reader.count("updates");
  Tensors averages;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    const Tensor& saved = reader.tensor(name(names, i));
    PARE_CHECK(saved.shape() == averages_[i].shape(), shape_mismatch, name(names, i),
               "expected shape {}, got {}", averages_[i].shape(), saved.shape());
    averages.push_back(Tensor::empty(saved.shape(), DType::f32, averages_[i].format()));
    averages.back().copy_from(saved);
  }
  reader.finish();
  updates_ = updates;
  averages_ = std::move(averages);
}

Tensors MovingAverage::averages() const {
  Tensors result;
  for (const Tensor& average : averages_) result.push_back(average.clone());
  return result;
}

}  // namespace pare::optim
