// VGG: 3x3 convolutions and max pooling, one after another.
#include "pare/models/vgg.h"

#include <array>

#include "core/check.h"
#include "models/first_values.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/activation.h"
#include "pare/nn/conv.h"
#include "pare/nn/dropout.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/nn/pooling.h"

namespace pare::models {
namespace {

// Table 1 of the paper, A, B, D and E: convolutions in each of the five stages.
std::array<int, 5> layers_of(int depth) {
  switch (depth) {
    case 11:
      return {1, 1, 2, 2, 2};
    case 13:
      return {2, 2, 2, 2, 2};
    case 16:
      return {2, 2, 3, 3, 3};
    case 19:
      return {2, 2, 4, 4, 4};
    default:
      fail(ErrorCode::invalid_argument, "Vgg", "expected a depth of 11, 13, 16 or 19, got {}",
           depth);
  }
}

Vgg made(VggOptions options, int depth, bool batch_norm) {
  options.depth = depth;
  options.batch_norm = batch_norm;
  return Vgg(options);
}

}  // namespace

Vgg::Vgg(const VggOptions& options) : avgpool(7) {
  std::int64_t channels = options.in;
  std::int64_t width = 64;
  for (const int layers : layers_of(options.depth)) {
    for (int i = 0; i < layers; ++i) {
      features.add(nn::Conv2d({.in = channels, .out = width, .kernel = 3, .padding = 1}));
      if (options.batch_norm) features.add(nn::BatchNorm2d({.features = width}));
      features.add(nn::ReLU{});
      channels = width;
    }
    features.add(nn::MaxPool2d({.kernel = 2}));
    width = width < 512 ? 2 * width : width;
  }
  const auto add_hidden = [&](std::int64_t in) {
    classifier.add(nn::Linear({.in = in, .out = options.hidden}));
    classifier.add(nn::ReLU{});
    classifier.add(nn::Dropout({.p = options.dropout}));
  };
  add_hidden(channels * 7 * 7);
  add_hidden(options.hidden);
  classifier.add(nn::Linear({.in = options.hidden, .out = options.classes}));
}

void Vgg::members(nn::Members& m) {
  m("features", features)("avgpool", avgpool)("classifier", classifier);
}

Tensor Vgg::forward(const Tensor& x) { return classifier(flatten(avgpool(features(x)))); }

void Vgg::reset(Generator& generator) {
  set_first_values(*this, generator, {.linear_deviation = 0.01});
}

std::string Vgg::kind() const { return "VGG"; }

Vgg vgg11(VggOptions options) { return made(options, 11, false); }
Vgg vgg13(VggOptions options) { return made(options, 13, false); }
Vgg vgg16(VggOptions options) { return made(options, 16, false); }
Vgg vgg19(VggOptions options) { return made(options, 19, false); }
Vgg vgg11_bn(VggOptions options) { return made(options, 11, true); }
Vgg vgg13_bn(VggOptions options) { return made(options, 13, true); }
Vgg vgg16_bn(VggOptions options) { return made(options, 16, true); }
Vgg vgg19_bn(VggOptions options) { return made(options, 19, true); }

}  // namespace pare::models
