// NAdam, in one pass over memory.
#include "pare/optim/nadam.h"

#include "optim/grain.h"
#include "optim/moments.h"

namespace pare::optim {
namespace {

struct Factors {
  MomentFactors moments;
  float of_gradient, of_average;  ///< steps along each
};

PARE_INLINE void nadam_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                            float* __restrict v, std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const Moments now = moved(w[i], g[i], m[i], v[i], f.moments);
    m[i] = now.first;
    v[i] = now.second;
    w[i] -= (f.of_gradient * now.gradient + f.of_average * now.first) / root(now.second, f.moments);
  }
}
PARE_MULTIVERSION(void, nadam,
                  (float* w, const float* g, float* m, float* v, std::int64_t n, Factors f),
                  (w, g, m, v, n, f))

double momentum_at(const NAdamOptions& options, std::int64_t step) {
  return options.beta1 *
         (1 - 0.5 * std::pow(0.96, static_cast<double>(step) * options.momentum_decay));
}

}  // namespace

NAdam::NAdam(const ParameterGroups& groups)
    : GroupedOptimizer("NAdam", groups, moment_names), products_(groups.size()) {
  for (const auto& group : groups) {
    check_moments("NAdam", group.options);
    PARE_CHECK(group.options.momentum_decay >= 0, invalid_argument, "NAdam",
               "expected momentum_decay of at least 0, got {}", group.options.momentum_decay);
  }
}

double NAdam::product_up_to(std::int64_t step, std::size_t group) {
  Product& product = products_[group];
  if (step < product.step) product = {};
  while (product.step < step)
    product.value *= momentum_at(options(static_cast<int>(group)), ++product.step);
  return product.value;
}

void NAdam::update(const Update& u) {
  const NAdamOptions& o = options(u);
  const double momentum = momentum_at(o, u.step);
  const double next = momentum_at(o, u.step + 1);
  const double product = product_up_to(u.step, u.group);
  const double lr = u.learning_rate;
  Factors f{.moments = moment_factors(o, u.step, u.gradient_scale),
            .of_gradient = static_cast<float>(lr * (1 - momentum) / (1 - product)),
            .of_average = static_cast<float>(lr * next / (1 - product * next))};
  f.moments.decay = static_cast<float>(o.weight_decay);
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    nadam(u.value + b, u.gradient + b, u.state[0] + b, u.state[1] + b, e - b, f);
  });
}

}  // namespace pare::optim
