// The ResNet family for pictures of ImageNet's size.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/nn/pooling.h"

namespace pare::models {

struct ResNetBlockOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t stride = 1;
  std::int64_t width = 0;   ///< of a bottleneck's 3x3 convolution
  std::int64_t groups = 1;  ///< of a bottleneck's 3x3 convolution
};

/// Two 3x3 convolutions around a shortcut, which is a 1x1 convolution where the shape changes.
/// x [N, in, H, W] → [N, out, ⌈H / stride⌉, ⌈W / stride⌉]. Throws invalid_argument for sizes below
/// 1.
struct PARE_API ResNetBasicBlock : nn::Module {
  explicit ResNetBasicBlock(const ResNetBlockOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Sequential downsample;  ///< empty where the shape stays
};

/// 1x1, 3x3 (with the stride, as torchvision's "v1.5") and 1x1 convolutions around the same
/// shortcut. Shapes and errors as ResNetBasicBlock's; groups must divide width.
struct PARE_API ResNetBottleneck : nn::Module {
  explicit ResNetBottleneck(const ResNetBlockOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Conv2d conv3;
  nn::BatchNorm2d bn3;
  nn::Sequential downsample;  ///< empty where the shape stays
};

/// What tells the members of the family apart.
struct ResNetLayout {
  std::array<int, 4> blocks{2, 2, 2, 2};  ///< of the four stages
  bool bottleneck = false;
  std::int64_t width = 64;        ///< channels of the first stage, doubled three times
  std::int64_t groups = 1;        ///< of the bottlenecks' 3x3 convolutions (ResNeXt)
  std::int64_t group_width = 64;  ///< 64ths of a stage's channels in one of them
};

struct ResNetOptions {
  std::int64_t classes = 1000;
  std::int64_t in = 3;
  bool zero_init_residual = false;  ///< every residual branch starts as zero
};

/// x [N, in, H, W] (224x224 in the paper; 32 and more) → logits [N, classes]. He et al., "Deep
/// residual learning for image recognition", 2015; parameter names and first values as
/// torchvision's. Throws invalid_argument for sizes below 1, and for a basic block with groups.
struct PARE_API ResNet : nn::Module {
  explicit ResNet(const ResNetLayout& layout = {}, const ResNetOptions& options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::MaxPool2d maxpool;
  nn::Sequential layer1;
  nn::Sequential layer2;
  nn::Sequential layer3;
  nn::Sequential layer4;
  nn::GlobalAveragePool avgpool;
  nn::Linear fc;

 private:
  bool zero_init_residual_;
};

PARE_API ResNet resnet18(const ResNetOptions& options = {});
PARE_API ResNet resnet34(const ResNetOptions& options = {});
PARE_API ResNet resnet50(const ResNetOptions& options = {});
PARE_API ResNet resnet101(const ResNetOptions& options = {});
PARE_API ResNet resnet152(const ResNetOptions& options = {});
/// Xie et al., "Aggregated residual transformations for deep neural networks", 2017.
PARE_API ResNet resnext50_32x4d(const ResNetOptions& options = {});
/// Zagoruyko and Komodakis, "Wide residual networks", 2016.
PARE_API ResNet wide_resnet50_2(const ResNetOptions& options = {});

}  // namespace pare::models
