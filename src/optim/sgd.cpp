// Stochastic gradient descent with momentum, in one pass over memory.
#include "pare/optim/sgd.h"

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float gradient_scale, lr, decay, momentum, keep;
};

PARE_INLINE void plain_body(float* __restrict w, const float* __restrict g, std::int64_t n,
                            Factors f) {
  for (std::int64_t i = 0; i < n; ++i) w[i] -= f.lr * (g[i] * f.gradient_scale + f.decay * w[i]);
}
PARE_MULTIVERSION(void, plain, (float* w, const float* g, std::int64_t n, Factors f), (w, g, n, f))

PARE_INLINE void momentum_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                               std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * f.gradient_scale + f.decay * w[i];
    m[i] = without_vanishing(f.momentum * m[i] + f.keep * gradient);
    w[i] -= f.lr * m[i];
  }
}
PARE_MULTIVERSION(void, momentum, (float* w, const float* g, float* m, std::int64_t n, Factors f),
                  (w, g, m, n, f))

PARE_INLINE void nesterov_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                               std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * f.gradient_scale + f.decay * w[i];
    m[i] = without_vanishing(f.momentum * m[i] + gradient);
    w[i] -= f.lr * (gradient + f.momentum * m[i]);
  }
}
PARE_MULTIVERSION(void, nesterov, (float* w, const float* g, float* m, std::int64_t n, Factors f),
                  (w, g, m, n, f))

std::vector<const char*> state_names(const SGDOptions& options) {
  if (options.momentum == 0) return {};
  return {"momentum_buffer"};
}

}  // namespace

SGD::SGD(const ParameterGroups& groups) : GroupedOptimizer("SGD", groups, state_names) {
  for (const auto& group : groups) {
    const SGDOptions& o = group.options;
    PARE_CHECK(o.momentum >= 0 && o.weight_decay >= 0, invalid_argument, "SGD",
               "expected momentum and weight_decay of at least 0, got {} and {}", o.momentum,
               o.weight_decay);
    PARE_CHECK(!o.nesterov || (o.momentum > 0 && o.dampening == 0), invalid_argument, "SGD",
               "expected nesterov with a momentum and no dampening, got momentum {}, dampening {}",
               o.momentum, o.dampening);
  }
}

void SGD::update(const Update& u) {
  const SGDOptions& o = options(u);
  // The first time the momentum is the gradient itself, without dampening.
  const double keep = u.step == 1 ? 1.0 : 1.0 - o.dampening;
  const Factors f{.gradient_scale = u.gradient_scale,
                  .lr = static_cast<float>(u.learning_rate),
                  .decay = static_cast<float>(o.weight_decay),
                  .momentum = static_cast<float>(o.momentum),
                  .keep = static_cast<float>(keep)};
  float* const m = u.state[0];
  parallel_for(0, u.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (!m) {
      plain(u.value + begin, u.gradient + begin, end - begin, f);
    } else if (o.nesterov) {
      nesterov(u.value + begin, u.gradient + begin, m + begin, end - begin, f);
    } else {
      momentum(u.value + begin, u.gradient + begin, m + begin, end - begin, f);
    }
  });
}

}  // namespace pare::optim
