// Stochastic gradient descent with momentum, in one pass over memory.
#include "pare/optim/sgd.h"

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float lr, decay, momentum, keep;
};

PARE_INLINE void plain_body(float* __restrict w, const float* __restrict g, std::int64_t n,
                            Factors f) {
  for (std::int64_t i = 0; i < n; ++i) w[i] -= f.lr * (g[i] + f.decay * w[i]);
}
PARE_MULTIVERSION(void, plain, (float* w, const float* g, std::int64_t n, Factors f), (w, g, n, f))

PARE_INLINE void momentum_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                               std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    m[i] = without_vanishing(f.momentum * m[i] + f.keep * (g[i] + f.decay * w[i]));
    w[i] -= f.lr * m[i];
  }
}
PARE_MULTIVERSION(void, momentum, (float* w, const float* g, float* m, std::int64_t n, Factors f),
                  (w, g, m, n, f))

PARE_INLINE void nesterov_body(float* __restrict w, const float* __restrict g, float* __restrict m,
                               std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + f.decay * w[i];
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

SGD::SGD(Tensors parameters, const SGDOptions& options)
    : Optimizer("SGD", std::move(parameters), options.lr, state_names(options)), options_(options) {
  PARE_CHECK(options.momentum >= 0 && options.weight_decay >= 0, invalid_argument, "SGD",
             "expected momentum and weight_decay of at least 0, got {} and {}", options.momentum,
             options.weight_decay);
  PARE_CHECK(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
             invalid_argument, "SGD",
             "expected nesterov with a momentum and no dampening, got momentum {}, dampening {}",
             options.momentum, options.dampening);
}

void SGD::update(const Update& u) {
  // The first time the momentum is the gradient itself, without dampening.
  const double keep = u.step == 1 ? 1.0 : 1.0 - options_.dampening;
  const Factors f{.lr = static_cast<float>(learning_rate()),
                  .decay = static_cast<float>(options_.weight_decay),
                  .momentum = static_cast<float>(options_.momentum),
                  .keep = static_cast<float>(keep)};
  float* const m = u.state[0];
  parallel_for(0, u.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (!m) {
      plain(u.value + begin, u.gradient + begin, end - begin, f);
    } else if (options_.nesterov) {
      nesterov(u.value + begin, u.gradient + begin, m + begin, end - begin, f);
    } else {
      momentum(u.value + begin, u.gradient + begin, m + begin, end - begin, f);
    }
  });
}

}  // namespace pare::optim
