// Pooling layers.
#pragma once

#include "pare/nn/module.h"
#include "pare/nn/pair.h"

namespace pare::nn {

struct MaxPool2dOptions {
  Pair kernel = 2;
  Pair stride = 0;  ///< 0: the kernel's size
  Pair padding = 0;
};
struct AvgPool2dOptions {
  Pair kernel = 2;
  Pair stride = 0;  ///< 0: the kernel's size
  Pair padding = 0;
  bool count_include_pad = true;  ///< padding counts in the divisor
};

/// x [N, C, H, W]; floor mode. Throws invalid_argument for a kernel below 1, a negative stride, and
/// padding above half the kernel.
struct PARE_API MaxPool2d : Module {
  explicit MaxPool2d(MaxPool2dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
};

/// As MaxPool2d, with means.
struct PARE_API AvgPool2d : Module {
  explicit AvgPool2d(AvgPool2dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
};

/// [N, C, H, W] → [N, C, 1, 1], the means: PyTorch's AdaptiveAvgPool2d(1).
struct PARE_API GlobalAveragePool : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

}  // namespace pare::nn
