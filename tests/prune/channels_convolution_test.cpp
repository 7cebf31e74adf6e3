// Structured pruning: the law removed = zeroed through convolutions over one and three axes,
// transposed ones and pooling.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/ops.h"
#include "pare/nn/adaptive_pooling.h"
#include "pare/nn/conv.h"
#include "pare/nn/convolution.h"
#include "pare/nn/linear.h"
#include "pare/nn/pooling.h"
#include "pare/prune/channels.h"
#include "prune/law.h"

namespace pare::prune {
namespace {

struct Lines : nn::Module {
  nn::Conv1d first{{.in = 3, .out = 6, .kernel = 3, .padding = 1}};
  nn::Conv1d depthwise{{.in = 6, .out = 6, .kernel = 3, .padding = 1, .groups = 6}};
  nn::Conv1d grouped{{.in = 6, .out = 8, .kernel = 3, .padding = 1, .groups = 2}};
  nn::MaxPool1d pool{{.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true}};
  nn::AdaptiveAvgPool1d average{3};
  nn::Linear fc{{.in = 24, .out = 3}};
  void members(nn::Members& m) override {
    m("first", first)("depthwise", depthwise)("grouped", grouped)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(average(pool(relu(grouped(relu(depthwise(relu(first(x))))))))));
  }
};

struct Volumes : nn::Module {
  nn::Conv3d first{{.in = 2, .out = 4, .kernel = {1, 3, 3}, .padding = {0, 1, 1}}};
  nn::Conv3d depthwise{{.in = 4, .out = 4, .kernel = 3, .padding = 1, .groups = 4}};
  nn::Conv3d last{{.in = 4, .out = 5, .kernel = 1}};
  nn::AvgPool3d pool{{.kernel = {1, 2, 2}}};
  nn::AdaptiveMaxPool3d largest{{2, 1, 1}};
  nn::Linear fc{{.in = 10, .out = 3}};
  void members(nn::Members& m) override {
    m("first", first)("depthwise", depthwise)("last", last)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(largest(relu(last(pool(relu(depthwise(relu(first(x))))))))));
  }
};

// An encoder and a decoder: transposed convolutions with one group, one group per channel and two.
struct Decoder : nn::Module {
  nn::Conv2d down{{.in = 3, .out = 8, .kernel = 3, .stride = 2, .padding = 1}};
  nn::ConvTranspose2d depthwise{{.in = 8, .out = 8, .kernel = 3, .padding = 1, .groups = 8}};
  nn::ConvTranspose2d grouped{{.in = 8, .out = 6, .kernel = 1, .groups = 2}};
  nn::ConvTranspose2d up{
      {.in = 6, .out = 4, .kernel = 3, .stride = 2, .padding = 1, .output_padding = 1}};
  nn::Conv2d last{{.in = 4, .out = 2, .kernel = 1}};
  void members(nn::Members& m) override {
    m("down", down)("depthwise", depthwise)("grouped", grouped)("up", up)("last", last);
  }
  Tensor forward(const Tensor& x) override {
    return last(relu(up(relu(grouped(relu(depthwise(relu(down(x)))))))));
  }
};

struct DecoderOfVolumes : nn::Module {
  nn::Conv3d first{{.in = 1, .out = 4, .kernel = 1}};
  nn::ConvTranspose3d up{{.in = 4, .out = 3, .kernel = 2, .stride = 2}};
  nn::Conv3d last{{.in = 3, .out = 2, .kernel = 1}};
  void members(nn::Members& m) override { m("first", first)("up", up)("last", last); }
  Tensor forward(const Tensor& x) override { return last(relu(up(relu(first(x))))); }
};

TEST(ConvolutionChannels, RemovedIsZeroedInLines) { expect_law_on<Lines>({2, 3, 9}); }
TEST(ConvolutionChannels, RemovedIsZeroedInVolumes) { expect_law_on<Volumes>({2, 2, 3, 4, 4}); }
TEST(ConvolutionChannels, RemovedIsZeroedInADecoder) { expect_law_on<Decoder>({2, 3, 6, 6}); }
TEST(ConvolutionChannels, RemovedIsZeroedInADecoderOfVolumes) {
  expect_law_on<DecoderOfVolumes>({1, 1, 2, 2, 3});
}

TEST(ConvolutionChannels, ATransposedConvolutionLosesWhatTheRatioSays) {
  Graph graph = random_graph<Decoder>({2, 3, 6, 6});
  channels(graph, {.ratio = 0.5});
  graph.verify();
  const auto shape = [&](const char* name) { return graph.value(graph.find_value(name)).shape; };
  EXPECT_EQ(shape("up.weight")[1], 2);
  EXPECT_EQ(shape("up.bias"), (Shape{2}));
  EXPECT_EQ(shape("last.weight")[1], 2);
  EXPECT_EQ(shape("depthwise.weight")[0], shape("down.weight")[0]);
  EXPECT_LT(shape("down.weight")[0], 8);
  EXPECT_EQ(graph(Tensor::ones({1, 3, 6, 6})).shape(), (Shape{1, 2, 6, 6}));
}

}  // namespace
}  // namespace pare::prune
