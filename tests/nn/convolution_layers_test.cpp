// Layers of convolution, pooling and products: shapes, first values, settings, bad settings.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/adaptive_pooling.h"
#include "pare/nn/bilinear.h"
#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/convolution.h"
#include "pare/nn/pooling.h"

namespace pare {
namespace {

Shape shape_after(nn::Module&& layer, const Shape& input) {
  Generator generator(1);
  initialize(layer, generator);
  return layer(generator.normal(input)).shape();
}

// The shapes are those that PyTorch's layers of these settings give.
TEST(ConvolutionLayers, ShapesAndKinds) {
  EXPECT_EQ(shape_after(nn::Conv1d{{.in = 3, .out = 5, .kernel = 4, .stride = 2, .padding = 1}},
                        {2, 3, 9}),
            (Shape{2, 5, 4}));
  EXPECT_EQ(shape_after(nn::Conv3d{{.in = 2,
                                    .out = 4,
                                    .kernel = {1, 3, 2},
                                    .padding = {0, 1, 0},
                                    .dilation = {1, 1, 2},
                                    .groups = 2,
                                    .bias = false}},
                        {1, 2, 3, 4, 5}),
            (Shape{1, 4, 3, 4, 3}));
  EXPECT_EQ(
      shape_after(
          nn::ConvTranspose1d{
              {.in = 3, .out = 5, .kernel = 3, .stride = 2, .padding = 1, .output_padding = 1}},
          {2, 3, 5}),
      (Shape{2, 5, 10}));
  EXPECT_EQ(shape_after(nn::ConvTranspose2d{{.in = 4, .out = 6, .kernel = {2, 3}, .groups = 2}},
                        {1, 4, 3, 3}),
            (Shape{1, 6, 4, 5}));
  EXPECT_EQ(shape_after(nn::ConvTranspose3d{{.in = 1, .out = 2, .kernel = 2, .stride = 2}},
                        {1, 1, 2, 3, 4}),
            (Shape{1, 2, 4, 6, 8}));
  EXPECT_EQ(nn::ConvTranspose3d({.in = 1, .out = 2, .kernel = 2}).kind(), "ConvTranspose3d");
}

TEST(ConvolutionLayers, FirstValuesFillPyTorchsBound) {
  Generator generator(5);
  nn::ConvTranspose2d layer{{.in = 16, .out = 8, .kernel = 3}};
  initialize(layer, generator);
  EXPECT_EQ(layer.weight.shape(), (Shape{16, 8, 3, 3}));
  EXPECT_EQ(layer.bias.shape(), (Shape{8}));
  // PyTorch counts the fan of a transposed weight by its axis 1: 8 · 9.
  const float bound = 1 / std::sqrt(72.0F);
  float largest = 0;
  for (const float w : Tensor(layer.weight).to_vector<float>())
    largest = std::max(largest, std::abs(w));
  EXPECT_LE(largest, bound);
  EXPECT_GT(largest, 0.95F * bound);
}

TEST(ConvolutionLayers, PoolingShapes) {
  EXPECT_EQ(shape_after(nn::MaxPool1d{{.kernel = 2}}, {1, 2, 7}), (Shape{1, 2, 3}));
  EXPECT_EQ(shape_after(nn::MaxPool1d{{.kernel = 2, .ceil_mode = true}}, {1, 2, 7}),
            (Shape{1, 2, 4}));
  EXPECT_EQ(
      shape_after(nn::MaxPool2d{{.kernel = 3, .stride = 1, .dilation = {2, 1}}}, {1, 2, 7, 7}),
      (Shape{1, 2, 3, 5}));
  EXPECT_EQ(shape_after(nn::MaxPool3d{{.kernel = {1, 2, 3}}}, {1, 2, 4, 6, 6}),
            (Shape{1, 2, 4, 3, 2}));
  EXPECT_EQ(shape_after(nn::AvgPool1d{{.kernel = 3, .stride = 2, .padding = 1}}, {1, 2, 7}),
            (Shape{1, 2, 4}));
  EXPECT_EQ(shape_after(nn::AvgPool3d{{.kernel = 2, .ceil_mode = true}}, {1, 2, 3, 4, 5}),
            (Shape{1, 2, 2, 2, 3}));
  EXPECT_EQ(shape_after(nn::LPPool1d{{.norm = 2, .kernel = 3}}, {1, 2, 7}), (Shape{1, 2, 2}));
  EXPECT_EQ(shape_after(nn::LPPool2d{{.kernel = {2, 3}, .stride = 1}}, {1, 2, 4, 4}),
            (Shape{1, 2, 3, 2}));
  EXPECT_EQ(shape_after(nn::AdaptiveAvgPool1d{3}, {1, 2, 7}), (Shape{1, 2, 3}));
  EXPECT_EQ(shape_after(nn::AdaptiveAvgPool2d{{nn::kKeepSize, 2}}, {1, 2, 7, 5}),
            (Shape{1, 2, 7, 2}));
  EXPECT_EQ(shape_after(nn::AdaptiveAvgPool3d{1}, {1, 2, 7, 5, 3}), (Shape{1, 2, 1, 1, 1}));
  EXPECT_EQ(shape_after(nn::AdaptiveMaxPool1d{1}, {1, 2, 7}), (Shape{1, 2, 1}));
  EXPECT_EQ(shape_after(nn::AdaptiveMaxPool2d{4}, {1, 2, 7, 3}), (Shape{1, 2, 4, 4}));
  EXPECT_EQ(shape_after(nn::AdaptiveMaxPool3d{{1, 2, 3}}, {1, 2, 7, 5, 3}), (Shape{1, 2, 1, 2, 3}));
}

TEST(ConvolutionLayers, SettingsReachTheOp) {
  const Tensor x = Tensor::from({1, 2, 3, 4, 5}, {1, 1, 5});
  EXPECT_EQ(nn::AvgPool1d({.kernel = 2, .padding = 1})(x).to_vector<float>(),
            (std::vector<float>{0.5F, 2.5F, 4.5F}));
  EXPECT_EQ(
      nn::AvgPool1d({.kernel = 2, .padding = 1, .count_include_pad = false})(x).to_vector<float>(),
      (std::vector<float>{1, 2.5F, 4.5F}));
  EXPECT_EQ(nn::AvgPool1d({.kernel = 2, .ceil_mode = true})(x).to_vector<float>(),
            (std::vector<float>{1.5F, 3.5F, 5}));
  EXPECT_EQ(nn::AvgPool1d({.kernel = 2, .divisor_override = 4})(x).to_vector<float>(),
            (std::vector<float>{0.75F, 1.75F}));
  EXPECT_EQ(nn::MaxPool1d({.kernel = 2, .stride = 1, .dilation = 3})(x).to_vector<float>(),
            (std::vector<float>{4, 5}));
  EXPECT_EQ(nn::LPPool1d({.norm = 1, .kernel = 2})(x).to_vector<float>(),
            (std::vector<float>{3, 7}));
}

TEST(ConvolutionLayers, BilinearHasTwoInputs) {
  Generator generator(2);
  nn::Bilinear layer{{.in1 = 3, .in2 = 4, .out = 5}};
  initialize(layer, generator);
  const Tensor x1 = generator.normal({2, 3});
  const Tensor x2 = generator.normal({2, 4});
  EXPECT_EQ(layer.run({x1, x2})[0].to_vector<float>(), layer.forward(x1, x2).to_vector<float>());
  EXPECT_EQ(layer.forward(x1, x2).shape(), (Shape{2, 5}));
  EXPECT_ERROR(layer.run({x1}), invalid_argument, "Bilinear", "2 inputs", "got 1");
  EXPECT_ERROR(nn::Bilinear({.in1 = 3, .out = 5}), invalid_argument, "in1, in2 and out",
               "3, 0 and 5");
}

TEST(ConvolutionLayers, ATracedNetIsTheNet) {
  Generator generator(4);
  nn::Sequential net{nn::Conv1d{{.in = 2, .out = 4, .kernel = 3, .padding = 1}},
                     nn::MaxPool1d{{.kernel = 2}},
                     nn::ConvTranspose1d{{.in = 4, .out = 3, .kernel = 2, .stride = 2}},
                     nn::AdaptiveAvgPool1d{5}, nn::LPPool1d{{.kernel = 2}}};
  initialize(net, generator);
  Graph graph = trace(net, generator.normal({2, 2, 8}));
  const Tensor x = generator.normal({5, 2, 8});
  EXPECT_EQ(graph(x).to_vector<float>(), net(x).to_vector<float>());
}

TEST(ConvolutionLayers, BadSettingsAreNamed) {
  EXPECT_ERROR(nn::Conv1d({.out = 3}), invalid_argument, "Conv1d", "in = 0");
  EXPECT_ERROR(nn::Conv1d({.in = 1, .out = 1, .kernel = 0}), invalid_argument, "kernel", "[0]");
  EXPECT_ERROR(nn::Conv3d({.in = 1, .out = 1, .stride = {1, 0, 1}}), invalid_argument, "Conv3d",
               "stride", "[1, 0, 1]");
  EXPECT_ERROR(nn::Conv3d({.in = 4, .out = 6, .groups = 4}), invalid_argument,
               "groups that divide");
  EXPECT_ERROR(nn::ConvTranspose2d({.in = 1, .out = 1, .padding = -1}), invalid_argument,
               "ConvTranspose2d", "padding");
  EXPECT_ERROR(nn::ConvTranspose2d({.in = 1, .out = 1, .stride = 2, .output_padding = {1, 2}}),
               invalid_argument, "output padding below stride [2, 2]", "[1, 2]");
  EXPECT_ERROR(nn::MaxPool3d({.kernel = {2, 2, 0}}), invalid_argument, "MaxPool3d", "[2, 2, 0]");
  EXPECT_ERROR(nn::MaxPool1d({.dilation = 0}), invalid_argument, "dilation");
  EXPECT_ERROR(nn::AvgPool1d({.padding = 2}), invalid_argument, "half the kernel");
  EXPECT_ERROR(nn::AvgPool2d({.divisor_override = -2}), invalid_argument, "divisor", "-2");
  EXPECT_ERROR(nn::LPPool2d({.norm = 0}), invalid_argument, "LPPool2d", "power");
  EXPECT_ERROR(nn::AdaptiveAvgPool2d({0, 3}), invalid_argument, "AdaptiveAvgPool2d", "got 0");
}

}  // namespace
}  // namespace pare
