// Layers of borders and resolutions: the ops with PyTorch's names and order of numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/nn/flatten.h"
#include "pare/nn/padding.h"
#include "pare/nn/resample.h"

namespace pare::nn {
namespace {

using testing::ElementsAre;

const Tensor& picture() {
  static const Tensor x = Generator(3).normal({2, 4, 3, 5});
  return x;
}
std::vector<float> values(const Tensor& t) { return t.to_vector<float>(); }

template <class Layer> void expect_layer(Layer layer, const char* kind, const Tensor& expected) {
  EXPECT_EQ(layer.kind(), kind);
  const Tensor y = layer(picture());
  EXPECT_EQ(y.shape(), expected.shape()) << kind;
  EXPECT_EQ(values(y), values(expected)) << kind;
  Layer copy = layer;
  EXPECT_EQ(values(copy(picture())), values(expected)) << kind;
}

TEST(PaddingLayers, TakeLeftRightTopBottom) {
  const std::vector<std::int64_t> before{0, 0, 2, 1}, after{0, 0, 0, 2};
  const Border2d border{1, 2, 2, 0};
  expect_layer(ZeroPad2d{{.padding = border}}, "ZeroPad2d", pad(picture(), before, after));
  expect_layer(ConstantPad2d{{.padding = border, .value = 2.5}}, "ConstantPad2d",
               pad(picture(), before, after, 2.5));
  expect_layer(ConstantPad2d{{.padding = {-1, 0, 0, 1}}}, "ConstantPad2d",
               pad(picture(), {0, 0, 0, -1}, {0, 0, 1, 0}));
  expect_layer(ReflectionPad2d{{.padding = border}}, "ReflectionPad2d",
               pad(picture(), {before, after, "reflect"}));
  expect_layer(ReplicationPad2d{{.padding = border}}, "ReplicationPad2d",
               pad(picture(), {before, after, "replicate"}));
  expect_layer(CircularPad2d{{.padding = border}}, "CircularPad2d",
               pad(picture(), {before, after, "circular"}));
}

TEST(PaddingLayers, OfSignals) {
  const Tensor x = Tensor::from({1, 2, 3, 4}, {1, 1, 4});
  EXPECT_THAT(values(ReflectionPad1d{{.padding = {1, 2}}}(x)), ElementsAre(2, 1, 2, 3, 4, 3, 2));
  EXPECT_THAT(values(ReplicationPad1d{{.padding = 1}}(x)), ElementsAre(1, 1, 2, 3, 4, 4));
  EXPECT_THAT(values(CircularPad1d{{.padding = {1, 0}}}(x)), ElementsAre(4, 1, 2, 3, 4));
  EXPECT_THAT(values(ConstantPad1d{{.padding = {0, 1}, .value = 9}}(x)),
              ElementsAre(1, 2, 3, 4, 9));
  ReflectionPad1d wide{{.padding = 4}};
  EXPECT_ERROR(wide(x), invalid_argument, "pad: expected a border of at most 3");
  ReflectionPad2d plane{{.padding = 1}};
  EXPECT_ERROR(plane(x), invalid_argument, "pad: expected 3 numbers");
}

TEST(ResolutionLayers, AreTheirOps) {
  expect_layer(Upsample{{.scale_factor = {2}}}, "Upsample", interpolate(picture(), {.scale = {2}}));
  expect_layer(Upsample{{.size = {4, 9}, .mode = "bilinear", .align_corners = true}}, "Upsample",
               interpolate(picture(), {.size = {4, 9}, .mode = "bilinear", .align_corners = true}));
  expect_layer(PixelShuffle{{.upscale_factor = 2}}, "PixelShuffle", pixel_shuffle(picture(), 2));
  expect_layer(PixelUnshuffle{{.downscale_factor = 1}}, "PixelUnshuffle",
               pixel_unshuffle(picture(), 1));
  expect_layer(Unfold{{.kernel_size = {2, 3}, .dilation = {2, 1}, .padding = {1, 0}, .stride = 2}},
               "Unfold",
               unfold(picture(),
                      {.kernel = {2, 3}, .stride = {2, 2}, .dilation = {2, 1}, .padding = {1, 0}}));
  expect_layer(Unflatten{{.dim = 1, .sizes = {2, -1}}}, "Unflatten",
               reshape(picture(), {2, 2, 2, 3, 5}));
  Fold fold_back{{.output_size = {3, 5}, .kernel_size = 2, .stride = {1, 3}}};
  Unfold columns{{.kernel_size = 2, .stride = {1, 3}}};
  EXPECT_EQ(fold_back.kind(), "Fold");
  EXPECT_EQ(
      values(fold_back(columns(picture()))),
      values(fold(columns(picture()), {.output = {3, 5}, .kernel = {2, 2}, .stride = {1, 3}})));
}

TEST(ResolutionLayers, NameWhatDoesNotFit) {
  PixelShuffle shuffle{{.upscale_factor = 3}};
  EXPECT_ERROR(shuffle(picture()), shape_mismatch, "depth_to_space", "multiples of 9");
  Upsample nothing{{}};
  EXPECT_ERROR(nothing(picture()), invalid_argument, "interpolate", "one of size and scale");
  Unflatten wrong{{.dim = 1, .sizes = {3, 2}}};
  EXPECT_ERROR(wrong(picture()), shape_mismatch, "unflatten", "product is 4");
}

}  // namespace
}  // namespace pare::nn
