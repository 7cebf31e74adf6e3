// What Adam, NAdam and LAMB have in common: two moments of the gradients and their correction.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/vanishing.h"

namespace pare::optim {

struct MomentFactors {
  float gradient_scale;
  float decay;  ///< of the weight, added to the gradient
  float one_minus_beta1, beta2, one_minus_beta2;
  float inverse_correction, eps;  ///< of the second moment's root
};

/// Factors of step `step` (from 1) with `options`; no decay.
template <class Options>
MomentFactors moment_factors(const Options& options, std::int64_t step, float gradient_scale) {
  const double correction = 1 - std::pow(options.beta2, static_cast<double>(step));
  return {.gradient_scale = gradient_scale,
          .decay = 0,
          .one_minus_beta1 = static_cast<float>(1 - options.beta1),
          .beta2 = static_cast<float>(options.beta2),
          .one_minus_beta2 = static_cast<float>(1 - options.beta2),
          .inverse_correction = static_cast<float>(1 / std::sqrt(correction)),
          .eps = static_cast<float>(options.eps)};
}

struct Moments {
  float gradient, first, second;
};

/// The moments after gradient `g` of weight `w`, from `m` and `v`.
PARE_INLINE Moments moved(float w, float g, float m, float v, const MomentFactors& f) {
  const float gradient = g * f.gradient_scale + f.decay * w;
  return {gradient, without_vanishing(m + f.one_minus_beta1 * (gradient - m)),
          without_vanishing(f.beta2 * v + f.one_minus_beta2 * gradient * gradient)};
}

/// What the step is divided by.
PARE_INLINE float root(float second, const MomentFactors& f) {
  return __builtin_sqrtf(second) * f.inverse_correction + f.eps;
}

template <class Options> void check_moments(const char* where, const Options& o) {
  PARE_CHECK(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, invalid_argument, where,
             "expected beta1 and beta2 from 0 to below 1, got {} and {}", o.beta1, o.beta2);
  PARE_CHECK(o.eps >= 0 && o.weight_decay >= 0, invalid_argument, where,
             "expected eps and weight_decay of at least 0, got {} and {}", o.eps, o.weight_decay);
}

template <class Options> std::vector<const char*> moment_names(const Options& /*options*/) {
  return {"exp_avg", "exp_avg_sq"};
}

}  // namespace pare::optim
