// Pooling layers.
#include "pare/nn/pooling.h"

#include "core/check.h"
#include "pare/core/ops/pooling.h"

namespace pare::nn {
namespace {

Attributes pool_attributes(const char* where, const AvgPool2dOptions& options) {
  const Pair kernel = options.kernel;
  const Pair stride = options.stride == Pair(0) ? kernel : options.stride;
  const Pair padding = options.padding;
  PARE_CHECK(kernel.height > 0 && kernel.width > 0, invalid_argument, where,
             "expected kernel of at least 1, got [{}, {}]", kernel.height, kernel.width);
  PARE_CHECK(stride.height > 0 && stride.width > 0, invalid_argument, where,
             "expected stride of at least 1, got [{}, {}]", stride.height, stride.width);
  PARE_CHECK(padding.height >= 0 && padding.width >= 0 && 2 * padding.height <= kernel.height &&
                 2 * padding.width <= kernel.width,
             invalid_argument, where, "expected padding from 0 to half the kernel, got [{}, {}]",
             padding.height, padding.width);
  return Attributes::of(
      Pool2dAttributes{.kernel = {kernel.height, kernel.width},
                       .stride = {stride.height, stride.width},
                       .padding = {padding.height, padding.width, padding.height, padding.width},
                       .count_include_pad = options.count_include_pad});
}

}  // namespace

MaxPool2d::MaxPool2d(MaxPool2dOptions options)
    : attributes_(pool_attributes(
          "MaxPool2d",
          {.kernel = options.kernel, .stride = options.stride, .padding = options.padding})) {}
Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, attributes_); }
std::string MaxPool2d::kind() const { return "MaxPool2d"; }

AvgPool2d::AvgPool2d(AvgPool2dOptions options)
    : attributes_(pool_attributes("AvgPool2d", options)) {}
Tensor AvgPool2d::forward(const Tensor& x) { return average_pool2d(x, attributes_); }
std::string AvgPool2d::kind() const { return "AvgPool2d"; }

Tensor GlobalAveragePool::forward(const Tensor& x) { return global_average_pool(x); }
std::string GlobalAveragePool::kind() const { return "GlobalAveragePool"; }

}  // namespace pare::nn
