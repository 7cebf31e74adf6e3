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
class PARE_API Adam final : public GroupedOptimizer<AdamOptions> {
 public:
  explicit Adam(Tensors parameters, const AdamOptions& options = {})
      : Adam(ParameterGroups{{std::move(parameters), options}}) {}
  explicit Adam(const ParameterGroups& groups);
  Adam(std::initializer_list<ParameterGroup<AdamOptions>> groups) : Adam(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;  ///< scales w by 1 − lr·weight_decay before the update
};

/// PyTorch's AdamW. Throws as Adam. Loshchilov and Hutter, "Decoupled weight decay", 2019.
class PARE_API AdamW final : public GroupedOptimizer<AdamWOptions> {
 public:
  explicit AdamW(Tensors parameters, const AdamWOptions& options = {})
      : AdamW(ParameterGroups{{std::move(parameters), options}}) {}
  explicit AdamW(const ParameterGroups& groups);
  AdamW(std::initializer_list<ParameterGroup<AdamWOptions>> groups)
      : AdamW(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
};

}  // namespace pare::optim
