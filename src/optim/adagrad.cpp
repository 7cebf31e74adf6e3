// Adagrad, in one pass over memory.
#include "pare/optim/adagrad.h"

#include <algorithm>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"

namespace pare::optim {
namespace {

struct Factors {
  float lr, decay, eps;
};

PARE_INLINE void adagrad_body(float* __restrict w, const float* __restrict g, float* __restrict sum,
                              std::int64_t n, Factors f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + f.decay * w[i];
    const float total = sum[i] + gradient * gradient;
    sum[i] = total;
    w[i] -= f.lr * gradient / (__builtin_sqrtf(total) + f.eps);
  }
}
PARE_MULTIVERSION(void, adagrad, (float* w, const float* g, float* sum, std::int64_t n, Factors f),
                  (w, g, sum, n, f))

}  // namespace

Adagrad::Adagrad(Tensors parameters, const AdagradOptions& options)
    : Optimizer("Adagrad", std::move(parameters), options.lr, {"sum"}), options_(options) {
  PARE_CHECK(options.lr_decay >= 0 && options.weight_decay >= 0 && options.eps >= 0 &&
                 options.initial_accumulator_value >= 0,
             invalid_argument, "Adagrad",
             "expected lr_decay, weight_decay, initial_accumulator_value and eps of at least 0, "
             "got {}, {}, {} and {}",
             options.lr_decay, options.weight_decay, options.initial_accumulator_value,
             options.eps);
}

void Adagrad::update(const Update& u) {
  const double rate = learning_rate() / (1 + static_cast<double>(u.step - 1) * options_.lr_decay);
  const Factors f{.lr = static_cast<float>(rate),
                  .decay = static_cast<float>(options_.weight_decay),
                  .eps = static_cast<float>(options_.eps)};
  if (u.step == 1)
    std::fill_n(u.state[0], u.count, static_cast<float>(options_.initial_accumulator_value));
  parallel_for(0, u.count, kGrain, [&](std::int64_t b, std::int64_t e) {
    adagrad(u.value + b, u.gradient + b, u.state[0] + b, e - b, f);
  });
}

}  // namespace pare::optim
