// Batch normalization layers.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

struct BatchNormOptions {
  std::int64_t features = 0;  ///< channels: size of axis 1
  double eps = 1e-5;
  double momentum = 0.1;  ///< weight of the new batch in the running statistics
};

/// What batch normalization of any rank has; use BatchNorm1d, 2d or 3d. While training it
/// normalizes by the batch and moves the running statistics; frozen (`eval()`), by the running
/// ones. Ioffe and Szegedy, "Batch normalization", 2015.
struct PARE_API BatchNorm : Module {
  void members(Members& m) override;
  void reset(Generator& generator) override;
  /// false freezes the statistics, also in training.
  void set_mode(bool train) override;
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;     ///< [features]
  Parameter bias;       ///< [features]
  Buffer running_mean;  ///< [features]
  Buffer running_var;   ///< [features]

 protected:
  BatchNorm(const char* where, const BatchNormOptions& options);
  BatchNorm(const BatchNorm&) = default;
  BatchNorm(BatchNorm&&) = default;
  BatchNorm& operator=(const BatchNorm&) = default;
  BatchNorm& operator=(BatchNorm&&) = default;
  Tensor normalize(const Tensor& x) const;

 private:
  Attributes attributes_;
};

/// x [N, C] or [N, C, L]. Throws invalid_argument for features below 1, shape_mismatch.
struct PARE_API BatchNorm1d : BatchNorm {
  explicit BatchNorm1d(BatchNormOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// x [N, C, H, W]. Throws invalid_argument for features below 1, shape_mismatch.
struct PARE_API BatchNorm2d : BatchNorm {
  explicit BatchNorm2d(BatchNormOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// x [N, C, D, H, W]. Throws invalid_argument for features below 1, shape_mismatch.
struct PARE_API BatchNorm3d : BatchNorm {
  explicit BatchNorm3d(BatchNormOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

}  // namespace pare::nn
