// NAdam.
#pragma once

#include "pare/optim/optimizer.h"

namespace pare::optim {

struct NAdamOptions {
  double lr = 2e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  ///< adds weight_decay·w to the gradient
  double momentum_decay = 4e-3;
};

/// PyTorch's NAdam. Throws as Adam. Dozat, "Incorporating Nesterov momentum into Adam", 2016.
class PARE_API NAdam final : public GroupedOptimizer<NAdamOptions> {
 public:
  explicit NAdam(Tensors parameters, const NAdamOptions& options = {})
      : NAdam(ParameterGroups{{std::move(parameters), options}}) {}
  explicit NAdam(const ParameterGroups& groups);
  NAdam(std::initializer_list<ParameterGroup<NAdamOptions>> groups)
      : NAdam(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
  // The product of the momenta of steps 1 to `step`: the next step is one factor away.
  struct Product {
    std::int64_t step = 0;
    double value = 1;
  };
  double product_up_to(std::int64_t step, std::size_t group);

  std::vector<Product> products_;  ///< by group
};

}  // namespace pare::optim
