// LAMB: one pass for the moments and the lengths, one for the weights.
#include "pare/optim/lamb.h"

#include <algorithm>
#include <vector>

#include "optim/grain.h"
#include "optim/moments.h"

namespace pare::optim {
namespace {

struct Factors {
  MomentFactors moments;
  float decay;        ///< of the weight, added to the step
  float correction1;  ///< of the first moment's bias
};

PARE_INLINE float step_of(float w, float m, float v, const Factors& f) {
  return m * f.correction1 / root(v, f.moments) + f.decay * w;
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
      const Moments now = moved(w[i], g[i], m[i], v[i], f.moments);
      m[i] = now.first;
      v[i] = now.second;
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

LAMB::LAMB(const ParameterGroups& groups) : GroupedOptimizer("LAMB", groups, moment_names) {
  for (const auto& group : groups) check_moments("LAMB", group.options);
}

void LAMB::update(const Update& u) {
  const LAMBOptions& o = options(u);
  const double correction = 1 - std::pow(o.beta1, static_cast<double>(u.step));
  const Factors f{.moments = moment_factors(o, u.step, u.gradient_scale),
                  .decay = static_cast<float>(o.weight_decay),
                  .correction1 = static_cast<float>(1 / correction)};
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
  const auto rate = static_cast<float>(u.learning_rate * ratio);
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    walk(u.value + b, u.state[0] + b, u.state[1] + b, e - b, f, rate);
  });
}

}  // namespace pare::optim
