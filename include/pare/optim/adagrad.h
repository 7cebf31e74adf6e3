// Adagrad.
#pragma once

#include "pare/optim/optimizer.h"

namespace pare::optim {

struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;      ///< the rate of step t is lr / (1 + (t − 1)·lr_decay)
  double weight_decay = 0;  ///< adds weight_decay·w to the gradient
  double initial_accumulator_value = 0;
  double eps = 1e-10;
};

/// PyTorch's Adagrad. Throws invalid_argument for negative settings. Duchi et al., "Adaptive
/// subgradient methods", 2011.
class PARE_API Adagrad final : public GroupedOptimizer<AdagradOptions> {
 public:
  explicit Adagrad(Tensors parameters, const AdagradOptions& options = {})
      : Adagrad(ParameterGroups{{std::move(parameters), options}}) {}
  explicit Adagrad(const ParameterGroups& groups);
  Adagrad(std::initializer_list<ParameterGroup<AdagradOptions>> groups)
      : Adagrad(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
};

}  // namespace pare::optim
