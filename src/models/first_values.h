// The first values that torchvision gives its models' layers.
#pragma once

#include "pare/nn/module.h"

namespace pare::models {

struct FirstValues {
  double linear_deviation = 0;  ///< of linear weights, whose biases become 0; 0: leave them
};

/// Convolutions: Kaiming's normal by the outputs, bias 0.
void set_first_values(nn::Module& net, Generator& generator, const FirstValues& options = {});

}  // namespace pare::models
