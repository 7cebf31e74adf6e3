// RMSprop, in one pass over memory.
#include "pare/optim/rmsprop.h"

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"
#include "optim/vanishing.h"

namespace pare::optim {
namespace {

struct Factors {
  float lr, decay, alpha, one_minus_alpha, eps, momentum;
};

/// `mean` and `buffer` may be null: not centred, no momentum.
PARE_INLINE void rmsprop_body(float* __restrict w, const float* __restrict g,
                              float* __restrict squares, float* __restrict mean,
                              float* __restrict buffer, std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + f.decay * w[i];
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

RMSprop::RMSprop(Tensors parameters, const RMSpropOptions& options)
    : Optimizer("RMSprop", std::move(parameters), options.lr, state_names(options)),
      options_(options) {
  PARE_CHECK(options.alpha >= 0 && options.alpha < 1, invalid_argument, "RMSprop",
             "expected alpha from 0 to below 1, got {}", options.alpha);
  PARE_CHECK(options.eps >= 0 && options.weight_decay >= 0 && options.momentum >= 0,
             invalid_argument, "RMSprop",
             "expected eps, weight_decay and momentum of at least 0, got {}, {} and {}",
             options.eps, options.weight_decay, options.momentum);
}

void RMSprop::update(const Update& u) {
  const Factors f{.lr = static_cast<float>(learning_rate()),
                  .decay = static_cast<float>(options_.weight_decay),
                  .alpha = static_cast<float>(options_.alpha),
                  .one_minus_alpha = static_cast<float>(1 - options_.alpha),
                  .eps = static_cast<float>(options_.eps),
                  .momentum = static_cast<float>(options_.momentum)};
  float* const mean = options_.centered ? u.state[1] : nullptr;
  float* const buffer = options_.momentum > 0 ? u.state[options_.centered ? 2 : 1] : nullptr;
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    rmsprop(u.value + b, u.gradient + b, u.state[0] + b, mean ? mean + b : nullptr,
            buffer ? buffer + b : nullptr, e - b, f);
  });
}

}  // namespace pare::optim
