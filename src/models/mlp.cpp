// Networks of fully connected layers for MNIST-like pictures.
#include "pare/models/mlp.h"

#include "core/defined.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"

namespace pare::models {
namespace {

Tensor three_layers(const Tensor& x, nn::Linear& fc1, nn::Linear& fc2, nn::Linear& fc3) {
  require_defined(x, "flatten");
  const Tensor first = x.rank() > 2 ? fc1(flatten(x)) : fc1(x);
  return fc3(relu(fc2(relu(first))));
}

}  // namespace

void VerySimpleNet::members(nn::Members& m) { m("fc1", fc1)("fc2", fc2)("fc3", fc3); }
Tensor VerySimpleNet::forward(const Tensor& x) { return three_layers(x, fc1, fc2, fc3); }
std::string VerySimpleNet::kind() const { return "VerySimpleNet"; }

void LeNet300_100::members(nn::Members& m) { m("fc1", fc1)("fc2", fc2)("fc3", fc3); }
Tensor LeNet300_100::forward(const Tensor& x) { return three_layers(x, fc1, fc2, fc3); }
std::string LeNet300_100::kind() const { return "LeNet300_100"; }

}  // namespace pare::models
