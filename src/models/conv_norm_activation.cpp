// Convolution, batch norm and activation in a row.
#include "pare/models/conv_norm_activation.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "pare/nn/activation.h"
#include "pare/nn/conv.h"
#include "pare/nn/normalization.h"

namespace pare::models {

nn::Sequential conv_norm_activation(const ConvNormActivationOptions& options) {
  PARE_CHECK(options.kernel % 2 == 1, invalid_argument, "conv_norm_activation",
             "expected an odd kernel, got {}", options.kernel);
  nn::Sequential result;
  result.add(nn::Conv2d({.in = options.in,
                         .out = options.out,
                         .kernel = options.kernel,
                         .stride = options.stride,
                         .padding = (options.kernel - 1) / 2 * options.dilation,
                         .dilation = options.dilation,
                         .groups = options.groups,
                         .bias = false}));
  result.add(
      nn::BatchNorm2d({.features = options.out, .eps = options.eps, .momentum = options.momentum}));
  switch (options.activation) {
    case Activation::none:
      break;
    case Activation::relu:
      result.add(nn::ReLU{});
      break;
    case Activation::relu6:
      result.add(nn::ReLU6{});
      break;
    case Activation::hardswish:
      result.add(nn::Hardswish{});
      break;
  }
  return result;
}

std::int64_t make_divisible(double channels, std::int64_t divisor) {
  // Beyond 2^40 the product below would leave the integers.
  PARE_CHECK(channels >= 0 && channels < 0x1p40 && divisor > 0, invalid_argument, "make_divisible",
             "expected channels from 0 and a divisor of at least 1, got {} and {}", channels,
             divisor);
  const double step = static_cast<double>(divisor);
  const double rounded = std::max(step, std::floor((channels + step / 2) / step) * step);
  const double result = rounded < 0.9 * channels ? rounded + step : rounded;
  return static_cast<std::int64_t>(result);
}

}  // namespace pare::models
