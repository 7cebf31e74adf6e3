// Layers against PyTorch's values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/golden_layers.h"
#include "core/ops/convolution_portable.h"
#include "expect_error.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

template <std::size_t N> Tensor tensor(const float (&values)[N], const Shape& shape) {
  return Tensor::from(std::vector<float>(values, values + N), shape);
}

template <std::size_t N>
void expect_near(const Tensor& actual, const float (&expected)[N], float tolerance) {
  const std::vector<float> values = actual.to_vector<float>();
  ASSERT_EQ(values.size(), N);
  for (std::size_t i = 0; i < N; ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(values[i])) << "at " << i;
    } else {
      EXPECT_NEAR(values[i], expected[i], tolerance * (1 + std::abs(expected[i]))) << "at " << i;
    }
  }
}

Tensor leaf(Tensor x) { return x.set_requires_grad(); }

/// Each test runs in both memory formats.
class Layers : public testing::TestWithParam<MemoryFormat> {
 protected:
  template <std::size_t N> Tensor picture(const float (&values)[N], const Shape& shape) {
    return leaf(tensor(values, shape).to(GetParam()));
  }
};
INSTANTIATE_TEST_SUITE_P(Formats, Layers,
                         testing::Values(MemoryFormat::row_major, MemoryFormat::channels_last),
                         [](const auto& format) {
                           return format.param == MemoryFormat::row_major ? "RowMajor"
                                                                          : "ChannelsLast";
                         });

// Through apply with whatever kernels there are, and by the portable code itself.
#define EXPECT_CONVOLUTION(name, x_shape, w_shape, attributes)                 \
  do {                                                                         \
    using namespace golden;                                                    \
    const Tensor x = picture(k##name##X, x_shape);                             \
    const Tensor w = leaf(tensor(k##name##W, w_shape));                        \
    const Tensor b = leaf(tensor(k##name##B, Shape{w.dim(0)}));                \
    const Tensor y = conv2d(x, w, b, attributes);                              \
    EXPECT_EQ(y.format(), GetParam());                                         \
    expect_near(y, k##name##Y, 1e-5F);                                         \
    const Tensor g = tensor(k##name##G, y.shape());                            \
    y.backward(g);                                                             \
    expect_near(x.grad(), k##name##GradX, 1e-5F);                              \
    expect_near(w.grad(), k##name##GradW, 1e-5F);                              \
    expect_near(b.grad(), k##name##GradB, 1e-5F);                              \
    const NoGrad no_grad;                                                      \
    const ConvolutionSizes sizes(attributes, x.shape(), w.shape(), y.shape()); \
    const Tensor weight = w.to(GetParam());                                    \
    Tensor y2 = Tensor::empty(y.shape(), DType::f32, GetParam());              \
    convolution_forward(sizes, x, weight, b, y2);                              \
    expect_near(y2, k##name##Y, 1e-5F);                                        \
    Tensor gx = Tensor::empty(x.shape(), DType::f32, GetParam());              \
    Tensor gw = Tensor::empty(w.shape(), DType::f32, GetParam());              \
    Tensor gb = Tensor::empty(b.shape());                                      \
    convolution_backward(sizes, x, weight, g.to(GetParam()), gx, gw, gb);      \
    expect_near(gx, k##name##GradX, 1e-5F);                                    \
    expect_near(gw, k##name##GradW, 1e-5F);                                    \
    expect_near(gb, k##name##GradB, 1e-5F);                                    \
  } while (false)

TEST_P(Layers, Convolution) {
  const Conv2dAttributes attributes{.stride = {2, 2}, .padding = {1, 1, 1, 1}};
  EXPECT_CONVOLUTION(Conv, (Shape{2, 3, 6, 5}), (Shape{4, 3, 3, 3}), attributes);
}

TEST_P(Layers, DilatedConvolution) {
  const Conv2dAttributes attributes{.padding = {2, 1, 2, 1}, .dilation = {2, 1}};
  EXPECT_CONVOLUTION(Dilated, (Shape{1, 2, 7, 6}), (Shape{3, 2, 3, 2}), attributes);
}

TEST_P(Layers, GroupedConvolution) {
  const Conv2dAttributes attributes{.padding = {1, 1, 1, 1}, .groups = 2};
  EXPECT_CONVOLUTION(Grouped, (Shape{2, 4, 4, 4}), (Shape{6, 2, 3, 3}), attributes);
}

TEST_P(Layers, DepthwiseConvolution) {
  const Conv2dAttributes attributes{.stride = {1, 2}, .padding = {1, 1, 1, 1}, .groups = 3};
  EXPECT_CONVOLUTION(Depthwise, (Shape{2, 3, 5, 4}), (Shape{3, 1, 3, 3}), attributes);
}

TEST_P(Layers, MaxPoolingTakesTheFirstOfTies) {
  const Tensor x = picture(golden::kMaxTiesX, {2, 3, 7, 6});
  const Tensor y = max_pool2d(x, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}});
  expect_near(y, golden::kMaxTiesY, 0);
  y.backward(tensor(golden::kMaxTiesG, y.shape()));
  expect_near(x.grad(), golden::kMaxTiesGradX, 1e-6F);
}

TEST_P(Layers, MaxPoolingOfPairs) {
  const Tensor x = picture(golden::kMaxPairsX, {2, 3, 6, 8});
  const Tensor y = max_pool2d(x);
  expect_near(y, golden::kMaxPairsY, 0);
  y.backward(tensor(golden::kMaxPairsG, y.shape()));
  expect_near(x.grad(), golden::kMaxPairsGradX, 1e-6F);
}

TEST_P(Layers, MaxPoolingKeepsNan) {
  const Tensor x = picture(golden::kMaxNanX, {1, 2, 4, 4});
  const Tensor y = max_pool2d(x);
  expect_near(y, golden::kMaxNanY, 0);
  y.backward(tensor(golden::kMaxNanG, y.shape()));
  expect_near(x.grad(), golden::kMaxNanGradX, 1e-6F);
}

TEST_P(Layers, AveragePooling) {
  const Pool2dAttributes attributes{.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}};
  const Tensor x = picture(golden::kAverageX, {2, 3, 6, 5});
  const Tensor y = average_pool2d(x, attributes);
  expect_near(y, golden::kAverageY, 1e-6F);
  y.backward(tensor(golden::kAverageG, y.shape()));
  expect_near(x.grad(), golden::kAverageGradX, 1e-6F);
}

TEST_P(Layers, AveragePoolingWithoutPadding) {
  const Pool2dAttributes attributes{
      .kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .count_include_pad = false};
  const Tensor x = picture(golden::kAverageInsideX, {2, 3, 6, 5});
  const Tensor y = average_pool2d(x, attributes);
  expect_near(y, golden::kAverageInsideY, 1e-6F);
  y.backward(tensor(golden::kAverageInsideG, y.shape()));
  expect_near(x.grad(), golden::kAverageInsideGradX, 1e-6F);
}

TEST_P(Layers, BatchNormInTraining) {
  ContextScope scope;
  scope->training = true;
  const Tensor x = picture(golden::kNormX, {3, 5, 4, 5});
  const Tensor w = leaf(tensor(golden::kNormW, {5}));
  const Tensor b = leaf(tensor(golden::kNormB, {5}));
  const Tensor mean = tensor(golden::kNormMean, {5});
  const Tensor variance = tensor(golden::kNormVariance, {5});
  const Tensor y = batch_norm(x, w, b, mean, variance, Attributes::of(BatchNormAttributes{}));
  EXPECT_EQ(y.format(), GetParam());
  // The mean is up to 1000 times the deviation: x itself is rounded to 1e-4 of that.
  expect_near(y, golden::kNormY, 2e-4F);
  expect_near(mean, golden::kNormNewMean, 1e-5F);
  expect_near(variance, golden::kNormNewVariance, 1e-5F);
  y.backward(tensor(golden::kNormG, y.shape()));
  expect_near(x.grad(), golden::kNormGradX, 2e-4F);
  expect_near(w.grad(), golden::kNormGradW, 2e-4F);
  expect_near(b.grad(), golden::kNormGradB, 1e-5F);
}

TEST_P(Layers, BatchNormInEvaluation) {
  const Tensor x = picture(golden::kEvalX, {3, 4, 2, 2});
  const Tensor w = leaf(tensor(golden::kEvalW, {4}));
  const Tensor b = leaf(tensor(golden::kEvalB, {4}));
  const Tensor mean = tensor(golden::kEvalMean, {4});
  const Tensor variance = tensor(golden::kEvalVariance, {4});
  const Tensor y = batch_norm(x, w, b, mean, variance, Attributes::of(BatchNormAttributes{}));
  expect_near(y, golden::kEvalY, 1e-5F);
  y.backward(tensor(golden::kEvalG, y.shape()));
  expect_near(x.grad(), golden::kEvalGradX, 1e-5F);
  expect_near(w.grad(), golden::kEvalGradW, 1e-5F);
  expect_near(b.grad(), golden::kEvalGradB, 1e-5F);
  expect_near(mean, golden::kEvalMean, 0);
}

TEST(Bounds, ConvolutionRefusesAnOutputThatCannotBe) {
  const Conv2dAttributes far{.padding = {1 << 30, 1 << 30, 1 << 30, 1 << 30}};
  EXPECT_ERROR(conv2d(Tensor::ones({1, 1, 1, 1}), Tensor::ones({1, 1, 1, 1}), {}, far),
               invalid_argument, "63 bits");
}

TEST(Bounds, PoolingRefusesEmptyPicturesAndEndlessWindows) {
  const Pool2dAttributes padded{.kernel = {2, 2}, .stride = {1, 1}, .padding = {1, 1, 1, 1}};
  for (const Shape& empty : {Shape{1, 1, 0, 4}, Shape{1, 1, 4, 0}}) {
    EXPECT_ERROR(max_pool2d(Tensor::ones(empty), padded), shape_mismatch, "max_pool2d",
                 empty.to_string());
    EXPECT_ERROR(average_pool2d(Tensor::ones(empty), padded), shape_mismatch, "average_pool2d");
  }
  constexpr std::int64_t kFar = std::int64_t{1} << 40;
  const Tensor x = Tensor::ones({1, 1, 4, 4});
  EXPECT_ERROR(max_pool2d(x, Pool2dAttributes{.kernel = {kFar, 2}, .padding = {kFar / 2, 0, 0, 0}}),
               invalid_argument, "kernels and strides", "1099511627776");
  EXPECT_ERROR(max_pool2d(x, Pool2dAttributes{.stride = {2, kFar}}), invalid_argument,
               "kernels and strides");
  constexpr std::int64_t kWide = 1 << 20;
  EXPECT_ERROR(
      max_pool2d(x, Pool2dAttributes{.kernel = {kWide, kWide},
                                     .padding = {kWide / 2, kWide / 2, kWide / 2, kWide / 2}}),
      invalid_argument, "taps");
}

TEST(DenseLayers, Linear) {
  const Tensor x = leaf(tensor(golden::kLinearX, {4, 6}));
  const Tensor w = leaf(tensor(golden::kLinearW, {5, 6}));
  const Tensor b = leaf(tensor(golden::kLinearB, {5}));
  const Tensor y = linear(x, w, b);
  expect_near(y, golden::kLinearY, 1e-5F);
  y.backward(tensor(golden::kLinearG, y.shape()));
  expect_near(x.grad(), golden::kLinearGradX, 1e-5F);
  expect_near(w.grad(), golden::kLinearGradW, 1e-5F);
  expect_near(b.grad(), golden::kLinearGradB, 1e-5F);
}

TEST(DenseLayers, MatmulBroadcasts) {
  const Tensor a = leaf(tensor(golden::kMatmulX, {2, 1, 3, 4}));
  const Tensor b = leaf(tensor(golden::kMatmulW, {3, 4, 2}));
  const Tensor y = matmul(a, b);
  EXPECT_EQ(y.shape(), (Shape{2, 3, 3, 2}));
  expect_near(y, golden::kMatmulY, 1e-5F);
  y.backward(tensor(golden::kMatmulG, y.shape()));
  expect_near(a.grad(), golden::kMatmulGradX, 1e-5F);
  expect_near(b.grad(), golden::kMatmulGradW, 1e-5F);
}

TEST(DenseLayers, Embedding) {
  const Tensor x = leaf(tensor(golden::kEmbeddingX, {5, 3}));
  const Tensor y = gather(x, Tensor::from(std::vector<std::int64_t>{4, 0, 4, 1, 4, 2}, {2, 3}));
  expect_near(y, golden::kEmbeddingY, 0);
  y.backward(tensor(golden::kEmbeddingG, y.shape()));
  expect_near(x.grad(), golden::kEmbeddingGradX, 1e-6F);
}

}  // namespace
}  // namespace pare
