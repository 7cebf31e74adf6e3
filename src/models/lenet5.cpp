// LeNet-5 in the form that pruning papers use.
#include "pare/models/lenet5.h"

#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"

namespace pare::models {

void LeNet5::members(nn::Members& m) {
  m("conv1", conv1)("pool", pool)("conv2", conv2)("fc1", fc1)("fc2", fc2);
}

Tensor LeNet5::forward(const Tensor& x) {
  const Tensor features = pool(conv2(pool(conv1(x))));
  return fc2(relu(fc1(flatten(features))));
}

std::string LeNet5::kind() const { return "LeNet5"; }

}  // namespace pare::models
