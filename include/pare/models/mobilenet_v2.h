// MobileNetV2: inverted residuals with linear bottlenecks.
#pragma once

#include <cstdint>
#include <string>

#include "pare/nn/container.h"
#include "pare/nn/pooling.h"

namespace pare::models {

struct InvertedResidualOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t stride = 1;
  std::int64_t expand = 6;  ///< channels between the two 1x1 convolutions, as a multiple of `in`
};

/// A 1x1 convolution to more channels (none for expand 1), a depthwise 3x3 one and a 1x1 one back,
/// around a shortcut where the shape stays. x [N, in, H, W] → [N, out, ⌈H / stride⌉, ⌈W / stride⌉].
/// Throws invalid_argument for sizes below 1.
struct PARE_API InvertedResidual : nn::Module {
  explicit InvertedResidual(InvertedResidualOptions options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Sequential conv;

 private:
  bool shortcut_;
};

struct MobileNetV2Options {
  std::int64_t classes = 1000;
  std::int64_t in = 3;
  double width = 1.0;    ///< multiplies the channels of every layer, rounded to multiples of 8
  double dropout = 0.2;  ///< before the classifier
};

/// x [N, in, H, W] (224x224 in the paper; 32 and more) → logits [N, classes]. Sandler et al.,
/// "MobileNetV2: inverted residuals and linear bottlenecks", 2018; parameter names and first values
/// as torchvision's. Throws invalid_argument for options out of range.
struct PARE_API MobileNetV2 : nn::Module {
  explicit MobileNetV2(MobileNetV2Options options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Sequential features;
  nn::GlobalAveragePool pool;
  nn::Sequential classifier;
};

/// torchvision's name for it.
PARE_API MobileNetV2 mobilenet_v2(const MobileNetV2Options& options = {});

}  // namespace pare::models
