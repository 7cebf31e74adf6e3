// LAMB.
#pragma once

#include "pare/optim/optimizer.h"

namespace pare::optim {

struct LAMBOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 1e-2;
};

/// Adam's step plus weight_decay·w, scaled for each tensor to the length of w (1 where w or the
/// step is zero). Throws as Adam. You et al., "Large batch optimization for deep learning", 2020.
class PARE_API LAMB final : public GroupedOptimizer<LAMBOptions> {
 public:
  explicit LAMB(Tensors parameters, const LAMBOptions& options = {})
      : LAMB(ParameterGroups{{std::move(parameters), options}}) {}
  explicit LAMB(const ParameterGroups& groups);
  LAMB(std::initializer_list<ParameterGroup<LAMBOptions>> groups) : LAMB(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
};

}  // namespace pare::optim
