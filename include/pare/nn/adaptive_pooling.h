// Adaptive pooling: layers whose result has a given size.
#pragma once

#include "pare/nn/module.h"
#include "pare/nn/pair.h"
#include "pare/nn/triple.h"

namespace pare::nn {

/// A size that keeps the input's, PyTorch's None.
inline constexpr std::int64_t kKeepSize = -1;

/// x [N, C, L] → [N, C, output], means (adaptive_average_pool). Throws invalid_argument for a size
/// below 1 other than kKeepSize.
struct PARE_API AdaptiveAvgPool1d : Module {
  explicit AdaptiveAvgPool1d(std::int64_t output);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  std::vector<std::int64_t> output_;
};

/// The same of x [N, C, H, W]: `AdaptiveAvgPool2d pool{7}`, `AdaptiveAvgPool2d pool{{7, 5}}`.
struct PARE_API AdaptiveAvgPool2d : Module {
  explicit AdaptiveAvgPool2d(Pair output);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  std::vector<std::int64_t> output_;
};

/// The same of x [N, C, D, H, W].
struct PARE_API AdaptiveAvgPool3d : Module {
  explicit AdaptiveAvgPool3d(Triple output);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  std::vector<std::int64_t> output_;
};

/// As AdaptiveAvgPool1d, with the largest elements.
struct PARE_API AdaptiveMaxPool1d : Module {
  explicit AdaptiveMaxPool1d(std::int64_t output);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  std::vector<std::int64_t> output_;
};

/// The same of x [N, C, H, W].
struct PARE_API AdaptiveMaxPool2d : Module {
  explicit AdaptiveMaxPool2d(Pair output);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  std::vector<std::int64_t> output_;
};

/// The same of x [N, C, D, H, W].
struct PARE_API AdaptiveMaxPool3d : Module {
  explicit AdaptiveMaxPool3d(Triple output);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  std::vector<std::int64_t> output_;
};

}  // namespace pare::nn
