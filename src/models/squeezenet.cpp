// SqueezeNet: few parameters through 1x1 convolutions.
#include "pare/models/squeezenet.h"

#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/activation.h"
#include "pare/nn/dropout.h"
#include "pare/nn/init.h"
#include "pare/nn/pooling.h"

namespace pare::models {

Fire::Fire(FireOptions options)
    : squeeze({.in = options.in, .out = options.squeeze}),
      expand1x1({.in = options.squeeze, .out = options.expand}),
      expand3x3({.in = options.squeeze, .out = options.expand, .kernel = 3, .padding = 1}) {}

void Fire::members(nn::Members& m) {
  m("squeeze", squeeze)("expand1x1", expand1x1)("expand3x3", expand3x3);
}

Tensor Fire::forward(const Tensor& x) {
  const Tensor squeezed = relu(squeeze(x));
  return concat({relu(expand1x1(squeezed)), relu(expand3x3(squeezed))}, 1);
}

std::string Fire::kind() const { return "Fire"; }

SqueezeNet::SqueezeNet(const SqueezeNetOptions& options) {
  const bool newer = options.version_1_1;
  const std::int64_t first = newer ? 64 : 96;
  const auto pool = [&] {
    features.add(nn::MaxPool2d({.kernel = 3, .stride = 2, .ceil_mode = true}));
  };
  features.add(nn::Conv2d({.in = options.in, .out = first, .kernel = newer ? 3 : 7, .stride = 2}));
  features.add(nn::ReLU{});
  pool();
  std::int64_t channels = first;
  const auto fire = [&](std::int64_t squeeze, std::int64_t expand) {
    features.add(Fire({.in = channels, .squeeze = squeeze, .expand = expand}));
    channels = 2 * expand;
  };
  // Where the versions pool: after the second or third, and the fourth or seventh of eight.
  fire(16, 64);
  fire(16, 64);
  if (newer) pool();
  fire(32, 128);
  if (!newer) pool();
  fire(32, 128);
  if (newer) pool();
  fire(48, 192);
  fire(48, 192);
  fire(64, 256);
  if (!newer) pool();
  fire(64, 256);
  classifier.add(nn::Dropout({.p = options.dropout}));
  classifier.add(nn::Conv2d({.in = channels, .out = options.classes}));
  classifier.add(nn::ReLU{});
  classifier.add(nn::GlobalAveragePool{});
}

void SqueezeNet::members(nn::Members& m) { m("features", features)("classifier", classifier); }

Tensor SqueezeNet::forward(const Tensor& x) { return flatten(classifier(features(x))); }

void SqueezeNet::reset(Generator& generator) {
  const auto& last = classifier[1].as<nn::Conv2d>();
  for_each_module([&](const std::string&, nn::Module& part) {
    auto* const conv = dynamic_cast<nn::Conv2d*>(&part);
    if (!conv) return;
    const Shape& shape = conv->weight.shape();
    conv->weight.set(conv == &last ? nn::init::normal(shape, generator, {.deviation = 0.01})
                                   : nn::init::kaiming_uniform(shape, generator));
    conv->bias.set(nn::init::zeros(conv->bias.shape()));
  });
}

std::string SqueezeNet::kind() const { return "SqueezeNet"; }

SqueezeNet squeezenet1_0(SqueezeNetOptions options) {
  options.version_1_1 = false;
  return SqueezeNet(options);
}

SqueezeNet squeezenet1_1(SqueezeNetOptions options) {
  options.version_1_1 = true;
  return SqueezeNet(options);
}

}  // namespace pare::models
