// DS-CNN: depthwise separable convolutions for keyword spotting.
#include "pare/models/ds_cnn.h"

#include "core/check.h"
#include "models/first_values.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/activation.h"

namespace pare::models {
namespace {

nn::Sequential separable(std::int64_t channels) {
  nn::Sequential result;
  result.add("depthwise", nn::Conv2d({.in = channels,
                                      .out = channels,
                                      .kernel = 3,
                                      .padding = 1,
                                      .groups = channels,
                                      .bias = false}));
  result.add("bn1", nn::BatchNorm2d({.features = channels}));
  result.add("relu1", nn::ReLU{});
  result.add("pointwise", nn::Conv2d({.in = channels, .out = channels, .bias = false}));
  result.add("bn2", nn::BatchNorm2d({.features = channels}));
  result.add("relu2", nn::ReLU{});
  return result;
}

}  // namespace

DsCnn::DsCnn(DsCnnOptions options)
    : conv1({.in = options.in,
             .out = options.channels,
             .kernel = {10, 4},
             .stride = 2,
             .padding = {5, 1},
             .bias = false}),
      bn1({.features = options.channels}),
      dropout1({.p = options.dropout}),
      dropout2({.p = options.last_dropout}),
      fc({.in = options.channels, .out = options.classes}),
      attributes_(Attributes::of(Conv2dAttributes{.stride = {2, 2}, .padding = {4, 1, 5, 1}})) {
  PARE_CHECK(options.blocks > 0, invalid_argument, "DsCnn", "expected at least one block, got {}",
             options.blocks);
  for (int i = 0; i < options.blocks; ++i) blocks.add(separable(options.channels));
}

void DsCnn::members(nn::Members& m) {
  m("conv1", conv1)("bn1", bn1)("dropout1", dropout1)("blocks", blocks)("dropout2", dropout2)(
      "pool", pool)("fc", fc);
}

Tensor DsCnn::forward(const Tensor& x) {
  const Tensor first = conv2d(x, conv1.weight, conv1.bias, attributes_);
  const Tensor features = blocks(dropout1(relu(bn1(first))));
  return fc(flatten(pool(dropout2(features))));
}

void DsCnn::reset(Generator& generator) { set_first_values(*this, generator); }

std::string DsCnn::kind() const { return "DsCnn"; }

}  // namespace pare::models
