// Resize, depth and space, unfold and fold: PyTorch's and ONNX Runtime's values, bad input.
#include "pare/core/ops/resample.h"

#include <gmock/gmock.h>

#include "core/golden_resample.h"

namespace pare {
namespace {

using test::GoldenCase;
using testing::ElementsAre;
using Numbers = std::vector<std::int64_t>;

std::vector<float> values(const Tensor& t) { return t.to(DType::f32).to_vector<float>(); }

ResizeAttributes resize_of(const std::vector<double>& n) {
  const char* modes[] = {"nearest", "linear", "cubic"};
  const char* coordinates[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
                               "align_corners", "asymmetric"};
  const char* nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  const auto word = [&](const char* const* words, std::size_t i) {
    return words[static_cast<std::size_t>(n[i])];
  };
  ResizeAttributes attributes{.mode = word(modes, 0),
                              .coordinates = word(coordinates, 1),
                              .nearest = word(nearest, 2),
                              .cubic_coefficient = n[3],
                              .exclude_outside = n[4] != 0,
                              .antialias = n[5] != 0};
  if (n[6] != 0)
    attributes.scales.assign(n.begin() + 7, n.end());
  else
    attributes.sizes.assign(n.begin() + 7, n.end());
  return attributes;
}

InterpolateOptions interpolate_of(const std::vector<double>& n) {
  const char* modes[] = {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic"};
  InterpolateOptions options{.mode = modes[static_cast<std::size_t>(n[0])],
                             .align_corners = n[1] != 0,
                             .antialias = n[2] != 0};
  if (n[3] != 0)
    options.scale.assign(n.begin() + 4, n.end());
  else
    options.size.assign(n.begin() + 4, n.end());
  return options;
}

TEST(Resample, GoldenValues) {
  test::expect_golden_of(test::resample_golden(), 5e-5F, [](const GoldenCase& c, Tensors& inputs) {
    const std::string op = c.op;
    const Tensor& x = inputs[0];
    if (op == "resize") return resize(x, resize_of(c.numbers));
    if (op == "interpolate") return interpolate(x, interpolate_of(c.numbers));
    const Numbers n(c.numbers.begin(), c.numbers.end());
    if (op == "depth_to_space")
      return n[1] != 0 ? pixel_shuffle(x, n[0]) : depth_to_space(x, {.block = n[0]});
    if (op == "space_to_depth")
      return n[1] != 0 ? pixel_unshuffle(x, n[0]) : space_to_depth(x, {.block = n[0]});
    if (op == "unfold") return unfold(x, {{n[0], n[1]}, {n[2], n[3]}, {n[4], n[5]}, {n[6], n[7]}});
    return fold(x, {{n[0], n[1]}, {n[2], n[3]}, {n[4], n[5]}, {n[6], n[7]}, {n[8], n[9]}});
  });
}

TEST(Resize, WholeNumbersStayExact) {
  // In single precision 29 · (float(7) / 29) would be below 7.
  for (std::int64_t in = 1; in < 60; ++in)
    for (const std::int64_t out : {7, 29, 49, 58}) {
      std::vector<float> row;
      for (std::int64_t i = 0; i < in; ++i) row.push_back(static_cast<float>(i));
      const std::vector<float> y =
          values(resize(Tensor::from(row, {in}),
                        {.sizes = {out}, .coordinates = "asymmetric", .nearest = "floor"}));
      for (std::int64_t j = 0; j < out; ++j)
        ASSERT_EQ(y[static_cast<std::size_t>(j)], static_cast<float>(j * in / out)) << in << out;
    }
}

TEST(Resize, ScalesThatAreFloatsMultiplyAsFloats) {
  const Tensor x = Tensor::zeros({10});
  EXPECT_EQ(resize(x, {.scales = {static_cast<double>(0.7F)}}).dim(0), 7);  // as ONNX Runtime
  EXPECT_EQ(resize(x, {.scales = {0.7}}).dim(0), 7);                        // as PyTorch
  EXPECT_EQ(resize(x, {.scales = {0.69}}).dim(0), 6);
}

TEST(Resize, BatchMayBeASymbol) {
  Shape x;
  x.append_symbol("batch");
  for (const std::int64_t size : {3, 4, 5}) x.append(size);
  const InferArgs::Input inputs[] = {{&x, DType::f32, nullptr}};
  const auto shape = [&](ResizeAttributes attributes) {
    return infer({&kResize, Attributes::of(std::move(attributes))}, inputs)[0].shape.to_string();
  };
  EXPECT_EQ(shape({.sizes = {-1, -1, 8, 2}}), "[batch, 3, 8, 2]");
  EXPECT_EQ(shape({.scales = {1, 1, 2, 0.5}}), "[batch, 3, 8, 2]");
  EXPECT_EQ(shape({.scales = {2, 1, 2, 2}}), "[2*batch, 3, 8, 10]");
  EXPECT_EQ(shape({.scales = {0.75, 1, 2, 2}}), "[3*batch/4, 3, 8, 10]");
  EXPECT_EQ(shape({.scales = {0.7123, 1, 2, 2}}), "[?:0, 3, 8, 10]");
  EXPECT_EQ(shape({.sizes = {4, -1, 8, 2}}), "[4, 3, 8, 2]");
}

TEST(Resize, BadInput) {
  const Tensor x = Tensor::zeros({2, 4});
  EXPECT_ERROR(resize(x, {.mode = "area", .sizes = {2, 2}}), invalid_argument, "resize", "'area'");
  EXPECT_ERROR(resize(x, {.sizes = {2, 2}, .coordinates = "tf_crop_and_resize"}), unsupported,
               "tf_crop_and_resize");
  EXPECT_ERROR(resize(x, {.sizes = {2, 2}, .coordinates = "half"}), invalid_argument, "'half'");
  EXPECT_ERROR(resize(x, {.sizes = {2, 2}, .nearest = "round"}), invalid_argument, "'round'");
  EXPECT_ERROR(resize(x, {.sizes = {2}}), invalid_argument, "resize: expected 2 sizes");
  EXPECT_ERROR(resize(x, {.sizes = {2, 2}, .scales = {1, 1}}), invalid_argument, "2 and 2");
  EXPECT_ERROR(resize(x, {}), invalid_argument, "got 0 and 0");
  EXPECT_ERROR(resize(x, {.sizes = {2, -2}}), invalid_argument, "sizes of 0 or more", "[2, -2]");
  EXPECT_ERROR(resize(x, {.sizes = {2, std::int64_t{1} << 31}}), invalid_argument, "2^31");
  EXPECT_ERROR(resize(x, {.scales = {1, 0}}), invalid_argument, "scales above 0");
  EXPECT_ERROR(resize(x, {.scales = {1, NAN}}), invalid_argument, "scales above 0");
  EXPECT_ERROR(resize(x, {.scales = {1, 1e18}}), invalid_argument, "2^31");
  EXPECT_ERROR(resize(x, {.sizes = {2, 2}, .antialias = true}), invalid_argument, "antialias");
  EXPECT_ERROR(resize(x, {.mode = "cubic", .sizes = {2, 2}, .cubic_coefficient = NAN}),
               invalid_argument, "cubic_coefficient");
  EXPECT_ERROR(resize(Tensor::zeros({2, 0}), {.sizes = {2, 3}}), invalid_argument,
               "expected elements along resized axis 1");
  EXPECT_ERROR(resize(Tensor::zeros({2}, DType::i32), {.mode = "linear", .sizes = {3}}),
               dtype_mismatch, "linear", "i32");
  EXPECT_EQ(resize(Tensor::zeros({2, 0}), {.sizes = {4, 0}}).shape(), (Shape{4, 0}));
}

TEST(Interpolate, BadInput) {
  const Tensor x = Tensor::zeros({1, 2, 4, 4});
  EXPECT_ERROR(interpolate(Tensor::zeros({4, 4}), {.size = {2}}), shape_mismatch, "interpolate",
               "[4, 4]");
  EXPECT_ERROR(interpolate(x, {.size = {2}, .mode = "area"}), unsupported, "area");
  EXPECT_ERROR(interpolate(x, {.size = {2}, .mode = "cubic"}), invalid_argument, "'cubic'");
  EXPECT_ERROR(interpolate(x, {.size = {2}, .mode = "linear"}), shape_mismatch, "1 spatial axes");
  EXPECT_ERROR(interpolate(x, {.size = {2}, .align_corners = true}), invalid_argument,
               "align_corners");
  EXPECT_ERROR(interpolate(x, {.size = {2}, .antialias = true}), invalid_argument, "antialias");
  for (const char* mode : {"bilinear", "bicubic"})
    EXPECT_ERROR(
        interpolate(x, {.size = {2}, .mode = mode, .align_corners = true, .antialias = true}),
        unsupported, "interpolate: expected antialias or align_corners, got both");
  EXPECT_ERROR(interpolate(x, {}), invalid_argument, "one of size and scale");
  EXPECT_ERROR(interpolate(x, {.size = {2}, .scale = {2}}), invalid_argument, "one of size");
  EXPECT_ERROR(interpolate(x, {.size = {2, 2, 2}}), invalid_argument, "1 number or 2");
  EXPECT_ERROR(interpolate(x, {.size = {0}}), invalid_argument, "at least 1", "[0]");
  EXPECT_ERROR(interpolate(Tensor(), {.size = {2}}), shape_mismatch, "undefined");
}

TEST(DepthSpace, BadInput) {
  const Tensor x = Tensor::zeros({1, 4, 3, 4});
  EXPECT_ERROR(pixel_shuffle(x, 3), shape_mismatch, "depth_to_space", "multiples of 9");
  EXPECT_ERROR(pixel_unshuffle(x, 2), shape_mismatch, "space_to_depth", "multiples of 2");
  EXPECT_ERROR(depth_to_space(x, {.block = 0}), invalid_argument, "block of 1", "got 0");
  EXPECT_ERROR(space_to_depth(x, {.block = 1, .order = "RCD"}), invalid_argument, "'RCD'");
  EXPECT_ERROR(pixel_shuffle(Tensor::zeros({4, 3, 4}), 2), shape_mismatch, "[N, C, H, W]");
}

TEST(Unfold, BadInput) {
  const Tensor x = Tensor::zeros({1, 2, 3, 4});
  EXPECT_ERROR(unfold(x, {.kernel = {4, 1}}), shape_mismatch, "unfold", "height 4", "over 3");
  EXPECT_ERROR(unfold(x, {.kernel = {1, 3}, .dilation = {1, 2}}), shape_mismatch, "width 3");
  EXPECT_ERROR(unfold(x, {.kernel = {0, 1}}), invalid_argument, "unfold", "[0, 1]");
  EXPECT_ERROR(unfold(x, {.stride = {1, 0}}), invalid_argument, "unfold");
  EXPECT_ERROR(unfold(x, {.padding = {-1, 0}}), invalid_argument, "padding", "[-1, 0]");
  EXPECT_ERROR(unfold(x, {.kernel = {std::int64_t{1} << 40, 1}}), invalid_argument, "2^31");
  EXPECT_ERROR(unfold(Tensor::zeros({2, 3, 4}), {}), shape_mismatch, "[N, C, H, W]");
  EXPECT_ERROR(fold(Tensor::zeros({1, 4, 5}), {.output = {3, 3}, .kernel = {2, 2}}), shape_mismatch,
               "fold: expected x [N, C * 4, 4]", "[1, 4, 5]");
  EXPECT_ERROR(fold(Tensor::zeros({1, 5, 4}), {.output = {3, 3}, .kernel = {2, 2}}), shape_mismatch,
               "fold");
  EXPECT_ERROR(fold(Tensor::zeros({1, 4, 4}), {.output = {0, 3}, .kernel = {2, 2}}),
               invalid_argument, "1 by 1 or more");
  EXPECT_ERROR(fold(Tensor::zeros({1, 4, 4}, DType::i32), {.output = {3, 3}, .kernel = {2, 2}}),
               dtype_mismatch, "fold");
}

}  // namespace
}  // namespace pare
