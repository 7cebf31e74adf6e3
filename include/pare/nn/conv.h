// Conv2d: the convolution layer.
#pragma once

#include "pare/nn/module.h"
#include "pare/nn/pair.h"

namespace pare::nn {

struct Conv2dOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  Pair kernel = 1;
  Pair stride = 1;
  Pair padding = 0;  ///< zeros on both sides of each axis
  Pair dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// x [N, in, H, W] → [N, out, H', W']. Throws invalid_argument for sizes below 1, a negative
/// padding, and groups that do not divide in and out.
struct PARE_API Conv2d : Module {
  explicit Conv2d(Conv2dOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;
  /// Holds a Conv2dAttributes.
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;  ///< [out, in / groups, kernel height, kernel width]
  Parameter bias;    ///< [out]

 private:
  Attributes attributes_;
};

}  // namespace pare::nn
