// Adam and AdamW.
#pragma once

#include "pare/optim/optimizer.h"

namespace pare::optim {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  ///< adds weight_decay·w to the gradient
};

/// PyTorch's Adam. Throws invalid_argument for betas outside [0, 1) and negative settings.
/// Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
class PARE_API Adam final : public Optimizer {
 public:
  explicit Adam(Tensors parameters, const AdamOptions& options = {});

 private:
  void update(const Update& u) override;
  AdamOptions options_;
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;  ///< scales w by 1 − lr·weight_decay before the update
};

/// PyTorch's AdamW. Throws as Adam. Loshchilov and Hutter, "Decoupled weight decay", 2019.
class PARE_API AdamW final : public Optimizer {
 public:
  explicit AdamW(Tensors parameters, const AdamWOptions& options = {});

 private:
  void update(const Update& u) override;
  AdamWOptions options_;
};

}  // namespace pare::optim
