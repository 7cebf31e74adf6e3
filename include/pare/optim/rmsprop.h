// RMSprop.
#pragma once

#include "pare/optim/optimizer.h"

namespace pare::optim {

struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;  ///< of the moving average of squares
  double eps = 1e-8;
  double weight_decay = 0;  ///< adds weight_decay·w to the gradient
  double momentum = 0;
  bool centered = false;  ///< divides by the standard deviation instead of the root of squares
};

/// PyTorch's RMSprop. Throws invalid_argument for alpha outside [0, 1) and negative settings.
/// Hinton, "Lecture 6e", 2012; centred: Graves, "Generating sequences", 2013.
class PARE_API RMSprop final : public GroupedOptimizer<RMSpropOptions> {
 public:
  explicit RMSprop(Tensors parameters, const RMSpropOptions& options = {})
      : RMSprop(ParameterGroups{{std::move(parameters), options}}) {}
  explicit RMSprop(const ParameterGroups& groups);
  RMSprop(std::initializer_list<ParameterGroup<RMSpropOptions>> groups)
      : RMSprop(ParameterGroups(groups)) {}

 private:
  void update(const Update& u) override;
};

}  // namespace pare::optim
