// The ResNet family for CIFAR-10.
#pragma once

#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/nn/pooling.h"

namespace pare::models {

struct BasicBlockOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t stride = 1;
};

/// Two 3x3 convolutions around a shortcut. Where the shape changes the shortcut takes every
/// stride-th pixel and pads channels with zeros on both sides ("option A"), without parameters.
/// Throws invalid_argument where out − in is negative or odd.
struct PARE_API BasicBlock : nn::Module {
  explicit BasicBlock(BasicBlockOptions options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;

 private:
  Call slice_;  ///< the shortcut's; without op where it changes nothing
  Call pad_;
};

struct ResNetCifarOptions {
  int blocks = 3;  ///< per stage; the depth is 6·blocks + 2
  std::int64_t classes = 10;
  std::int64_t width = 16;  ///< channels of the first stage; doubled twice
};

/// x [N, 3, H, W] (32x32 in the paper) → logits [N, classes]. He et al., "Deep residual learning
/// for image recognition", 2015, section 4.2; parameter names as akamaster/pytorch_resnet_cifar10.
struct PARE_API ResNetCifar : nn::Module {
  explicit ResNetCifar(ResNetCifarOptions options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  /// Gives convolutions and the linear layer Kaiming's normal weights.
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Sequential layer1;
  nn::Sequential layer2;
  nn::Sequential layer3;
  nn::GlobalAveragePool pool;
  nn::Linear linear;
};

PARE_API ResNetCifar resnet8();
PARE_API ResNetCifar resnet20();
PARE_API ResNetCifar resnet32();
PARE_API ResNetCifar resnet44();
PARE_API ResNetCifar resnet56();
PARE_API ResNetCifar resnet110();

}  // namespace pare::models
