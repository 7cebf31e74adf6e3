// Stochastic gradient descent with momentum.
#pragma once

#include "pare/optim/optimizer.h"

namespace pare::optim {

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  ///< adds weight_decay·w to the gradient
  bool nesterov = false;
};

/// PyTorch's SGD: m = momentum·m + (1 − dampening)·g (m = g at first), w −= lr·m, or with nesterov
/// w −= lr·(g + momentum·m). Throws invalid_argument for negative settings, or nesterov without
/// momentum or with dampening. Sutskever et al., 2013.
class PARE_API SGD final : public GroupedOptimizer<SGDOptions> {
 public:
  explicit SGD(Tensors parameters, const SGDOptions& options = {})
      : SGD(ParameterGroups{{std::move(parameters), options}}) {}
  explicit SGD(const ParameterGroups& groups);
  SGD(std::initializer_list<ParameterGroup<SGDOptions>> groups) : SGD(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
};

}  // namespace pare::optim
