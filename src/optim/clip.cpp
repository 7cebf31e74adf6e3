// Clipping of gradients.
#include "pare/optim/clip.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "optim/grain.h"

namespace pare::optim {
namespace {

// Sums of single blocks, so that the result does not depend on the number of threads.
constexpr std::int64_t kBlock = 16384;

PARE_INLINE double squares_body(const float* x, std::int64_t n) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) {
      const double value = x[i + k];
      lanes[k] += value * value;
    }
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  for (const double lane : lanes) sum += lane;
  return sum;
}
PARE_MULTIVERSION(double, squares, (const float* x, std::int64_t n), (x, n))

PARE_INLINE void scale_body(float* x, std::int64_t n, float factor) {
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
}
PARE_MULTIVERSION(void, scale, (float* x, std::int64_t n, float factor), (x, n, factor))

PARE_INLINE void clamp_within_body(float* x, std::int64_t n, float limit) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float low = x[i] < -limit ? -limit : x[i];
    x[i] = low > limit ? limit : low;
  }
}
PARE_MULTIVERSION(void, clamp_within, (float* x, std::int64_t n, float limit), (x, n, limit))

// Σ |x|^p of a block, or its largest |x| for p = ∞.
double block_norm(const float* x, std::int64_t n, double p) {
  if (p == 2) return squares(x, n);
  double result = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double value = std::fabs(static_cast<double>(x[i]));
    if (!std::isinf(p)) {
      result += p == 1 ? value : std::pow(value, p);
    } else if (value > result || std::isnan(value)) {
      result = value;
    }
    if (std::isnan(result)) break;
  }
  return result;
}

template <class Run> void for_each_gradient(std::span<const Tensor> parameters, Run run) {
  for (const Tensor& parameter : parameters) {
    Tensor gradient = parameter.grad();
    if (!gradient.defined()) continue;
    PARE_CHECK(gradient.dtype() == DType::f32, dtype_mismatch, "clip_grad",
               "expected f32 gradients, got one of {} {}", gradient.dtype(), gradient.shape());
    run(gradient);
  }
}

double powers(const Tensor& gradient, double p) {
  const float* const x = gradient.data<float>();
  const std::int64_t n = gradient.elements();
  const std::int64_t blocks = (n + kBlock - 1) / kBlock;
  if (blocks <= 1) return block_norm(x, n, p);
  std::vector<double> partial(static_cast<std::size_t>(blocks));
  parallel_for(0, blocks, kGrain / kBlock, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t k = b; k < e; ++k)
      partial[static_cast<std::size_t>(k)] =
          block_norm(x + k * kBlock, std::min(kBlock, n - k * kBlock), p);
  });
  double result = 0;
  for (const double part : partial) {
    if (!std::isinf(p)) {
      result += part;
    } else if (part > result || std::isnan(part)) {
      result = part;
    }
    if (std::isnan(result)) break;
  }
  return result;
}

}  // namespace

double grad_norm(std::span<const Tensor> parameters, double p) {
  PARE_CHECK(p > 0, invalid_argument, "grad_norm", "expected a norm_type above 0, got {}", p);
  double total = 0;
  for_each_gradient(parameters, [&](Tensor& gradient) {
    const double part = powers(gradient, p);
    if (!std::isinf(p)) {
      total += part;
    } else if (part > total || std::isnan(part)) {
      total = part;
    }
  });
  return std::isinf(p) ? total : p == 2 ? std::sqrt(total) : std::pow(total, 1 / p);
}

double clip_grad_norm(std::span<const Tensor> parameters, const ClipNormOptions& options) {
  PARE_CHECK(options.norm_type > 0, invalid_argument, "clip_grad_norm",
             "expected a norm_type above 0, got {}", options.norm_type);
  PARE_CHECK(options.max_norm >= 0, invalid_argument, "clip_grad_norm",
             "expected max_norm of at least 0, got {}", options.max_norm);
  const double norm = grad_norm(parameters, options.norm_type);
  PARE_CHECK(!options.error_if_nonfinite || std::isfinite(norm), invalid_state, "clip_grad_norm",
             "expected gradients with a finite norm, got {}", norm);
  const double factor = options.max_norm / (norm + 1e-6);
  // A factor that is NaN scales too, as PyTorch's does: the gradients are then NaN anyway.
  if (factor >= 1) return norm;
  for_each_gradient(parameters, [&](Tensor& gradient) {
    float* const x = gradient.mutable_data<float>();
    parallel_for(0, gradient.elements(), kGrain, [&](std::int64_t b, std::int64_t e) {
      scale(x + b, e - b, static_cast<float>(factor));
    });
  });
  return norm;
}

void clip_grad_value(std::span<const Tensor> parameters, double clip_value) {
  PARE_CHECK(clip_value >= 0, invalid_argument, "clip_grad_value",
             "expected a value of at least 0, got {}", clip_value);
  for_each_gradient(parameters, [&](Tensor& gradient) {
    float* const x = gradient.mutable_data<float>();
    parallel_for(0, gradient.elements(), kGrain, [&](std::int64_t b, std::int64_t e) {
      clamp_within(x + b, e - b, static_cast<float>(clip_value));
    });
  });
}

}  // namespace pare::optim
