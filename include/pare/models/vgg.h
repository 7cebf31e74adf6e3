// VGG: 3x3 convolutions and max pooling, one after another.
#pragma once

#include <cstdint>
#include <string>

#include "pare/nn/adaptive_pooling.h"
#include "pare/nn/container.h"

namespace pare::models {

struct VggOptions {
  int depth = 16;  ///< layers with weights: 11, 13, 16 or 19
  bool batch_norm = false;
  std::int64_t classes = 1000;
  std::int64_t in = 3;
  std::int64_t hidden = 4096;  ///< units of the two fully connected layers before the last
  double dropout = 0.5;        ///< behind each of these
};

/// x [N, in, H, W] (224x224 in the paper; 32 and more) → logits [N, classes]. Simonyan and
/// Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014; parameter
/// names and first values as torchvision's. Throws invalid_argument for options out of range.
struct PARE_API Vgg : nn::Module {
  explicit Vgg(const VggOptions& options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Sequential features;
  nn::AdaptiveAvgPool2d avgpool;
  nn::Sequential classifier;
};

/// torchvision's names for them; `depth` and `batch_norm` of the options are set by the name.
PARE_API Vgg vgg11(VggOptions options = {});
PARE_API Vgg vgg13(VggOptions options = {});
PARE_API Vgg vgg16(VggOptions options = {});
PARE_API Vgg vgg19(VggOptions options = {});
PARE_API Vgg vgg11_bn(VggOptions options = {});
PARE_API Vgg vgg13_bn(VggOptions options = {});
PARE_API Vgg vgg16_bn(VggOptions options = {});
PARE_API Vgg vgg19_bn(VggOptions options = {});

}  // namespace pare::models
