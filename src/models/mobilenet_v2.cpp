// MobileNetV2: inverted residuals with linear bottlenecks.
#include "pare/models/mobilenet_v2.h"

#include <algorithm>

#include "core/check.h"
#include "models/first_values.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/models/conv_norm_activation.h"
#include "pare/nn/conv.h"
#include "pare/nn/dropout.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"

namespace pare::models {

InvertedResidual::InvertedResidual(InvertedResidualOptions options)
    : shortcut_(options.stride == 1 && options.in == options.out) {
  PARE_CHECK(options.expand > 0, invalid_argument, "InvertedResidual",
             "expected expand of at least 1, got {}", options.expand);
  const std::int64_t hidden = options.in * options.expand;
  if (options.expand != 1)
    conv.add(conv_norm_activation(
        {.in = options.in, .out = hidden, .kernel = 1, .activation = Activation::relu6}));
  conv.add(conv_norm_activation({.in = hidden,
                                 .out = hidden,
                                 .stride = options.stride,
                                 .groups = hidden,
                                 .activation = Activation::relu6}));
  conv.add(nn::Conv2d({.in = hidden, .out = options.out, .bias = false}));
  conv.add(nn::BatchNorm2d({.features = options.out}));
}

void InvertedResidual::members(nn::Members& m) { m("conv", conv); }

Tensor InvertedResidual::forward(const Tensor& x) { return shortcut_ ? add(x, conv(x)) : conv(x); }

std::string InvertedResidual::kind() const { return "InvertedResidual"; }

namespace {

struct Stage {
  std::int64_t expand;
  std::int64_t channels;
  int blocks;
  std::int64_t stride;  // of the first block
};
// Table 2 of the paper.
constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

}  // namespace

MobileNetV2::MobileNetV2(MobileNetV2Options options) {
  PARE_CHECK(options.width > 0, invalid_argument, "MobileNetV2", "expected a width above 0, got {}",
             options.width);
  std::int64_t channels = make_divisible(32 * options.width);
  features.add(conv_norm_activation(
      {.in = options.in, .out = channels, .stride = 2, .activation = Activation::relu6}));
  for (const Stage& stage : kStages) {
    const std::int64_t out = make_divisible(static_cast<double>(stage.channels) * options.width);
    for (int block = 0; block < stage.blocks; ++block) {
      features.add(InvertedResidual({.in = channels,
                                     .out = out,
                                     .stride = block == 0 ? stage.stride : 1,
                                     .expand = stage.expand}));
      channels = out;
    }
  }
  const std::int64_t last = make_divisible(1280 * std::max(1.0, options.width));
  features.add(conv_norm_activation(
      {.in = channels, .out = last, .kernel = 1, .activation = Activation::relu6}));
  classifier.add(nn::Dropout({.p = options.dropout}));
  classifier.add(nn::Linear({.in = last, .out = options.classes}));
}

void MobileNetV2::members(nn::Members& m) {
  m("features", features)("pool", pool)("classifier", classifier);
}

Tensor MobileNetV2::forward(const Tensor& x) { return classifier(flatten(pool(features(x)))); }

void MobileNetV2::reset(Generator& generator) {
  set_first_values(*this, generator, {.linear_deviation = 0.01});
}

std::string MobileNetV2::kind() const { return "MobileNetV2"; }

MobileNetV2 mobilenet_v2(const MobileNetV2Options& options) { return MobileNetV2(options); }

}  // namespace pare::models
