// Adaptive pooling: layers whose result has a given size.
#include "pare/nn/adaptive_pooling.h"

#include "core/check.h"
#include "pare/core/ops/pooling.h"

namespace pare::nn {
namespace {

std::vector<std::int64_t> checked(const char* where, std::vector<std::int64_t> output) {
  for (const std::int64_t size : output)
    PARE_CHECK(size >= 1 || size == kKeepSize, invalid_argument, where,
               "expected output sizes of at least 1, or -1 for the input's, got {}", size);
  return output;
}

}  // namespace

AdaptiveAvgPool1d::AdaptiveAvgPool1d(std::int64_t output)
    : output_(checked("AdaptiveAvgPool1d", {output})) {}
Tensor AdaptiveAvgPool1d::forward(const Tensor& x) { return adaptive_average_pool(x, output_); }
std::string AdaptiveAvgPool1d::kind() const { return "AdaptiveAvgPool1d"; }

AdaptiveAvgPool2d::AdaptiveAvgPool2d(Pair output)
    : output_(checked("AdaptiveAvgPool2d", {output.height, output.width})) {}
Tensor AdaptiveAvgPool2d::forward(const Tensor& x) { return adaptive_average_pool(x, output_); }
std::string AdaptiveAvgPool2d::kind() const { return "AdaptiveAvgPool2d"; }

AdaptiveAvgPool3d::AdaptiveAvgPool3d(Triple output)
    : output_(checked("AdaptiveAvgPool3d", {output.depth, output.height, output.width})) {}
Tensor AdaptiveAvgPool3d::forward(const Tensor& x) { return adaptive_average_pool(x, output_); }
std::string AdaptiveAvgPool3d::kind() const { return "AdaptiveAvgPool3d"; }

AdaptiveMaxPool1d::AdaptiveMaxPool1d(std::int64_t output)
    : output_(checked("AdaptiveMaxPool1d", {output})) {}
Tensor AdaptiveMaxPool1d::forward(const Tensor& x) { return adaptive_max_pool(x, output_); }
std::string AdaptiveMaxPool1d::kind() const { return "AdaptiveMaxPool1d"; }

AdaptiveMaxPool2d::AdaptiveMaxPool2d(Pair output)
    : output_(checked("AdaptiveMaxPool2d", {output.height, output.width})) {}
Tensor AdaptiveMaxPool2d::forward(const Tensor& x) { return adaptive_max_pool(x, output_); }
std::string AdaptiveMaxPool2d::kind() const { return "AdaptiveMaxPool2d"; }

AdaptiveMaxPool3d::AdaptiveMaxPool3d(Triple output)
    : output_(checked("AdaptiveMaxPool3d", {output.depth, output.height, output.width})) {}
Tensor AdaptiveMaxPool3d::forward(const Tensor& x) { return adaptive_max_pool(x, output_); }
std::string AdaptiveMaxPool3d::kind() const { return "AdaptiveMaxPool3d"; }

}  // namespace pare::nn
