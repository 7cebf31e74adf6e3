// Convolution layers over one to three axes, and transposed convolutions.
#include "pare/nn/convolution.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "nn/sizes.h"
#include "pare/core/ops/convolution.h"
#include "pare/nn/conv.h"
#include "pare/nn/init.h"

namespace pare::nn {
namespace {

template <std::size_t N>
void check_at_least(const char* where, const char* name, const std::array<std::int64_t, N>& value,
                    std::int64_t least) {
  PARE_CHECK(std::ranges::all_of(value, [&](std::int64_t v) { return v >= least; }),
             invalid_argument, where, "expected {} of at least {}, got {}", name, least,
             to_text(value));
}

/// What both kinds of options have.
template <class Options> void check(const char* where, const Options& o) {
  PARE_CHECK(o.in > 0 && o.out > 0, invalid_argument, where,
             "expected in and out of at least 1, got in = {}, out = {}", o.in, o.out);
  check_at_least(where, "kernel", array_of(o.kernel), 1);
  check_at_least(where, "stride", array_of(o.stride), 1);
  check_at_least(where, "padding", array_of(o.padding), 0);
  check_at_least(where, "dilation", array_of(o.dilation), 1);
  PARE_CHECK(o.groups > 0 && o.in % o.groups == 0 && o.out % o.groups == 0, invalid_argument, where,
             "expected groups that divide in = {} and out = {}, got {}", o.in, o.out, o.groups);
}

template <class Size>
Parameter weight_of(std::int64_t first, std::int64_t second, const Size& kernel) {
  Shape shape{first, second};
  for (const std::int64_t k : array_of(kernel)) shape.append(k);
  return Parameter(shape);
}

/// Of ConvOptions, or Conv2dOptions with the same fields.
template <class Options> Attributes attributes_of(const char* where, const Options& o) {
  check(where, o);
  return Attributes::of(ConvolutionAttributes<std::tuple_size_v<decltype(array_of(o.stride))>>{
      .stride = array_of(o.stride),
      .padding = both_sides(array_of(o.padding)),
      .dilation = array_of(o.dilation),
      .groups = o.groups});
}

template <class Size>
Attributes transpose_attributes_of(const char* where, const ConvTransposeOptions<Size>& o) {
  check(where, o);
  const auto added = array_of(o.output_padding);
  const auto stride = array_of(o.stride);
  const auto dilation = array_of(o.dilation);
  for (std::size_t i = 0; i < added.size(); ++i)
    PARE_CHECK(added[i] >= 0 && added[i] < std::max(stride[i], dilation[i]), invalid_argument,
               where, "expected output padding below stride {} or dilation {}, got {}",
               to_text(stride), to_text(dilation), to_text(added));
  return Attributes::of(ConvTransposeAttributes<std::tuple_size_v<decltype(array_of(o.stride))>>{
      .stride = stride,
      .padding = both_sides(array_of(o.padding)),
      .output_padding = added,
      .dilation = dilation,
      .groups = o.groups});
}

/// PyTorch's first values.
void reset_both(Parameter& weight, Parameter& bias, Generator& generator) {
  weight.set(init::kaiming_uniform(weight.shape(), generator, {.a = std::sqrt(5.0)}));
  if (bias.defined()) bias.set(init::bias(bias.shape(), weight.shape(), generator));
}

}  // namespace

Conv1d::Conv1d(Conv1dOptions options) : attributes_(attributes_of("Conv1d", options)) {
  weight = weight_of(options.out, options.in / options.groups, options.kernel);
  if (options.bias) bias = Parameter({options.out});
}
void Conv1d::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor Conv1d::forward(const Tensor& x) { return conv1d(x, weight, bias, attributes_); }
void Conv1d::reset(Generator& generator) { reset_both(weight, bias, generator); }
std::string Conv1d::kind() const { return "Conv1d"; }

Conv2d::Conv2d(Conv2dOptions options) : attributes_(attributes_of("Conv2d", options)) {
  weight = weight_of(options.out, options.in / options.groups, options.kernel);
  if (options.bias) bias = Parameter({options.out});
}
void Conv2d::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight, bias, attributes_); }
void Conv2d::reset(Generator& generator) { reset_both(weight, bias, generator); }
std::string Conv2d::kind() const { return "Conv2d"; }

Conv3d::Conv3d(Conv3dOptions options) : attributes_(attributes_of("Conv3d", options)) {
  weight = weight_of(options.out, options.in / options.groups, options.kernel);
  if (options.bias) bias = Parameter({options.out});
}
void Conv3d::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor Conv3d::forward(const Tensor& x) { return conv3d(x, weight, bias, attributes_); }
void Conv3d::reset(Generator& generator) { reset_both(weight, bias, generator); }
std::string Conv3d::kind() const { return "Conv3d"; }

ConvTranspose1d::ConvTranspose1d(ConvTranspose1dOptions options)
    : attributes_(transpose_attributes_of("ConvTranspose1d", options)) {
  weight = weight_of(options.in, options.out / options.groups, options.kernel);
  if (options.bias) bias = Parameter({options.out});
}
void ConvTranspose1d::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor ConvTranspose1d::forward(const Tensor& x) {
  return conv_transpose1d(x, weight, bias, attributes_);
}
void ConvTranspose1d::reset(Generator& generator) { reset_both(weight, bias, generator); }
std::string ConvTranspose1d::kind() const { return "ConvTranspose1d"; }

ConvTranspose2d::ConvTranspose2d(ConvTranspose2dOptions options)
    : attributes_(transpose_attributes_of("ConvTranspose2d", options)) {
  weight = weight_of(options.in, options.out / options.groups, options.kernel);
  if (options.bias) bias = Parameter({options.out});
}
void ConvTranspose2d::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor ConvTranspose2d::forward(const Tensor& x) {
  return conv_transpose2d(x, weight, bias, attributes_);
}
void ConvTranspose2d::reset(Generator& generator) { reset_both(weight, bias, generator); }
std::string ConvTranspose2d::kind() const { return "ConvTranspose2d"; }

ConvTranspose3d::ConvTranspose3d(ConvTranspose3dOptions options)
    : attributes_(transpose_attributes_of("ConvTranspose3d", options)) {
  weight = weight_of(options.in, options.out / options.groups, options.kernel);
  if (options.bias) bias = Parameter({options.out});
}
void ConvTranspose3d::members(Members& m) { m("weight", weight)("bias", bias); }
Tensor ConvTranspose3d::forward(const Tensor& x) {
  return conv_transpose3d(x, weight, bias, attributes_);
}
void ConvTranspose3d::reset(Generator& generator) { reset_both(weight, bias, generator); }
std::string ConvTranspose3d::kind() const { return "ConvTranspose3d"; }

}  // namespace pare::nn
