// Layer, RMS, group, instance and local response normalization as layers.
#pragma once

#include <vector>

#include "pare/nn/module.h"

namespace pare::nn {

struct LayerNormOptions {
  std::vector<std::int64_t> shape;  ///< of the normalized axes, the last ones
  double eps = 1e-5;
  bool affine = true;  ///< PyTorch's elementwise_affine: has a weight
  bool bias = true;    ///< where it is affine
};

/// x [..., shape]: (x − mean) / √(variance + eps) · weight + bias. Throws invalid_argument for an
/// empty shape, sizes below 1 or a negative eps; shape_mismatch.
struct PARE_API LayerNorm : Module {
  explicit LayerNorm(LayerNormOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [shape]
  Parameter bias;    ///< [shape]

 private:
  std::vector<std::int64_t> shape_;
  Call call_;
};

struct RMSNormOptions {
  std::vector<std::int64_t> shape;  ///< of the normalized axes, the last ones
  double eps = 0x1p-23;             ///< PyTorch's for f32, where none is given
  bool affine = true;
};

/// x [..., shape]: x / √(mean of x² + eps) · weight. Throws as LayerNorm.
struct PARE_API RMSNorm : Module {
  explicit RMSNorm(RMSNormOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [shape]

 private:
  std::vector<std::int64_t> shape_;
  Call call_;
};

struct GroupNormOptions {
  std::int64_t groups = 0;
  std::int64_t channels = 0;
  double eps = 1e-5;
  bool affine = true;
};

/// x [N, channels, …], each sample's sets of channels / groups channels by themselves. Throws
/// invalid_argument where groups does not divide channels or either is below 1.
struct PARE_API GroupNorm : Module {
  explicit GroupNorm(GroupNormOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [channels]
  Parameter bias;    ///< [channels]

 private:
  Call call_;
};

struct InstanceNormOptions {
  std::int64_t features = 0;  ///< channels: size of axis 1
  double eps = 1e-5;
  double momentum = 0.1;  ///< weight of the new batch in the running statistics
  bool affine = false;
  bool track_running_stats = false;
};

/// What instance normalization of any rank has; use InstanceNorm1d, 2d or 3d. By each sample's
/// statistics; with running ones frozen (`eval()`) or outside training by those.
struct PARE_API InstanceNorm : Module {
  void members(Members& m) override;
  void reset(Generator& generator) override;
  /// false freezes the running statistics, also in training.
  void set_mode(bool train) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  Parameter weight;     ///< [features]
  Parameter bias;       ///< [features]
  Buffer running_mean;  ///< [features]
  Buffer running_var;   ///< [features]

 protected:
  InstanceNorm(const InstanceNormOptions& options, int pixel_axes);
  InstanceNorm(const InstanceNorm&) = default;
  InstanceNorm(InstanceNorm&&) = default;
  InstanceNorm& operator=(const InstanceNorm&) = default;
  InstanceNorm& operator=(InstanceNorm&&) = default;

 private:
  int pixel_axes_;
  std::int64_t features_;
  Attributes attributes_;
};

/// x [N, C, L] or [C, L]. Throws invalid_argument for features below 1, shape_mismatch.
struct PARE_API InstanceNorm1d : InstanceNorm {
  explicit InstanceNorm1d(InstanceNormOptions options);
};
/// x [N, C, H, W] or [C, H, W]. Throws invalid_argument for features below 1, shape_mismatch.
struct PARE_API InstanceNorm2d : InstanceNorm {
  explicit InstanceNorm2d(InstanceNormOptions options);
};
/// x [N, C, D, H, W] or [C, D, H, W]. Throws invalid_argument for features below 1, shape_mismatch.
struct PARE_API InstanceNorm3d : InstanceNorm {
  explicit InstanceNorm3d(InstanceNormOptions options);
};

struct LocalResponseNormOptions {
  std::int64_t size = 0;  ///< channels that are summed over
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 1;
};

/// x [N, C, …] / (k + alpha · mean of x² over `size` channels)^beta. Throws invalid_argument for a
/// size below 1.
struct PARE_API LocalResponseNorm : Module {
  explicit LocalResponseNorm(LocalResponseNormOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

}  // namespace pare::nn
