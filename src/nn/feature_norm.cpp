// Layer, RMS, group, instance and local response normalization as layers.
#include "pare/nn/feature_norm.h"

#include "core/check.h"
#include "core/defined.h"
#include "pare/core/ops/feature_norm.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/init.h"

namespace pare::nn {
namespace {

Shape checked_shape(const std::vector<std::int64_t>& shape, double eps, const char* where) {
  PARE_CHECK(!shape.empty(), invalid_argument, where,
             "expected a shape of one axis or more, got none");
  PARE_CHECK(shape.size() <= static_cast<std::size_t>(Shape::kMaxRank), invalid_argument, where,
             "expected at most {} axes, got {}", Shape::kMaxRank, shape.size());
  for (const std::int64_t size : shape)
    PARE_CHECK(size > 0, invalid_argument, where, "expected sizes of at least 1, got {}", size);
  PARE_CHECK(eps >= 0, invalid_argument, where, "expected eps of at least 0, got {}", eps);
  return Shape(std::span(shape));
}

/// That the last axes of x are `shape`: without parameters nothing else would say so.
void check_input(const Tensor& x, const std::vector<std::int64_t>& shape, const char* where) {
  require_defined(x, where);
  const int first = x.rank() - static_cast<int>(shape.size());
  bool fits = first >= 0;
  for (std::size_t i = 0; fits && i < shape.size(); ++i)
    fits = x.dim(first + static_cast<int>(i)) == shape[i];
  PARE_CHECK(fits, shape_mismatch, where, "expected an input of shape [..., {}], got {}",
             listed(shape), x.shape());
}

void ones_and_zeros(Parameter& weight, Parameter& bias) {
  if (weight.defined()) weight.set(init::ones(weight.shape()));
  if (bias.defined()) bias.set(init::zeros(bias.shape()));
}

}  // namespace

LayerNorm::LayerNorm(LayerNormOptions options) : shape_(std::move(options.shape)) {
  const Shape shape = checked_shape(shape_, options.eps, "LayerNorm");
  if (options.affine) weight = Parameter(shape);
  if (options.affine && options.bias) bias = Parameter(shape);
  call_ = {&kLayerNorm,
           Attributes::of(LayerNormAttributes{.axis = -shape.rank(), .epsilon = options.eps})};
}
void LayerNorm::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor LayerNorm::forward(const Tensor& x) {
  check_input(x, shape_, "LayerNorm");
  const Tensor w = weight.value();
  const Tensor b = bias.value();
  return apply(call_, detail::Borrowed(x, w, b));
}
void LayerNorm::reset(Generator&) { ones_and_zeros(weight, bias); }
std::string LayerNorm::kind() const { return "LayerNorm"; }

RMSNorm::RMSNorm(RMSNormOptions options) : shape_(std::move(options.shape)) {
  const Shape shape = checked_shape(shape_, options.eps, "RMSNorm");
  if (options.affine) weight = Parameter(shape);
  call_ = {&kRmsNorm,
           Attributes::of(RmsNormAttributes{.axis = -shape.rank(), .epsilon = options.eps})};
}
void RMSNorm::members(Members& m) { m("weight", weight); }
Tensor RMSNorm::forward(const Tensor& x) {
  check_input(x, shape_, "RMSNorm");
  const Tensor w = weight.value();
  return apply(call_, detail::Borrowed(x, w));
}
void RMSNorm::reset(Generator&) {
  if (weight.defined()) weight.set(init::ones(weight.shape()));
}
std::string RMSNorm::kind() const { return "RMSNorm"; }

GroupNorm::GroupNorm(GroupNormOptions options) {
  PARE_CHECK(options.groups > 0 && options.channels > 0 && options.channels % options.groups == 0,
             invalid_argument, "GroupNorm",
             "expected groups of at least 1 that divide channels, got groups = {}, channels = {}",
             options.groups, options.channels);
  PARE_CHECK(options.eps >= 0, invalid_argument, "GroupNorm", "expected eps of at least 0, got {}",
             options.eps);
  if (options.affine) {
    weight = Parameter({options.channels});
    bias = Parameter({options.channels});
  }
  call_ = {&kGroupNorm,
           Attributes::of(GroupNormAttributes{.groups = options.groups, .epsilon = options.eps})};
}
void GroupNorm::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor GroupNorm::forward(const Tensor& x) {
  const Tensor w = weight.value();
  const Tensor b = bias.value();
  return apply(call_, detail::Borrowed(x, w, b));
}
void GroupNorm::reset(Generator&) { ones_and_zeros(weight, bias); }
std::string GroupNorm::kind() const { return "GroupNorm"; }

InstanceNorm::InstanceNorm(const InstanceNormOptions& options, int pixel_axes)
    : pixel_axes_(pixel_axes),
      features_(options.features),
      attributes_(Attributes::of(
          InstanceNormAttributes{.epsilon = options.eps, .momentum = options.momentum})) {
  const std::string where = kind();
  PARE_CHECK(features_ > 0, invalid_argument, where, "expected features of at least 1, got {}",
             features_);
  PARE_CHECK(options.eps >= 0, invalid_argument, where, "expected eps of at least 0, got {}",
             options.eps);
  if (options.affine) {
    weight = Parameter({features_});
    bias = Parameter({features_});
  }
  if (options.track_running_stats) {
    running_mean = Buffer(Tensor::zeros({features_}));
    running_var = Buffer(Tensor::ones({features_}));
  }
}
void InstanceNorm::members(Members& m) {
  m("weight", weight)("bias", bias)("running_mean", running_mean)("running_var", running_var);
}
void InstanceNorm::reset(Generator&) {
  ones_and_zeros(weight, bias);
  if (!running_mean.defined()) return;
  running_mean.value().fill(0);
  running_var.value().fill(1);
}
void InstanceNorm::set_mode(bool train) {
  InstanceNormAttributes changed = attributes_.as<InstanceNormAttributes>();
  // nn::freeze of all its parameters holds until they are thawed.
  changed.frozen = !train || (!weight.trainable() && !bias.trainable());
  attributes_ = Attributes::of(changed);
}
Tensor InstanceNorm::forward(const Tensor& x) {
  require_defined(x, kind());
  const bool single = x.rank() == pixel_axes_ + 1;
  PARE_CHECK(single || x.rank() == pixel_axes_ + 2, shape_mismatch, kind(),
             "expected an input of rank {} or {}, got shape {}", pixel_axes_ + 1, pixel_axes_ + 2,
             x.shape());
  PARE_CHECK(x.dim(single ? 0 : 1) == features_, shape_mismatch, kind(),
             "expected {} channels, got an input of shape {}", features_, x.shape());
  std::vector<std::int64_t> batched = x.shape().to_vector();
  if (single) batched.insert(batched.begin(), 1);
  const Tensor y = instance_norm(single ? reshape(x, batched) : x, weight, bias, running_mean,
                                 running_var, attributes_);
  return single ? reshape(y, x.shape().to_vector()) : y;
}
std::string InstanceNorm::kind() const {
  return "InstanceNorm" + std::to_string(pixel_axes_) + "d";
}

InstanceNorm1d::InstanceNorm1d(InstanceNormOptions options) : InstanceNorm(options, 1) {}
InstanceNorm2d::InstanceNorm2d(InstanceNormOptions options) : InstanceNorm(options, 2) {}
InstanceNorm3d::InstanceNorm3d(InstanceNormOptions options) : InstanceNorm(options, 3) {}

LocalResponseNorm::LocalResponseNorm(LocalResponseNormOptions options)
    : call_{&kLocalResponseNorm, Attributes::of(LocalResponseNormAttributes{.size = options.size,
                                                                            .alpha = options.alpha,
                                                                            .beta = options.beta,
                                                                            .k = options.k})} {
  PARE_CHECK(options.size > 0, invalid_argument, "LocalResponseNorm",
             "expected a size of at least 1, got {}", options.size);
}
Tensor LocalResponseNorm::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string LocalResponseNorm::kind() const { return "LocalResponseNorm"; }

}  // namespace pare::nn
