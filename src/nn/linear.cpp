// The fully connected layer.
#include "pare/nn/linear.h"

#include <cmath>

#include "core/check.h"
#include "pare/core/ops/contraction.h"
#include "pare/nn/init.h"

namespace pare::nn {

Linear::Linear(LinearOptions options) {
  PARE_CHECK(options.in > 0 && options.out > 0, invalid_argument, "Linear",
             "expected in and out of at least 1, got in = {}, out = {}", options.in, options.out);
  weight = Parameter({options.out, options.in});
  if (options.bias) bias = Parameter({options.out});
}

void Linear::members(Members& m) { m("weight", weight)("bias", bias); }

Tensor Linear::forward(const Tensor& x) { return linear(x, weight, bias); }

void Linear::reset(Generator& generator) {
  weight.set(init::kaiming_uniform(weight.shape(), generator, {.a = std::sqrt(5.0)}));
  if (bias.defined()) bias.set(init::bias(bias.shape(), weight.shape(), generator));
}

std::string Linear::kind() const { return "Linear"; }

}  // namespace pare::nn
