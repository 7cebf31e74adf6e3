// Pooling layers.
#include "pare/nn/pooling.h"

#include "core/check.h"
#include "nn/sizes.h"
#include "pare/core/ops/pooling.h"

namespace pare::nn {
namespace {

template <std::size_t N>
PoolAttributes<N> pool_attributes(const char* where, std::array<std::int64_t, N> kernel,
                                  std::array<std::int64_t, N> stride,
                                  std::array<std::int64_t, N> padding,
                                  std::array<std::int64_t, N> dilation = detail::filled<N>(1)) {
  if (stride == std::array<std::int64_t, N>{}) stride = kernel;
  for (std::size_t i = 0; i < N; ++i) {
    PARE_CHECK(kernel[i] > 0, invalid_argument, where, "expected kernel of at least 1, got {}",
               to_text(kernel));
    PARE_CHECK(stride[i] > 0, invalid_argument, where, "expected stride of at least 1, got {}",
               to_text(stride));
    PARE_CHECK(dilation[i] > 0, invalid_argument, where, "expected dilation of at least 1, got {}",
               to_text(dilation));
    PARE_CHECK(padding[i] >= 0 && padding[i] <= ((kernel[i] - 1) * dilation[i] + 1) / 2,
               invalid_argument, where, "expected padding from 0 to half the kernel, got {}",
               to_text(padding));
  }
  return {.kernel = kernel, .stride = stride, .padding = both_sides(padding), .dilation = dilation};
}

template <class Size> Attributes max_attributes(const char* where, const MaxPoolOptions<Size>& o) {
  auto attr = pool_attributes(where, array_of(o.kernel), array_of(o.stride), array_of(o.padding),
                              array_of(o.dilation));
  attr.ceil_mode = o.ceil_mode;
  return Attributes::of(attr);
}

template <class Size>
Attributes average_attributes(const char* where, const AvgPoolOptions<Size>& o) {
  auto attr = pool_attributes(where, array_of(o.kernel), array_of(o.stride), array_of(o.padding));
  PARE_CHECK(o.divisor_override >= 0, invalid_argument, where,
             "expected a divisor of at least 1, or 0 for none, got {}", o.divisor_override);
  attr.count_include_pad = o.count_include_pad;
  attr.ceil_mode = o.ceil_mode;
  attr.divisor_override = o.divisor_override;
  return Attributes::of(attr);
}

template <class Size> Attributes lp_attributes(const char* where, const LpPoolOptions<Size>& o) {
  PARE_CHECK(o.norm != 0, invalid_argument, where, "expected a power other than 0, got {}", o.norm);
  auto attr = pool_attributes(where, array_of(o.kernel), array_of(o.stride), array_of(Size(0)));
  attr.ceil_mode = o.ceil_mode;
  return Attributes::of(attr);
}

}  // namespace

MaxPool1d::MaxPool1d(MaxPool1dOptions options)
    : attributes_(max_attributes("MaxPool1d", options)) {}
Tensor MaxPool1d::forward(const Tensor& x) { return max_pool1d(x, attributes_); }
std::string MaxPool1d::kind() const { return "MaxPool1d"; }

MaxPool2d::MaxPool2d(MaxPool2dOptions options)
    : attributes_(max_attributes("MaxPool2d", options)) {}
Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, attributes_); }
std::string MaxPool2d::kind() const { return "MaxPool2d"; }

MaxPool3d::MaxPool3d(MaxPool3dOptions options)
    : attributes_(max_attributes("MaxPool3d", options)) {}
Tensor MaxPool3d::forward(const Tensor& x) { return max_pool3d(x, attributes_); }
std::string MaxPool3d::kind() const { return "MaxPool3d"; }

AvgPool1d::AvgPool1d(AvgPool1dOptions options)
    : attributes_(average_attributes("AvgPool1d", options)) {}
Tensor AvgPool1d::forward(const Tensor& x) { return average_pool1d(x, attributes_); }
std::string AvgPool1d::kind() const { return "AvgPool1d"; }

AvgPool2d::AvgPool2d(AvgPool2dOptions options)
    : attributes_(average_attributes("AvgPool2d", options)) {}
Tensor AvgPool2d::forward(const Tensor& x) { return average_pool2d(x, attributes_); }
std::string AvgPool2d::kind() const { return "AvgPool2d"; }

AvgPool3d::AvgPool3d(AvgPool3dOptions options)
    : attributes_(average_attributes("AvgPool3d", options)) {}
Tensor AvgPool3d::forward(const Tensor& x) { return average_pool3d(x, attributes_); }
std::string AvgPool3d::kind() const { return "AvgPool3d"; }

Tensor GlobalAveragePool::forward(const Tensor& x) { return global_average_pool(x); }
std::string GlobalAveragePool::kind() const { return "GlobalAveragePool"; }

LPPool1d::LPPool1d(LpPool1dOptions options)
    : attributes_(lp_attributes("LPPool1d", options)), norm_(options.norm) {}
Tensor LPPool1d::forward(const Tensor& x) {
  return lp_pool1d(x, norm_, attributes_.as<Pool1dAttributes>());
}
std::string LPPool1d::kind() const { return "LPPool1d"; }

LPPool2d::LPPool2d(LpPool2dOptions options)
    : attributes_(lp_attributes("LPPool2d", options)), norm_(options.norm) {}
Tensor LPPool2d::forward(const Tensor& x) {
  return lp_pool2d(x, norm_, attributes_.as<Pool2dAttributes>());
}
std::string LPPool2d::kind() const { return "LPPool2d"; }

}  // namespace pare::nn
