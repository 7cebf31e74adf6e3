// SqueezeNet: few parameters through 1x1 convolutions.
#pragma once

#include <cstdint>
#include <string>

#include "pare/nn/container.h"
#include "pare/nn/conv.h"

namespace pare::models {

struct FireOptions {
  std::int64_t in = 0;
  std::int64_t squeeze = 0;  ///< channels of the 1x1 convolution that both expansions read
  std::int64_t expand = 0;   ///< channels of the 1x1 expansion, and of the 3x3 one
};

/// A 1x1 convolution to few channels, then a 1x1 and a 3x3 one side by side. x [N, in, H, W] →
/// [N, 2·expand, H, W]. Throws invalid_argument for sizes below 1.
struct PARE_API Fire : nn::Module {
  explicit Fire(FireOptions options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Conv2d squeeze;
  nn::Conv2d expand1x1;
  nn::Conv2d expand3x3;
};

struct SqueezeNetOptions {
  bool version_1_1 = false;  ///< a smaller first layer and earlier pooling: 2.4 times less work
  std::int64_t classes = 1000;
  std::int64_t in = 3;
  double dropout = 0.5;  ///< before the last convolution
};

/// x [N, in, H, W] (224x224 in the paper; 21 and more) → logits [N, classes], the means of a relu.
/// Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016; parameter
/// names and first values as torchvision's. Throws invalid_argument for sizes below 1.
struct PARE_API SqueezeNet : nn::Module {
  explicit SqueezeNet(const SqueezeNetOptions& options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Sequential features;
  nn::Sequential classifier;
};

/// torchvision's names for them; `version_1_1` of the options is set by the name.
PARE_API SqueezeNet squeezenet1_0(SqueezeNetOptions options = {});
PARE_API SqueezeNet squeezenet1_1(SqueezeNetOptions options = {});

}  // namespace pare::models
