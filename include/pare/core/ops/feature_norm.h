// Layer, root-mean-square, group, instance and local response normalization: of each sample by
// itself.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kLayerNorm, kRmsNorm, kGroupNorm, kInstanceNorm, kLocalResponseNorm;

struct LayerNormAttributes {
  std::int64_t axis = -1;  ///< the first of the normalized axes, which go on to the last
  double epsilon = 1e-5;
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("epsilon", epsilon);
  }
};
struct RmsNormAttributes {
  std::int64_t axis = -1;    ///< as layer norm's
  double epsilon = 0x1p-23;  ///< PyTorch's for f32, where none is given
  void fields(AttributeVisitor& visit) {
    visit("axis", axis);
    visit("epsilon", epsilon);
  }
};
struct GroupNormAttributes {
  std::int64_t groups = 1;
  double epsilon = 1e-5;
  void fields(AttributeVisitor& visit) {
    visit("groups", groups);
    visit("epsilon", epsilon);
  }
};
struct InstanceNormAttributes {
  double epsilon = 1e-5;
  double momentum = 0.1;  ///< of the running statistics, as batch norm's
  bool frozen = false;    ///< running statistics, where there are any, also in training
  void fields(AttributeVisitor& visit) {
    visit("epsilon", epsilon);
    visit("momentum", momentum);
    visit("frozen", frozen);
  }
};
struct LocalResponseNormAttributes {
  std::int64_t size = 5;  ///< channels that are summed over
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 1;
  void fields(AttributeVisitor& visit) {
    visit("size", size);
    visit("alpha", alpha);
    visit("beta", beta);
    visit("k", k);
  }
};
struct NormalizeOptions {
  double p = 2;
  int axis = 1;
  double eps = 1e-12;
};

/// (x − mean) / √(variance + ε) · weight + bias over the axes from attributes.axis on; weight and
/// bias, of the shape of these axes, may be undefined. Ba et al., "Layer normalization", 2016.
/// Throws dtype_mismatch, shape_mismatch, out_of_range.
PARE_API Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const LayerNormAttributes& attributes = {});
/// x / √(mean of x² + ε) · weight over the axes from attributes.axis on; weight, of their shape,
/// may be undefined. Zhang and Sennrich, "Root mean square layer normalization", 2019. Throws as
/// layer_norm.
PARE_API Tensor rms_norm(const Tensor& x, const Tensor& weight,
                         const RmsNormAttributes& attributes = {});
/// x [N, C, …] normalized over each of `groups` neighbouring sets of channels and their pixels;
/// weight and bias, [C], may be undefined. Wu and He, "Group normalization", 2018. Throws
/// dtype_mismatch, shape_mismatch, invalid_argument.
PARE_API Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const GroupNormAttributes& attributes);
/// x [N, C, …] normalized over the pixels of each channel of each sample; the others, [C], may be
/// undefined. Running statistics, both or none, are used in place of the sample's where batch norm
/// would use them, and moved by the mean over the batch. Ulyanov et al., "Instance normalization",
/// 2016. Throws dtype_mismatch, shape_mismatch.
PARE_API Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                              const Tensor& running_mean, const Tensor& running_variance,
                              const Attributes& attributes);
/// x [N, C, …] / (k + α · mean of x² over `size` channels)^β, channels beyond the ends counting as
/// zero. The window of channel c begins at c − size / 2. Krizhevsky et al., "ImageNet
/// classification with deep convolutional neural networks", 2012. Throws dtype_mismatch,
/// shape_mismatch, invalid_argument.
PARE_API Tensor local_response_norm(const Tensor& x, const LocalResponseNormAttributes& attributes);
/// x / max(‖x‖_p along the axis, eps). Throws as norm.
PARE_API Tensor normalize(const Tensor& x, const NormalizeOptions& options = {});

}  // namespace pare
