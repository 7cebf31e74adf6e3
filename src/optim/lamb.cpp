// LAMB: one pass for the moments and the lengths, one for the weights.
#include "pare/optim/lamb.h"

#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float decay, one_minus_beta1, beta2, one_minus_beta2;
  float correction1, inverse_correction2, eps;  ///< of the moments' bias
};

PARE_INLINE float step_of(float w, float m, float v, const Factors& f) {
  return m * f.correction1 / (__builtin_sqrtf(v) * f.inverse_correction2 + f.eps) + f.decay * w;
}

struct Squares {
  double weights = 0, steps = 0;
};

// Sums of few terms in f32, those in double.
constexpr std::int64_t kPiece = 256;

PARE_INLINE void moments_body(const float* __restrict w, const float* __restrict g,
                              float* __restrict m, float* __restrict v, std::int64_t n, Factors f,
                              Squares* squares) {
  for (std::int64_t begin = 0; begin < n; begin += kPiece) {
    const std::int64_t end = begin + kPiece < n ? begin + kPiece : n;
    for (std::int64_t i = begin; i < end; ++i) {
      m[i] = without_vanishing(m[i] + f.one_minus_beta1 * (g[i] - m[i]));
      v[i] = without_vanishing(f.beta2 * v[i] + f.one_minus_beta2 * g[i] * g[i]);
    }
    float weights = 0;
    float steps = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const float step = step_of(w[i], m[i], v[i], f);
      weights += w[i] * w[i];
      steps += step * step;
    }
    squares->weights += static_cast<double>(weights);
    squares->steps += static_cast<double>(steps);
  }
}
PARE_MULTIVERSION(void, moments,
                  (const float* w, const float* g, float* m, float* v, std::int64_t n, Factors f,
                   Squares* squares),
                  (w, g, m, v, n, f, squares))

PARE_INLINE void walk_body(float* __restrict w, const float* __restrict m,
                           const float* __restrict v, std::int64_t n, Factors f, float rate) {
  for (std::int64_t i = 0; i < n; ++i) w[i] -= rate * step_of(w[i], m[i], v[i], f);
}
PARE_MULTIVERSION(void, walk,
                  (float* w, const float* m, const float* v, std::int64_t n, Factors f, float rate),
                  (w, m, v, n, f, rate))

}  // namespace

LAMB::LAMB(Tensors parameters, const LAMBOptions& options)
    : Optimizer("LAMB", std::move(parameters), options.lr, {"exp_avg", "exp_avg_sq"}),
      options_(options) {
  PARE_CHECK(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1,
             invalid_argument, "LAMB", "expected beta1 and beta2 from 0 to below 1, got {} and {}",
             options.beta1, options.beta2);
  PARE_CHECK(options.eps >= 0 && options.weight_decay >= 0, invalid_argument, "LAMB",
             "expected eps and weight_decay of at least 0, got {} and {}", options.eps,
             options.weight_decay);
}

void LAMB::update(const Update& u) {
  const auto step = static_cast<double>(u.step);
  const Factors f{
      .decay = static_cast<float>(options_.weight_decay),
      .one_minus_beta1 = static_cast<float>(1 - options_.beta1),
      .beta2 = static_cast<float>(options_.beta2),
      .one_minus_beta2 = static_cast<float>(1 - options_.beta2),
      .correction1 = static_cast<float>(1 / (1 - std::pow(options_.beta1, step))),
      .inverse_correction2 = static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, step))),
      .eps = static_cast<float>(options_.eps)};
  // One sum for each stretch of kGrain: the same total for any number of threads.
  std::vector<Squares> squares(static_cast<std::size_t>((u.count + kGrain - 1) / kGrain));
  parallel_for(0, static_cast<std::int64_t>(squares.size()), 1,
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t k = first; k < last; ++k) {
                   const std::int64_t b = k * kGrain;
                   moments(u.value + b, u.gradient + b, u.state[0] + b, u.state[1] + b,
                           std::min(kGrain, u.count - b), f, &squares[static_cast<std::size_t>(k)]);
                 }
               });
  Squares total;
  for (const Squares& s : squares) {
    total.weights += s.weights;
    total.steps += s.steps;
  }
  const bool both = total.weights > 0 && total.steps > 0;
  const double ratio = both ? std::sqrt(total.weights / total.steps) : 1;
  const auto rate = static_cast<float>(learning_rate() * ratio);
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    walk(u.value + b, u.state[0] + b, u.state[1] + b, e - b, f, rate);
  });
}

}  // namespace pare::optim
