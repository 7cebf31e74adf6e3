// lp_pool1d, lp_pool2d: power-average pooling, composed of other ops as PyTorch does it.
#include <cmath>

#include "core/check.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/pooling.h"

namespace pare {
namespace {

template <std::size_t N>
Tensor lp_pool(const Tensor& x, double p, PoolAttributes<N> attributes, const char* name,
               Tensor (*average)(const Tensor&, const PoolAttributes<N>&)) {
  PARE_CHECK(p != 0 && std::isfinite(p), invalid_argument, name,
             "expected a finite power other than 0, got {}", p);
  PARE_CHECK(attributes.padding == decltype(attributes.padding){}, invalid_argument, name,
             "expected no padding, got {}", Attributes::of(attributes).to_string());
  attributes.divisor_override = 0;
  double taps = 1;
  for (const std::int64_t k : attributes.kernel) taps *= static_cast<double>(k);
  const Tensor mean = average(pow(x, p), attributes);
  // The mean itself, but where it is 0 the gradient stops: the root's would be infinite there.
  // One after the other: compilers differ in the order of arguments, and traces would.
  const Tensor size = relu(abs(mean));
  return pow(mul(sign(mean), size) * taps, 1 / p);
}

}  // namespace

Tensor lp_pool1d(const Tensor& x, double p, const Pool1dAttributes& attributes) {
  return lp_pool<1>(x, p, attributes, "lp_pool1d", average_pool1d);
}
Tensor lp_pool2d(const Tensor& x, double p, const Pool2dAttributes& attributes) {
  return lp_pool<2>(x, p, attributes, "lp_pool2d", average_pool2d);
}

}  // namespace pare
