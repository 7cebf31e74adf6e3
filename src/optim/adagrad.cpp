// Adagrad, in one pass over memory.
#include "pare/optim/adagrad.h"

#include <algorithm>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"

namespace pare::optim {
namespace {

struct Factors {
  float gradient_scale, lr, decay, eps;
};

PARE_INLINE void adagrad_body(float* __restrict w, const float* __restrict g, float* __restrict sum,
                              std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * f.gradient_scale + f.decay * w[i];
    const float total = sum[i] + gradient * gradient;
    sum[i] = total;
    w[i] -= f.lr * gradient / (__builtin_sqrtf(total) + f.eps);
  }
}
PARE_MULTIVERSION(void, adagrad, (float* w, const float* g, float* sum, std::int64_t n, Factors f),
                  (w, g, sum, n, f))

std::vector<const char*> state_names(const AdagradOptions& /*options*/) { return {"sum"}; }

}  // namespace

Adagrad::Adagrad(const ParameterGroups& groups) : GroupedOptimizer("Adagrad", groups, state_names) {
  for (const auto& group : groups) {
    const AdagradOptions& o = group.options;
    PARE_CHECK(
        o.lr_decay >= 0 && o.weight_decay >= 0 && o.eps >= 0 && o.initial_accumulator_value >= 0,
        invalid_argument, "Adagrad",
        "expected lr_decay, weight_decay, initial_accumulator_value and eps of at least 0, "
        "got {}, {}, {} and {}",
        o.lr_decay, o.weight_decay, o.initial_accumulator_value, o.eps);
  }
}

void Adagrad::update(const Update& u) {
  const AdagradOptions& o = options(u);
  const double rate = u.learning_rate / (1 + static_cast<double>(u.step - 1) * o.lr_decay);
  const Factors f{.gradient_scale = u.gradient_scale,
                  .lr = static_cast<float>(rate),
                  .decay = static_cast<float>(o.weight_decay),
                  .eps = static_cast<float>(o.eps)};
  if (u.step == 1)
    std::fill_n(u.state[0], u.count, static_cast<float>(o.initial_accumulator_value));
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    adagrad(u.value + b, u.gradient + b, u.state[0] + b, e - b, f);
  });
}

}  // namespace pare::optim
