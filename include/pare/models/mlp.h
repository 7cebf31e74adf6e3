// Networks of fully connected layers for MNIST-like pictures.
#pragma once

#include "pare/nn/linear.h"

namespace pare::models {

/// 784-100-100-10 with ReLU. x [N, 784] or [N, 1, 28, 28] → logits [N, 10].
struct PARE_API VerySimpleNet : nn::Module {
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Linear fc1{{.in = 784, .out = 100}};
  nn::Linear fc2{{.in = 100, .out = 100}};
  nn::Linear fc3{{.in = 100, .out = 10}};
};

/// 784-300-100-10 with ReLU. x [N, 784] or [N, 1, 28, 28] → logits [N, 10]. LeCun et al.,
/// "Gradient-based learning applied to document recognition", 1998.
struct PARE_API LeNet300_100 : nn::Module {
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Linear fc1{{.in = 784, .out = 300}};
  nn::Linear fc2{{.in = 300, .out = 100}};
  nn::Linear fc3{{.in = 100, .out = 10}};
};

}  // namespace pare::models
