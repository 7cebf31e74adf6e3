// The convolution layer.
#include "pare/nn/conv.h"

#include <cmath>

#include "core/check.h"
#include "pare/core/ops/contraction.h"
#include "pare/nn/init.h"

namespace pare::nn {
namespace {

void check_at_least(const char* name, Pair value, std::int64_t least) {
  PARE_CHECK(value.height >= least && value.width >= least, invalid_argument, "Conv2d",
             "expected {} of at least {}, got [{}, {}]", name, least, value.height, value.width);
}

}  // namespace

Conv2d::Conv2d(Conv2dOptions options) {
  const auto& [in, out, kernel, stride, padding, dilation, groups, with_bias] = options;
  PARE_CHECK(in > 0 && out > 0, invalid_argument, "Conv2d",
             "expected in and out of at least 1, got in = {}, out = {}", in, out);
  check_at_least("kernel", kernel, 1);
  check_at_least("stride", stride, 1);
  check_at_least("padding", padding, 0);
  check_at_least("dilation", dilation, 1);
  PARE_CHECK(groups > 0 && in % groups == 0 && out % groups == 0, invalid_argument, "Conv2d",
             "expected groups that divide in = {} and out = {}, got {}", in, out, groups);
  weight = Parameter({out, in / groups, kernel.height, kernel.width});
  if (with_bias) bias = Parameter({out});
  attributes_ = Attributes::of(
      Conv2dAttributes{.stride = {stride.height, stride.width},
                       .padding = {padding.height, padding.width, padding.height, padding.width},
                       .dilation = {dilation.height, dilation.width},
                       .groups = groups});
}

void Conv2d::members(Members& m) { m("weight", weight)("bias", bias); }

Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight, bias, attributes_); }

void Conv2d::reset(Generator& generator) {
  weight.set(init::kaiming_uniform(weight.shape(), generator, {.a = std::sqrt(5.0)}));
  if (bias.defined()) bias.set(init::bias(bias.shape(), weight.shape(), generator));
}

std::string Conv2d::kind() const { return "Conv2d"; }

}  // namespace pare::nn
