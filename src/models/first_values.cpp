// The first values that torchvision gives its models' layers.
#include "models/first_values.h"

#include "pare/nn/conv.h"
#include "pare/nn/init.h"
#include "pare/nn/linear.h"

namespace pare::models {

void set_first_values(nn::Module& net, Generator& generator, const FirstValues& options) {
  const auto clear = [](nn::Parameter& bias) {
    if (bias.defined()) bias.set(nn::init::zeros(bias.shape()));
  };
  net.for_each_module([&](const std::string&, nn::Module& part) {
    if (auto* const conv = dynamic_cast<nn::Conv2d*>(&part)) {
      conv->weight.set(
          nn::init::kaiming_normal(conv->weight.shape(), generator, {.fan = nn::init::Fan::out}));
      clear(conv->bias);
    } else if (auto* const linear = dynamic_cast<nn::Linear*>(&part);
               linear && options.linear_deviation > 0) {
      linear->weight.set(nn::init::normal(linear->weight.shape(), generator,
                                          {.deviation = options.linear_deviation}));
      clear(linear->bias);
    }
  });
}

}  // namespace pare::models
