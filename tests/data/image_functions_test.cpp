// Functions on pictures against torchvision's values.
#include "pare/data/image_functions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/golden_transform.h"
#include "expect_error.h"

namespace pare::data {
namespace {

Tensor golden_picture(bool bytes) {
  const Tensor picture = Tensor::from(golden::picture(), {3, 9, 7});
  if (bytes) return picture;
  std::vector<float> values;
  for (const std::uint8_t v : golden::picture()) values.push_back(static_cast<float>(v) / 255.0F);
  return Tensor::from(values, {3, 9, 7});
}

Tensor run(const golden::TransformCase& c, const Tensor& x) {
  const std::vector<double>& a = c.arguments;
  const auto whole = [&](std::size_t i) { return static_cast<std::int64_t>(a[i]); };
  if (c.name == "resize") {
    return resize(x, {.height = whole(0), .width = whole(1), .antialias = a[2] != 0});
  }
  if (c.name == "resized_crop") {
    return resized_crop(x, {whole(0), whole(1), whole(2), whole(3)},
                        {.height = whole(4), .width = whole(5)});
  }
  if (c.name == "brightness") return adjust_brightness(x, a[0]);
  if (c.name == "contrast") return adjust_contrast(x, a[0]);
  if (c.name == "saturation") return adjust_saturation(x, a[0]);
  if (c.name == "hue") return adjust_hue(x, a[0]);
  if (c.name == "grayscale") return grayscale(x);
  throw std::runtime_error("no function for " + c.name);
}

TEST(ImageFunctionsTest, AreTorchvisions) {
  int off_by_one = 0;
  std::size_t bytes = 0;
  for (const golden::TransformCase& c : golden::transforms()) {
    SCOPED_TRACE(c.name + " " + (c.arguments.empty() ? "" : std::to_string(c.arguments[0])) +
                 (c.bytes ? " u8" : " f32"));
    const Tensor x = golden_picture(c.bytes);
    for (const Tensor& input : {x, x.to(MemoryFormat::channels_last)}) {
      const Tensor y = run(c, input);
      ASSERT_EQ(y.shape(), Shape({c.shape[0], c.shape[1], c.shape[2]}));
      ASSERT_EQ(y.dtype(), x.dtype());
      const std::vector<float> got = y.to(DType::f32).to_vector<float>();
      for (std::size_t i = 0; i < got.size(); ++i) {
        if (c.bytes) {
          // One where a value lies on the border between two bytes.
          ASSERT_NEAR(got[i], c.values[i], 1) << i;
          off_by_one += got[i] != c.values[i] ? 1 : 0;
        } else {
          ASSERT_NEAR(got[i], c.values[i], 3e-6) << i;
        }
      }
      bytes += c.bytes ? got.size() : 0;
    }
  }
  EXPECT_LT(off_by_one, static_cast<int>(bytes / 100));
}

TEST(ImageFunctionsTest, AveragesWhatASmallPixelCovers) {
  // Halving without aliasing is a triangle over four pixels; without antialias two are seen.
  const Tensor ramp = Tensor::from({0, 8, 16, 24, 32, 40, 48, 56}, {1, 1, 8});
  const auto halved = resize(ramp, {.height = 1, .width = 4}).to_vector<float>();
  EXPECT_NEAR(halved[1], (8 + 3 * 16 + 3 * 24 + 32) / 8.0, 1e-5);
  const auto sharp = resize(ramp, {.height = 1, .width = 4, .antialias = false});
  EXPECT_EQ(sharp.to_vector<float>(), (std::vector<float>{4, 20, 36, 52}));
}

TEST(ImageFunctionsTest, CropsAndMirrors) {
  for (const bool bytes : {true, false}) {
    const Tensor x = golden_picture(bytes);
    const auto all = x.to(DType::f32).to_vector<float>();
    const Tensor window = crop(x, {.top = 2, .left = 1, .height = 4, .width = 5});
    ASSERT_EQ(window.shape(), Shape({3, 4, 5}));
    const auto cut = window.to(DType::f32).to_vector<float>();
    const auto mirrored = hflip(x).to(DType::f32).to_vector<float>();
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t y = 0; y < 4; ++y) {
        for (std::size_t v = 0; v < 5; ++v) {
          EXPECT_EQ(cut[(c * 4 + y) * 5 + v], all[(c * 9 + y + 2) * 7 + v + 1]);
          EXPECT_EQ(mirrored[(c * 9 + y) * 7 + v], all[(c * 9 + y) * 7 + 6 - v]);
        }
      }
    }
  }
}

TEST(ImageFunctionsTest, OneChannelIsGreyAlready) {
  const Tensor grey = grayscale(golden_picture(true));
  EXPECT_EQ(adjust_saturation(grey, 0.2).to_vector<std::uint8_t>(), grey.to_vector<std::uint8_t>());
  EXPECT_EQ(adjust_hue(grey, 0.2).to_vector<std::uint8_t>(), grey.to_vector<std::uint8_t>());
  EXPECT_EQ(grayscale(grey).to_vector<std::uint8_t>(), grey.to_vector<std::uint8_t>());
  const Tensor three = grayscale(grey, 3);
  EXPECT_EQ(three.shape(), Shape({3, 9, 7}));
  EXPECT_EQ(three.to_vector<std::uint8_t>()[130], grey.to_vector<std::uint8_t>()[4]);
}

TEST(ImageFunctionsTest, MistakesAreNamed) {
  const Tensor x = golden_picture(true);
  EXPECT_ERROR(resize(Tensor(), {.height = 1, .width = 1}), shape_mismatch, "[C, H, W]", "none");
  EXPECT_ERROR(resize(Tensor::zeros({3, 4}), {.height = 1, .width = 1}), shape_mismatch, "[3, 4]");
  EXPECT_ERROR(resize(Tensor::zeros({3, 0, 4}), {.height = 1, .width = 1}), shape_mismatch,
               "[3, 0, 4]");
  EXPECT_ERROR(resize(x.to(DType::i32), {.height = 1, .width = 1}), dtype_mismatch, "i32");
  EXPECT_ERROR(resize(x, {.height = 0, .width = 1}), invalid_argument, "0 and 1");
  EXPECT_ERROR(resize(x, {.height = 1, .width = 1 << 25}), invalid_argument, "2^24");
  EXPECT_ERROR(crop(x, {.top = 6, .left = 0, .height = 4, .width = 1}), invalid_argument, "inside",
               "4 by 1 at 6, 0");
  EXPECT_ERROR(crop(x, {.top = 0, .left = -1, .height = 4, .width = 1}), invalid_argument,
               "inside");
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_ERROR(crop(x, {.top = most, .left = 0, .height = most, .width = 1}), invalid_argument,
               "inside");
  EXPECT_ERROR(adjust_brightness(x, -1), invalid_argument, "factor", "-1");
  EXPECT_ERROR(adjust_contrast(x, NAN), invalid_argument, "factor", "nan");
  EXPECT_ERROR(adjust_saturation(x, -0.5), invalid_argument, "factor");
  EXPECT_ERROR(adjust_hue(x, 0.6), invalid_argument, "0.6");
  EXPECT_ERROR(adjust_hue(Tensor::zeros({2, 3, 3}), 0.1), shape_mismatch, "1 or 3 channels");
  EXPECT_ERROR(grayscale(x, 2), invalid_argument, "1 or 3", "got 2");
}

}  // namespace
}  // namespace pare::data
