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
class PARE_API NAdam final : public Optimizer {
 public:
  explicit NAdam(Tensors parameters, const NAdamOptions& options = {});

 private:
  void update(const Update& u) override;
  double momentum_at(std::int64_t step) const;
  double product_up_to(std::int64_t step);

  NAdamOptions options_;
  // The product of the momenta of steps 1 to `product_step_`: the next step is one factor away.
  std::int64_t product_step_ = 0;
  double product_ = 1;
};

}  // namespace pare::optim
