// The ResNet family for pictures of ImageNet's size.
#include "pare/models/resnet.h"

#include "core/check.h"
#include "models/first_values.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/init.h"

namespace pare::models {
namespace {

nn::Conv2d conv3x3(std::int64_t in, std::int64_t out, const ResNetBlockOptions& options) {
  return nn::Conv2d({.in = in,
                     .out = out,
                     .kernel = 3,
                     .stride = options.stride,
                     .padding = 1,
                     .groups = options.groups,
                     .bias = false});
}

nn::Conv2d conv1x1(std::int64_t in, std::int64_t out, std::int64_t stride = 1) {
  return nn::Conv2d({.in = in, .out = out, .stride = stride, .bias = false});
}

nn::Sequential projection(const ResNetBlockOptions& options) {
  nn::Sequential result;
  if (options.stride != 1 || options.in != options.out) {
    result.add(conv1x1(options.in, options.out, options.stride));
    result.add(nn::BatchNorm2d({.features = options.out}));
  }
  return result;
}

}  // namespace

ResNetBasicBlock::ResNetBasicBlock(const ResNetBlockOptions& options)
    : conv1(conv3x3(options.in, options.out, {.stride = options.stride})),
      bn1({.features = options.out}),
      conv2(conv3x3(options.out, options.out, {})),
      bn2({.features = options.out}),
      downsample(projection(options)) {}

void ResNetBasicBlock::members(nn::Members& m) {
  m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("downsample", downsample);
}

Tensor ResNetBasicBlock::forward(const Tensor& x) {
  const Tensor y = bn2(conv2(relu(bn1(conv1(x)))));
  return relu(add(y, downsample.size() > 0 ? downsample(x) : x));
}

std::string ResNetBasicBlock::kind() const { return "BasicBlock"; }

ResNetBottleneck::ResNetBottleneck(const ResNetBlockOptions& options)
    : conv1(conv1x1(options.in, options.width)),
      bn1({.features = options.width}),
      conv2(conv3x3(options.width, options.width, options)),
      bn2({.features = options.width}),
      conv3(conv1x1(options.width, options.out)),
      bn3({.features = options.out}),
      downsample(projection(options)) {}

void ResNetBottleneck::members(nn::Members& m) {
  m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("conv3", conv3)("bn3", bn3)(
      "downsample", downsample);
}

Tensor ResNetBottleneck::forward(const Tensor& x) {
  const Tensor y = bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x))))))));
  return relu(add(y, downsample.size() > 0 ? downsample(x) : x));
}

std::string ResNetBottleneck::kind() const { return "Bottleneck"; }

namespace {

constexpr std::int64_t kExpansion = 4;  // of a bottleneck's last convolution

std::int64_t features(const ResNetLayout& layout, int stage) {
  return (layout.width << stage) * (layout.bottleneck ? kExpansion : 1);
}

nn::Sequential make_stage(const ResNetLayout& layout, int stage) {
  const int blocks = layout.blocks[static_cast<std::size_t>(stage)];
  PARE_CHECK(blocks > 0, invalid_argument, "ResNet",
             "expected at least one block per stage, got {}", blocks);
  ResNetBlockOptions options{
      .in = stage == 0 ? layout.width : features(layout, stage - 1),
      .out = features(layout, stage),
      .stride = stage == 0 ? 1 : 2,
      .width = (layout.width << stage) * layout.group_width / 64 * layout.groups,
      .groups = layout.groups};
  nn::Sequential result;
  for (int i = 0; i < blocks; ++i) {
    if (layout.bottleneck)
      result.add(ResNetBottleneck(options));
    else
      result.add(ResNetBasicBlock(options));
    options.in = options.out;
    options.stride = 1;
  }
  return result;
}

}  // namespace

ResNet::ResNet(const ResNetLayout& layout, const ResNetOptions& options)
    : conv1({.in = options.in,
             .out = layout.width,
             .kernel = 7,
             .stride = 2,
             .padding = 3,
             .bias = false}),
      bn1({.features = layout.width}),
      maxpool({.kernel = 3, .stride = 2, .padding = 1}),
      layer1(make_stage(layout, 0)),
      layer2(make_stage(layout, 1)),
      layer3(make_stage(layout, 2)),
      layer4(make_stage(layout, 3)),
      fc({.in = features(layout, 3), .out = options.classes}),
      zero_init_residual_(options.zero_init_residual) {
  PARE_CHECK(layout.bottleneck || (layout.groups == 1 && layout.group_width == 64),
             invalid_argument, "ResNet",
             "expected one group of width 64 with basic blocks, got {} of width {}", layout.groups,
             layout.group_width);
}

void ResNet::members(nn::Members& m) {
  m("conv1", conv1)("bn1", bn1)("maxpool", maxpool)("layer1", layer1)("layer2", layer2)(
      "layer3", layer3)("layer4", layer4)("avgpool", avgpool)("fc", fc);
}

Tensor ResNet::forward(const Tensor& x) {
  const Tensor first = maxpool(relu(bn1(conv1(x))));
  return fc(flatten(avgpool(layer4(layer3(layer2(layer1(first)))))));
}

void ResNet::reset(Generator& generator) {
  set_first_values(*this, generator);
  if (!zero_init_residual_) return;
  const auto clear = [](nn::BatchNorm2d& norm) {
    norm.weight.set(nn::init::zeros(norm.weight.shape()));
  };
  for_each_module([&](const std::string&, nn::Module& part) {
    if (auto* const basic = dynamic_cast<ResNetBasicBlock*>(&part)) clear(basic->bn2);
    if (auto* const bottleneck = dynamic_cast<ResNetBottleneck*>(&part)) clear(bottleneck->bn3);
  });
}

std::string ResNet::kind() const { return "ResNet"; }

ResNet resnet18(const ResNetOptions& options) { return ResNet({}, options); }
ResNet resnet34(const ResNetOptions& options) { return ResNet({.blocks = {3, 4, 6, 3}}, options); }
ResNet resnet50(const ResNetOptions& options) {
  return ResNet({.blocks = {3, 4, 6, 3}, .bottleneck = true}, options);
}
ResNet resnet101(const ResNetOptions& options) {
  return ResNet({.blocks = {3, 4, 23, 3}, .bottleneck = true}, options);
}
ResNet resnet152(const ResNetOptions& options) {
  return ResNet({.blocks = {3, 8, 36, 3}, .bottleneck = true}, options);
}
ResNet resnext50_32x4d(const ResNetOptions& options) {
  return ResNet({.blocks = {3, 4, 6, 3}, .bottleneck = true, .groups = 32, .group_width = 4},
                options);
}
ResNet wide_resnet50_2(const ResNetOptions& options) {
  return ResNet({.blocks = {3, 4, 6, 3}, .bottleneck = true, .group_width = 128}, options);
}

}  // namespace pare::models
