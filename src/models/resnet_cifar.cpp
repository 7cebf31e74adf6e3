// The ResNet family for CIFAR-10.
#include "pare/models/resnet_cifar.h"

#include <limits>

#include "core/check.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/init.h"

namespace pare::models {

BasicBlock::BasicBlock(BasicBlockOptions options)
    : conv1({.in = options.in,
             .out = options.out,
             .kernel = 3,
             .stride = options.stride,
             .padding = 1,
             .bias = false}),
      bn1({.features = options.out}),
      conv2({.in = options.out, .out = options.out, .kernel = 3, .padding = 1, .bias = false}),
      bn2({.features = options.out}) {
  const std::int64_t added = options.out - options.in;
  PARE_CHECK(added >= 0 && added % 2 == 0, invalid_argument, "BasicBlock",
             "expected out to be in plus an even number, got in = {}, out = {}", options.in,
             options.out);
  if (options.stride != 1) {
    const std::int64_t end = std::numeric_limits<std::int64_t>::max();
    slice_ = {&kSlice, Attributes::of(SliceAttributes{.axes = {2, 3},
                                                      .starts = {0, 0},
                                                      .ends = {end, end},
                                                      .steps = {options.stride, options.stride}})};
  }
  if (added > 0)
    pad_ = {&kPad, Attributes::of(PadAttributes{.before = {0, added / 2, 0, 0},
                                                .after = {0, added / 2, 0, 0}})};
}

void BasicBlock::members(nn::Members& m) {
  m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2);
}

Tensor BasicBlock::forward(const Tensor& x) {
  const Tensor y = bn2(conv2(relu(bn1(conv1(x)))));
  Tensor shortcut = x;
  if (slice_.op) shortcut = apply(slice_, detail::Borrowed(shortcut));
  if (pad_.op) shortcut = apply(pad_, detail::Borrowed(shortcut));
  return relu(add(y, shortcut));
}

std::string BasicBlock::kind() const { return "BasicBlock"; }

namespace {

nn::Sequential stage(int blocks, const BasicBlockOptions& first) {
  nn::Sequential result;
  result.add(BasicBlock(first));
  for (int i = 1; i < blocks; ++i) result.add(BasicBlock({.in = first.out, .out = first.out}));
  return result;
}

}  // namespace

ResNetCifar::ResNetCifar(ResNetCifarOptions options)
    : conv1({.in = 3, .out = options.width, .kernel = 3, .padding = 1, .bias = false}),
      bn1({.features = options.width}),
      linear({.in = 4 * options.width, .out = options.classes}) {
  PARE_CHECK(options.blocks > 0, invalid_argument, "ResNetCifar",
             "expected at least one block per stage, got {}", options.blocks);
  const std::int64_t width = options.width;
  layer1 = stage(options.blocks, {.in = width, .out = width});
  layer2 = stage(options.blocks, {.in = width, .out = 2 * width, .stride = 2});
  layer3 = stage(options.blocks, {.in = 2 * width, .out = 4 * width, .stride = 2});
}

void ResNetCifar::members(nn::Members& m) {
  m("conv1", conv1)("bn1", bn1)("layer1", layer1)("layer2", layer2)("layer3", layer3)("pool", pool)(
      "linear", linear);
}

Tensor ResNetCifar::forward(const Tensor& x) {
  const Tensor y = layer3(layer2(layer1(relu(bn1(conv1(x))))));
  return linear(flatten(pool(y)));
}

void ResNetCifar::reset(Generator& generator) {
  for_each_parameter([&](const std::string&, nn::Parameter& parameter) {
    if (parameter.shape().rank() > 1)
      parameter.set(nn::init::kaiming_normal(parameter.shape(), generator));
  });
}

std::string ResNetCifar::kind() const { return "ResNetCifar"; }

ResNetCifar resnet8() { return ResNetCifar({.blocks = 1}); }
ResNetCifar resnet20() { return ResNetCifar({.blocks = 3}); }
ResNetCifar resnet32() { return ResNetCifar({.blocks = 5}); }
ResNetCifar resnet44() { return ResNetCifar({.blocks = 7}); }
ResNetCifar resnet56() { return ResNetCifar({.blocks = 9}); }
ResNetCifar resnet110() { return ResNetCifar({.blocks = 18}); }

}  // namespace pare::models
