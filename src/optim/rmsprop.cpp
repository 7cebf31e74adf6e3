// RMSprop, in one pass over memory.
#include "pare/optim/rmsprop.h"

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float gradient_scale, lr, decay, alpha, one_minus_alpha, eps, momentum;
};

/// `mean` and `buffer` may be null: not centred, no momentum.
PARE_INLINE void rmsprop_body(float* __restrict w, const float* __restrict g,
                              float* __restrict squares, float* __restrict mean,
                              float* __restrict buffer, std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * f.gradient_scale + f.decay * w[i];
    const float square =
        without_vanishing(f.alpha * squares[i] + f.one_minus_alpha * gradient * gradient);
    squares[i] = square;
    float variance = square;
    if (mean) {
      const float first = without_vanishing(mean[i] + f.one_minus_alpha * (gradient - mean[i]));
      mean[i] = first;
      variance = square - first * first;
    }
    float update = gradient / (__builtin_sqrtf(variance) + f.eps);
    if (buffer) {
      update += f.momentum * buffer[i];
      buffer[i] = without_vanishing(update);
    }
    w[i] -= f.lr * update;
  }
}
PARE_MULTIVERSION(void, rmsprop,
                  (float* w, const float* g, float* squares, float* mean, float* buffer,
                   std::int64_t n, Factors f),
                  (w, g, squares, mean, buffer, n, f))

std::vector<const char*> state_names(const RMSpropOptions& options) {
  std::vector<const char*> names{"square_avg"};
  if (options.centered) names.push_back("grad_avg");
  if (options.momentum > 0) names.push_back("momentum_buffer");
  return names;
}

}  // namespace

RMSprop::RMSprop(const ParameterGroups& groups) : GroupedOptimizer("RMSprop", groups, state_names) {
  for (const auto& group : groups) {
    const RMSpropOptions& o = group.options;
    PARE_CHECK(o.alpha >= 0 && o.alpha < 1, invalid_argument, "RMSprop",
               "expected alpha from 0 to below 1, got {}", o.alpha);
    PARE_CHECK(o.eps >= 0 && o.weight_decay >= 0 && o.momentum >= 0, invalid_argument, "RMSprop",
               "expected eps, weight_decay and momentum of at least 0, got {}, {} and {}", o.eps,
               o.weight_decay, o.momentum);
  }
}

void RMSprop::update(const Update& u) {
  const RMSpropOptions& o = options(u);
  const Factors f{.gradient_scale = u.gradient_scale,
                  .lr = static_cast<float>(u.learning_rate),
                  .decay = static_cast<float>(o.weight_decay),
                  .alpha = static_cast<float>(o.alpha),
                  .one_minus_alpha = static_cast<float>(1 - o.alpha),
                  .eps = static_cast<float>(o.eps),
                  .momentum = static_cast<float>(o.momentum)};
  float* const mean = o.centered ? u.state[1] : nullptr;
  float* const buffer = o.momentum > 0 ? u.state[o.centered ? 2 : 1] : nullptr;
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    rmsprop(u.value + b, u.gradient + b, u.state[0] + b, mean ? mean + b : nullptr,
            buffer ? buffer + b : nullptr, e - b, f);
  });
}

}  // namespace pare::optim
