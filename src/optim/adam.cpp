// Adam and AdamW, in one pass over memory.
#include "pare/optim/adam.h"

#include "optim/grain.h"
#include "optim/moments.h"

namespace pare::optim {
namespace {

struct Factors {
  MomentFactors moments;
  float scale;  ///< of the weight, before the update
  float step_size;
};

PARE_INLINE void adam_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                           float* __restrict v, std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const Moments now = moved(w[i], g[i], m[i], v[i], f.moments);
    m[i] = now.first;
    v[i] = now.second;
    w[i] = f.scale * w[i] - f.step_size * now.first / root(now.second, f.moments);
  }
}
PARE_MULTIVERSION(void, adam,
                  (float* w, const float* g, float* m, float* v, std::int64_t n, Factors f),
                  (w, g, m, v, n, f))

template <class Options, class Update> Factors factors(const Options& options, const Update& u) {
  const double correction = 1 - std::pow(options.beta1, static_cast<double>(u.step));
  return {.moments = moment_factors(options, u.step, u.gradient_scale),
          .scale = 1,
          .step_size = static_cast<float>(u.learning_rate / correction)};
}

template <class Update> void run(const Update& u, const Factors& f) {
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    adam(u.value + b, u.gradient + b, u.state[0] + b, u.state[1] + b, e - b, f);
  });
}

}  // namespace

Adam::Adam(const ParameterGroups& groups) : GroupedOptimizer("Adam", groups, moment_names) {
  for (const auto& group : groups) check_moments("Adam", group.options);
}

void Adam::update(const Update& u) {
  const AdamOptions& o = options(u);
  Factors f = factors(o, u);
  f.moments.decay = static_cast<float>(o.weight_decay);
  run(u, f);
}

AdamW::AdamW(const ParameterGroups& groups) : GroupedOptimizer("AdamW", groups, moment_names) {
  for (const auto& group : groups) check_moments("AdamW", group.options);
}

void AdamW::update(const Update& u) {
  const AdamWOptions& o = options(u);
  Factors f = factors(o, u);
  f.scale = static_cast<float>(1 - u.learning_rate * o.weight_decay);
  run(u, f);
}

}  // namespace pare::optim
