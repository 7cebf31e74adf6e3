// LeNet-5 in the form that pruning papers use.
#pragma once

#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/pooling.h"

namespace pare::models {

/// Caffe's LeNet: 20 and 50 channels of 5x5 with max pooling, 500 units, 431 080 parameters.
/// x [N, 1, 28, 28] → logits [N, 10]. LeCun et al., 1998.
struct PARE_API LeNet5 : nn::Module {
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Conv2d conv1{{.in = 1, .out = 20, .kernel = 5}};
  nn::MaxPool2d pool{{.kernel = 2}};
  nn::Conv2d conv2{{.in = 20, .out = 50, .kernel = 5}};
  nn::Linear fc1{{.in = 800, .out = 500}};
  nn::Linear fc2{{.in = 500, .out = 10}};
};

}  // namespace pare::models
