// NAdam, in one pass over memory.
#include "pare/optim/nadam.h"

#include <cmath>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float decay, one_minus_beta1, beta2, one_minus_beta2;
  float of_gradient, of_average;  ///< steps along each
  float inverse_correction, eps;
};

PARE_INLINE void nadam_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                            float* __restrict v, std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + f.decay * w[i];
    const float first = without_vanishing(m[i] + f.one_minus_beta1 * (gradient - m[i]));
    const float second =
        without_vanishing(f.beta2 * v[i] + f.one_minus_beta2 * gradient * gradient);
    m[i] = first;
    v[i] = second;
    w[i] -= (f.of_gradient * gradient + f.of_average * first) /
            (__builtin_sqrtf(second) * f.inverse_correction + f.eps);
  }
}
PARE_MULTIVERSION(void, nadam,
                  (float* w, const float* g, float* m, float* v, std::int64_t n, Factors f),
                  (w, g, m, v, n, f))

}  // namespace

NAdam::NAdam(Tensors parameters, const NAdamOptions& options)
    : Optimizer("NAdam", std::move(parameters), options.lr, {"exp_avg", "exp_avg_sq"}),
      options_(options) {
  PARE_CHECK(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1,
             invalid_argument, "NAdam", "expected beta1 and beta2 from 0 to below 1, got {} and {}",
             options.beta1, options.beta2);
  PARE_CHECK(options.eps >= 0 && options.weight_decay >= 0 && options.momentum_decay >= 0,
             invalid_argument, "NAdam",
             "expected eps, weight_decay and momentum_decay of at least 0, got {}, {} and {}",
             options.eps, options.weight_decay, options.momentum_decay);
}

double NAdam::momentum_at(std::int64_t step) const {
  return options_.beta1 *
         (1 - 0.5 * std::pow(0.96, static_cast<double>(step) * options_.momentum_decay));
}

double NAdam::product_up_to(std::int64_t step) {
  if (step < product_step_) {
    product_step_ = 0;
    product_ = 1;
  }
  while (product_step_ < step) product_ *= momentum_at(++product_step_);
  return product_;
}

void NAdam::update(const Update& u) {
  const double momentum = momentum_at(u.step);
  const double next = momentum_at(u.step + 1);
  const double product = product_up_to(u.step);
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(u.step));
  const double lr = learning_rate();
  const Factors f{.decay = static_cast<float>(options_.weight_decay),
                  .one_minus_beta1 = static_cast<float>(1 - options_.beta1),
                  .beta2 = static_cast<float>(options_.beta2),
                  .one_minus_beta2 = static_cast<float>(1 - options_.beta2),
                  .of_gradient = static_cast<float>(lr * (1 - momentum) / (1 - product)),
                  .of_average = static_cast<float>(lr * next / (1 - product * next)),
                  .inverse_correction = static_cast<float>(1 / std::sqrt(correction2)),
                  .eps = static_cast<float>(options_.eps)};
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    nadam(u.value + b, u.gradient + b, u.state[0] + b, u.state[1] + b, e - b, f);
  });
}

}  // namespace pare::optim
