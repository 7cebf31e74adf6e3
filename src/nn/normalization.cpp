// Batch normalization layers.
#include "pare/nn/normalization.h"

#include "core/check.h"
#include "core/defined.h"
#include "pare/core/ops/normalization.h"
#include "pare/nn/init.h"

namespace pare::nn {

BatchNorm::BatchNorm(const char* where, const BatchNormOptions& options)
    : attributes_(Attributes::of(
          BatchNormAttributes{.epsilon = options.eps, .momentum = options.momentum})) {
  PARE_CHECK(options.features > 0, invalid_argument, where,
             "expected features of at least 1, got {}", options.features);
  PARE_CHECK(options.eps >= 0, invalid_argument, where, "expected eps of at least 0, got {}",
             options.eps);
  const Shape shape{options.features};
  weight = Parameter(shape);
  bias = Parameter(shape);
  running_mean = Buffer(Tensor::zeros(shape));
  running_var = Buffer(Tensor::ones(shape));
}

void BatchNorm::members(Members& m) {
  m("weight", weight)("bias", bias)("running_mean", running_mean)("running_var", running_var);
}

void BatchNorm::reset(Generator&) {
  weight.set(init::ones(weight.shape()));
  bias.set(init::zeros(bias.shape()));
  running_mean.value().fill(0);
  running_var.value().fill(1);
}

void BatchNorm::set_mode(bool train) {
  BatchNormAttributes changed = attributes_.as<BatchNormAttributes>();
  // nn::freeze of all its parameters holds until they are thawed.
  changed.frozen = !train || (!weight.trainable() && !bias.trainable());
  attributes_ = Attributes::of(changed);
}

Tensor BatchNorm::normalize(const Tensor& x) const {
  return batch_norm(x, weight, bias, running_mean, running_var, attributes_);
}

BatchNorm1d::BatchNorm1d(BatchNormOptions options) : BatchNorm("BatchNorm1d", options) {}
Tensor BatchNorm1d::forward(const Tensor& x) {
  require_defined(x, "BatchNorm1d");
  PARE_CHECK(x.rank() == 2 || x.rank() == 3, shape_mismatch, "BatchNorm1d",
             "expected an input of rank 2 or 3, got shape {}", x.shape());
  return normalize(x);
}
std::string BatchNorm1d::kind() const { return "BatchNorm1d"; }

BatchNorm2d::BatchNorm2d(BatchNormOptions options) : BatchNorm("BatchNorm2d", options) {}
Tensor BatchNorm2d::forward(const Tensor& x) {
  require_defined(x, "BatchNorm2d");
  PARE_CHECK(x.rank() == 4, shape_mismatch, "BatchNorm2d",
             "expected an input of rank 4, got shape {}", x.shape());
  return normalize(x);
}
std::string BatchNorm2d::kind() const { return "BatchNorm2d"; }

BatchNorm3d::BatchNorm3d(BatchNormOptions options) : BatchNorm("BatchNorm3d", options) {}
Tensor BatchNorm3d::forward(const Tensor& x) {
  require_defined(x, "BatchNorm3d");
  PARE_CHECK(x.rank() == 5, shape_mismatch, "BatchNorm3d",
             "expected an input of rank 5, got shape {}", x.shape());
  return normalize(x);
}
std::string BatchNorm3d::kind() const { return "BatchNorm3d"; }

}  // namespace pare::nn
