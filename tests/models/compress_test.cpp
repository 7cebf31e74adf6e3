// The models under the methods: traced, quantized, with channels cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/noise.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/models/ds_cnn.h"
#include "pare/models/mobilenet_v2.h"
#include "pare/models/mobilenet_v3.h"
#include "pare/models/resnet.h"
#include "pare/models/squeezenet.h"
#include "pare/models/vgg.h"
#include "pare/prune/channels.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"

namespace pare {
namespace {

using test::noise;

const Shape kPicture{2, 3, 32, 32};
const Shape kSpeech{2, 1, 49, 10};

// A quarter of the channels keeps the tests short.
models::ResNet resnet18() { return models::ResNet({.width = 16}, {.classes = 10}); }

double sqnr(const Tensor& expected, const Tensor& found) {
  const auto x = expected.to_vector<float>(), y = found.to_vector<float>();
  double signal = 0, error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = static_cast<double>(x[i]), d = a - static_cast<double>(y[i]);
    signal += a * a;
    error += d * d;
  }
  return 10 * std::log10(signal / error);
}

// Small layers: two threads would wait for each other.
struct OneThread {
  OneThread() { scope->threads = 1; }
  ContextScope scope;
};

template <class Net> Graph graph_of(Net& net, const Shape& shape) {
  test::fill_by_name(net);
  return trace(net, noise(1, shape)).copy();
}

Tensor infer(Graph& graph, const Tensor& x) {
  const NoGrad scope;
  return graph(x);
}

template <class Net> void expect_traced(Net&& net, const Shape& shape) {
  const OneThread one_thread;
  Graph graph = graph_of(net, shape);
  Shape other = shape;
  other.set(0, 3);
  const Tensor x = noise(2, other) * 4.0;
  const NoGrad scope;
  EXPECT_EQ(graph(x).template to_vector<float>(), net(x).template to_vector<float>()) << net.kind();
}

// Everything with weights becomes int8, and the result stays close.
template <class Net> void expect_quantized(Net&& net, const Shape& shape, double floor) {
  const OneThread one_thread;
  Graph graph = graph_of(net, shape);
  const Tensor x = noise(3, shape) * 4.0;
  Graph prepared = quantize::prepare(graph, quantize::QConfig::portable());
  infer(prepared, x);
  quantize::Converted converted = quantize::convert(prepared);
  int layers = 0;
  for (const auto& node : converted.report.nodes) {
    if (node.op != "conv2d" && node.op != "linear") continue;
    ++layers;
    EXPECT_TRUE(node.quantized) << node.name << ": " << node.note;
  }
  EXPECT_GT(layers, 9);
  EXPECT_LT(converted.report.bytes_after, converted.report.bytes_before * 35 / 100);
  EXPECT_GT(sqnr(infer(graph, x), infer(converted.graph, x)), floor) << net.kind();
}

// A third of the channels goes: what remains is what zeroing them gives, and it trains.
template <class Net> void expect_pruned(Net&& net, const Shape& shape, int least_groups) {
  const OneThread one_thread;
  const Graph graph = graph_of(net, shape);
  std::vector<prune::Channel> cut;
  const std::vector<prune::Group> groups = prune::groups(graph);
  EXPECT_GE(static_cast<int>(groups.size()), least_groups) << net.kind();
  for (const prune::Group& group : groups)
    for (std::size_t c = 0; c < group.channels.size(); c += 3) cut.push_back(group.channels[c]);
  Graph zeroed = graph.copy(), removed = graph.copy();
  prune::zero_channels(zeroed, cut);
  prune::remove_channels(removed, cut);
  const Tensor x = noise(4, shape) * 4.0;
  EXPECT_GT(sqnr(infer(zeroed, x), infer(removed, x)), 90) << net.kind();
  EXPECT_LT(removed.bytes(), graph.bytes() * 6 / 10);

  Graph smaller = graph.copy();
  const prune::ChannelsReport report = prune::channels(smaller, {.ratio = 0.3, .round_to = 4});
  EXPECT_LT(report.parameters_after, report.parameters_before * 7 / 10) << report.to_string();
  ContextScope scope;
  scope->training = true;
  Generator generator(1);
  scope->generator = &generator;
  sum(square(smaller(x))).backward();
  for (const Tensor& parameter : smaller.parameters())
    EXPECT_EQ(parameter.grad().shape(), parameter.shape());
}

TEST(ModelsTraced, EqualTheModule) {
  expect_traced(resnet18(), kPicture);
  expect_traced(models::ResNet({.bottleneck = true, .width = 16}, {.classes = 10}), kPicture);
  expect_traced(models::mobilenet_v2({.classes = 10}), kPicture);
  expect_traced(models::mobilenet_v3_small({.classes = 10}), kPicture);
  expect_traced(models::squeezenet1_0({.classes = 10}), {2, 3, 64, 64});
  expect_traced(models::vgg11({.classes = 10, .hidden = 16}), kPicture);
  expect_traced(models::DsCnn(), kSpeech);
}

TEST(ModelsQuantized, ResNet18) { expect_quantized(resnet18(), kPicture, 20); }
TEST(ModelsQuantized, MobileNetV2) {
  expect_quantized(models::mobilenet_v2({.classes = 10}), kPicture, 15);
}
TEST(ModelsQuantized, MobileNetV3) {
  expect_quantized(models::mobilenet_v3_small({.classes = 10}), kPicture, 20);
}
TEST(ModelsQuantized, DsCnn) { expect_quantized(models::DsCnn(), kSpeech, 20); }

TEST(ModelsQuantized, SqueezeNet) {
  expect_quantized(models::squeezenet1_1({.classes = 10}), kPicture, 20);
}
TEST(ModelsQuantized, Vgg) {
  expect_quantized(models::vgg11_bn({.classes = 10, .hidden = 16}), kPicture, 20);
}

TEST(ModelsPruned, ResNet18) { expect_pruned(resnet18(), kPicture, 12); }
TEST(ModelsPruned, MobileNetV2) {
  expect_pruned(models::mobilenet_v2({.classes = 10}), kPicture, 20);
}
TEST(ModelsPruned, MobileNetV3) {
  expect_pruned(models::mobilenet_v3_small({.classes = 10}), kPicture, 20);
}
TEST(ModelsPruned, SqueezeNet) {
  expect_pruned(models::squeezenet1_1({.classes = 10}), kPicture, 10);
}
TEST(ModelsPruned, DsCnn) { expect_pruned(models::DsCnn(), kSpeech, 5); }

}  // namespace
}  // namespace pare
