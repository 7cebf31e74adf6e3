// Bilinear: a layer that multiplies two inputs.
#include "pare/nn/bilinear.h"

#include <cmath>

#include "core/check.h"
#include "pare/core/ops/products.h"
#include "pare/nn/init.h"

namespace pare::nn {

Bilinear::Bilinear(BilinearOptions options) {
  const auto& [in1, in2, out, with_bias] = options;
  PARE_CHECK(in1 > 0 && in2 > 0 && out > 0, invalid_argument, "Bilinear",
             "expected in1, in2 and out of at least 1, got {}, {} and {}", in1, in2, out);
  weight = Parameter({out, in1, in2});
  if (with_bias) bias = Parameter({out});
}

void Bilinear::members(Members& m) { m("weight", weight)("bias", bias); }

Tensor Bilinear::forward(const Tensor& x1, const Tensor& x2) {
  return bilinear(x1, x2, weight, bias);
}

Tensors Bilinear::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() == 2, invalid_argument, "Bilinear", "expected 2 inputs, got {}",
             inputs.size());
  return {forward(inputs[0], inputs[1])};
}

/// PyTorch's: uniform within 1/√in1.
void Bilinear::reset(Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight.shape()[1]));
  const init::Range range{.low = -bound, .high = bound};
  weight.set(init::uniform(weight.shape(), generator, range));
  if (bias.defined()) bias.set(init::uniform(bias.shape(), generator, range));
}

std::string Bilinear::kind() const { return "Bilinear"; }

}  // namespace pare::nn
