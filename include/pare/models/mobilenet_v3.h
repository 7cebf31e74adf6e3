// MobileNetV3: inverted residuals with squeeze-and-excitation and hard-swish.
#pragma once

#include <cstdint>
#include <string>

#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/pooling.h"

namespace pare::models {

struct SqueezeExcitationOptions {
  std::int64_t in = 0;
  std::int64_t squeezed = 0;  ///< channels between the two layers
};

/// Each channel times a factor in [0, 1] that two layers compute from the channels' means: 1x1
/// convolutions with relu between and hardsigmoid behind. x [N, in, H, W] → the same. Throws
/// invalid_argument for sizes below 1. Hu et al., "Squeeze-and-excitation networks", 2018.
struct PARE_API SqueezeExcitation : nn::Module {
  explicit SqueezeExcitation(SqueezeExcitationOptions options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::GlobalAveragePool avgpool;
  nn::Conv2d fc1;
  nn::Conv2d fc2;
};

struct MobileNetV3BlockOptions {
  std::int64_t in = 0;
  std::int64_t expanded = 0;  ///< channels of the depthwise convolution
  std::int64_t out = 0;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  bool squeeze = false;    ///< with squeeze-and-excitation
  bool hardswish = false;  ///< rather than relu
};

/// A 1x1 convolution to more channels, a depthwise one, squeeze-and-excitation, and a 1x1 one back,
/// around a shortcut where the shape stays. x [N, in, H, W] → [N, out, ⌈H / stride⌉, ⌈W / stride⌉].
/// Throws invalid_argument for sizes below 1 and an even kernel.
struct PARE_API MobileNetV3Block : nn::Module {
  explicit MobileNetV3Block(const MobileNetV3BlockOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Sequential block;

 private:
  bool shortcut_;
};

struct MobileNetV3Options {
  bool large = false;
  std::int64_t classes = 1000;
  std::int64_t in = 3;
  double width = 1.0;    ///< multiplies the channels of every layer, rounded to multiples of 8
  double dropout = 0.2;  ///< before the last layer
};

/// x [N, in, H, W] (224x224 in the paper; 32 and more) → logits [N, classes]. Howard et al.,
/// "Searching for MobileNetV3", 2019, tables 1 and 2; parameter names and first values as
/// torchvision's. Throws invalid_argument for options out of range.
struct PARE_API MobileNetV3 : nn::Module {
  explicit MobileNetV3(const MobileNetV3Options& options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Sequential features;
  nn::GlobalAveragePool avgpool;
  nn::Sequential classifier;
};

/// torchvision's names for them; `large` of the options is set by the name.
PARE_API MobileNetV3 mobilenet_v3_small(MobileNetV3Options options = {});
PARE_API MobileNetV3 mobilenet_v3_large(MobileNetV3Options options = {});

}  // namespace pare::models
