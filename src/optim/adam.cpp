// Adam and AdamW, in one pass over memory.
#include "pare/optim/adam.h"

#include <cmath>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float scale;  ///< of the weight, before the update
  float decay;  ///< of the weight, added to the gradient
  float beta2, one_minus_beta1, one_minus_beta2;
  float step_size, inverse_correction, eps;
};

PARE_INLINE void adam_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                           float* __restrict v, std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float weight = f.scale * w[i];
    const float gradient = g[i] + f.decay * w[i];
    const float first = without_vanishing(m[i] + f.one_minus_beta1 * (gradient - m[i]));
    const float second =
        without_vanishing(f.beta2 * v[i] + f.one_minus_beta2 * gradient * gradient);
    m[i] = first;
    v[i] = second;
    w[i] = weight - f.step_size * first / (__builtin_sqrtf(second) * f.inverse_correction + f.eps);
  }
}
PARE_MULTIVERSION(void, adam,
                  (float* w, const float* g, float* m, float* v, std::int64_t n, Factors f),
                  (w, g, m, v, n, f))

template <class Options> void check_options(const char* where, const Options& o) {
  PARE_CHECK(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, invalid_argument, where,
             "expected beta1 and beta2 from 0 to below 1, got {} and {}", o.beta1, o.beta2);
  PARE_CHECK(o.eps >= 0 && o.weight_decay >= 0, invalid_argument, where,
             "expected eps and weight_decay of at least 0, got {} and {}", o.eps, o.weight_decay);
}

template <class Options> Factors factors(const Options& o, double lr, std::int64_t step) {
  const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(step));
  return {.scale = 1,
          .decay = 0,
          .beta2 = static_cast<float>(o.beta2),
          .one_minus_beta1 = static_cast<float>(1 - o.beta1),
          .one_minus_beta2 = static_cast<float>(1 - o.beta2),
          .step_size = static_cast<float>(lr / correction1),
          .inverse_correction = static_cast<float>(1 / std::sqrt(correction2)),
          .eps = static_cast<float>(o.eps)};
}

}  // namespace

Adam::Adam(Tensors parameters, const AdamOptions& options)
    : Optimizer("Adam", std::move(parameters), options.lr, {"exp_avg", "exp_avg_sq"}),
      options_(options) {
  check_options("Adam", options);
}

void Adam::update(const Update& u) {
  Factors f = factors(options_, learning_rate(), u.step);
  f.decay = static_cast<float>(options_.weight_decay);
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    adam(u.value + b, u.gradient + b, u.state[0] + b, u.state[1] + b, e - b, f);
  });
}

AdamW::AdamW(Tensors parameters, const AdamWOptions& options)
    : Optimizer("AdamW", std::move(parameters), options.lr, {"exp_avg", "exp_avg_sq"}),
      options_(options) {
  check_options("AdamW", options);
}

void AdamW::update(const Update& u) {
  Factors f = factors(options_, learning_rate(), u.step);
  f.scale = static_cast<float>(1 - learning_rate() * options_.weight_decay);
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    adam(u.value + b, u.gradient + b, u.state[0] + b, u.state[1] + b, e - b, f);
  });
}

}  // namespace pare::optim
