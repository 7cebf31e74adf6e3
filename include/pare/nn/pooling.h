// Pooling layers.
#pragma once

#include "pare/nn/module.h"
#include "pare/nn/pair.h"
#include "pare/nn/triple.h"

namespace pare::nn {

/// Of pooling over one axis (Size = std::int64_t), two (Pair) or three (Triple).
template <class Size> struct MaxPoolOptions {
  Size kernel = 2;
  Size stride = 0;  ///< 0: the kernel's size
  Size padding = 0;
  Size dilation = 1;
  bool ceil_mode = false;
};
template <class Size> struct AvgPoolOptions {
  Size kernel = 2;
  Size stride = 0;  ///< 0: the kernel's size
  Size padding = 0;
  bool count_include_pad = true;  ///< padding counts in the divisor
  bool ceil_mode = false;
  std::int64_t divisor_override = 0;  ///< divides every sum instead; 0: none
};
using MaxPool1dOptions = MaxPoolOptions<std::int64_t>;
using MaxPool2dOptions = MaxPoolOptions<Pair>;
using MaxPool3dOptions = MaxPoolOptions<Triple>;
using AvgPool1dOptions = AvgPoolOptions<std::int64_t>;
using AvgPool2dOptions = AvgPoolOptions<Pair>;
using AvgPool3dOptions = AvgPoolOptions<Triple>;

/// x [N, C, L]. Throws invalid_argument for a kernel or dilation below 1, a negative stride, and
/// padding above half the kernel.
struct PARE_API MaxPool1d : Module {
  explicit MaxPool1d(MaxPool1dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
};

/// As MaxPool1d: x [N, C, H, W].
struct PARE_API MaxPool2d : Module {
  explicit MaxPool2d(MaxPool2dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
};

/// As MaxPool1d: x [N, C, D, H, W].
struct PARE_API MaxPool3d : Module {
  explicit MaxPool3d(MaxPool3dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
};

/// As MaxPool1d, with means.
struct PARE_API AvgPool1d : Module {
  explicit AvgPool1d(AvgPool1dOptions options);
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

/// As MaxPool3d, with means.
struct PARE_API AvgPool3d : Module {
  explicit AvgPool3d(AvgPool3dOptions options);
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

template <class Size> struct LpPoolOptions {
  double norm = 2;  ///< the power p
  Size kernel = 2;
  Size stride = 0;  ///< 0: the kernel's size
  bool ceil_mode = false;
};
using LpPool1dOptions = LpPoolOptions<std::int64_t>;
using LpPool2dOptions = LpPoolOptions<Pair>;

/// x [N, C, L] → the p-norm of each window (lp_pool1d). Throws invalid_argument for p = 0, a kernel
/// below 1 and a negative stride.
struct PARE_API LPPool1d : Module {
  explicit LPPool1d(LpPool1dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
  double norm_;
};

/// The same of x [N, C, H, W].
struct PARE_API LPPool2d : Module {
  explicit LPPool2d(LpPool2dOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
  double norm_;
};

}  // namespace pare::nn
