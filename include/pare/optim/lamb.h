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
class PARE_API LAMB final : public Optimizer {
 public:
  explicit LAMB(Tensors parameters, const LAMBOptions& options = {});

 private:
  void update(const Update& u) override;
  LAMBOptions options_;
};

}  // namespace pare::optim
