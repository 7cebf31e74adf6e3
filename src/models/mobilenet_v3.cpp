// MobileNetV3: inverted residuals with squeeze-and-excitation and hard-swish.
#include "pare/models/mobilenet_v3.h"

#include <span>

#include "core/check.h"
#include "models/first_values.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/models/conv_norm_activation.h"
#include "pare/nn/activation.h"
#include "pare/nn/dropout.h"
#include "pare/nn/linear.h"

namespace pare::models {

SqueezeExcitation::SqueezeExcitation(SqueezeExcitationOptions options)
    : fc1({.in = options.in, .out = options.squeezed}),
      fc2({.in = options.squeezed, .out = options.in}) {}

void SqueezeExcitation::members(nn::Members& m) { m("avgpool", avgpool)("fc1", fc1)("fc2", fc2); }

Tensor SqueezeExcitation::forward(const Tensor& x) {
  return mul(x, hardsigmoid(fc2(relu(fc1(avgpool(x))))));
}

std::string SqueezeExcitation::kind() const { return "SqueezeExcitation"; }

namespace {

// The norms of this net: TensorFlow's settings.
nn::Sequential layer(ConvNormActivationOptions options) {
  options.eps = 1e-3;
  options.momentum = 1e-2;
  return conv_norm_activation(options);
}

}  // namespace

MobileNetV3Block::MobileNetV3Block(const MobileNetV3BlockOptions& options)
    : shortcut_(options.stride == 1 && options.in == options.out) {
  const Activation activation = options.hardswish ? Activation::hardswish : Activation::relu;
  if (options.expanded != options.in)
    block.add(
        layer({.in = options.in, .out = options.expanded, .kernel = 1, .activation = activation}));
  block.add(layer({.in = options.expanded,
                   .out = options.expanded,
                   .kernel = options.kernel,
                   .stride = options.stride,
                   .groups = options.expanded,
                   .activation = activation}));
  if (options.squeeze)
    block.add(
        SqueezeExcitation({.in = options.expanded,
                           .squeezed = make_divisible(static_cast<double>(options.expanded / 4))}));
  block.add(layer(
      {.in = options.expanded, .out = options.out, .kernel = 1, .activation = Activation::none}));
}

void MobileNetV3Block::members(nn::Members& m) { m("block", block); }

Tensor MobileNetV3Block::forward(const Tensor& x) {
  return shortcut_ ? add(block(x), x) : block(x);
}

std::string MobileNetV3Block::kind() const { return "InvertedResidual"; }

namespace {

// A row of the paper's tables: kernel, expanded and output channels, squeeze, hard-swish, stride.
struct Row {
  std::int64_t kernel;
  std::int64_t expanded;
  std::int64_t out;
  bool squeeze;
  bool hardswish;
  std::int64_t stride;
};
constexpr Row kLarge[] = {
    {3, 16, 16, false, false, 1}, {3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1},
    {5, 72, 40, true, false, 2},  {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1},
    {3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1},
    {3, 184, 80, false, true, 1}, {3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1},
    {5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1}};
constexpr Row kSmall[] = {
    {3, 16, 16, true, false, 2}, {3, 72, 24, false, false, 2}, {3, 88, 24, false, false, 1},
    {5, 96, 40, true, true, 2},  {5, 240, 40, true, true, 1},  {5, 240, 40, true, true, 1},
    {5, 120, 48, true, true, 1}, {5, 144, 48, true, true, 1},  {5, 288, 96, true, true, 2},
    {5, 576, 96, true, true, 1}, {5, 576, 96, true, true, 1}};

}  // namespace

MobileNetV3::MobileNetV3(const MobileNetV3Options& options) {
  PARE_CHECK(options.width > 0, invalid_argument, "MobileNetV3", "expected a width above 0, got {}",
             options.width);
  const auto scaled = [&](std::int64_t channels) {
    return make_divisible(static_cast<double>(channels) * options.width);
  };
  std::int64_t channels = scaled(16);
  features.add(
      layer({.in = options.in, .out = channels, .stride = 2, .activation = Activation::hardswish}));
  for (const Row& row : options.large ? std::span<const Row>(kLarge) : kSmall) {
    features.add(MobileNetV3Block({.in = channels,
                                   .expanded = scaled(row.expanded),
                                   .out = scaled(row.out),
                                   .kernel = row.kernel,
                                   .stride = row.stride,
                                   .squeeze = row.squeeze,
                                   .hardswish = row.hardswish}));
    channels = scaled(row.out);
  }
  const std::int64_t last = scaled(options.large ? 1280 : 1024);
  features.add(layer(
      {.in = channels, .out = 6 * channels, .kernel = 1, .activation = Activation::hardswish}));
  classifier.add(nn::Linear({.in = 6 * channels, .out = last}));
  classifier.add(nn::Hardswish{});
  classifier.add(nn::Dropout({.p = options.dropout}));
  classifier.add(nn::Linear({.in = last, .out = options.classes}));
}

void MobileNetV3::members(nn::Members& m) {
  m("features", features)("avgpool", avgpool)("classifier", classifier);
}

Tensor MobileNetV3::forward(const Tensor& x) { return classifier(flatten(avgpool(features(x)))); }

void MobileNetV3::reset(Generator& generator) {
  set_first_values(*this, generator, {.linear_deviation = 0.01});
}

std::string MobileNetV3::kind() const { return "MobileNetV3"; }

MobileNetV3 mobilenet_v3_small(MobileNetV3Options options) {
  options.large = false;
  return MobileNetV3(options);
}

MobileNetV3 mobilenet_v3_large(MobileNetV3Options options) {
  options.large = true;
  return MobileNetV3(options);
}

}  // namespace pare::models
