// Convolution, batch norm and activation in a row: what MobileNets are made of.
#pragma once

#include <cstdint>

#include "pare/core/export.h"
#include "pare/nn/container.h"

namespace pare::models {

enum class Activation : std::uint8_t { none, relu, relu6, hardswish };

struct ConvNormActivationOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t groups = 1;
  std::int64_t dilation = 1;
  Activation activation = Activation::relu;
  double eps = 1e-5;      ///< of the batch norm
  double momentum = 0.1;  ///< of the batch norm
};

/// x [N, in, H, W] → [N, out, ⌈H / stride⌉, ⌈W / stride⌉]: parts "0" (a convolution without bias,
/// padded by half its kernel), "1" (the norm) and "2" (the activation, if any), as torchvision's
/// Conv2dNormActivation. Throws invalid_argument for sizes below 1, an even kernel, and groups that
/// do not divide in and out.
PARE_API nn::Sequential conv_norm_activation(const ConvNormActivationOptions& options);

/// Channels rounded to the nearest multiple of `divisor`, at least one and never more than a tenth
/// below `channels` (MobileNet's rule). Throws invalid_argument for numbers below 0 or not finite
/// and for a divisor below 1.
PARE_API std::int64_t make_divisible(double channels, std::int64_t divisor = 8);

}  // namespace pare::models
