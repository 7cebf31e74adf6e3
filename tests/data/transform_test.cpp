// Transforms against plain loops: crop, mirroring, normalization, their limits.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/data/loader.h"

namespace pare::data {
namespace {

using test::expect_error;

// Picture n holds n·100 + c·50 + y·7 + x.
TensorDataset pictures(std::int64_t count, std::int64_t channels = 3, std::int64_t side = 6) {
  std::vector<std::uint8_t> values;
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t y = 0; y < side; ++y) {
        for (std::int64_t x = 0; x < side; ++x) {
          values.push_back(static_cast<std::uint8_t>(n * 100 + c * 50 + y * 7 + x + 1));
        }
      }
    }
  }
  return TensorDataset(Tensor::from(values, {count, channels, side, side}));
}

Tensor first_batch(Loader loader) {
  const auto batch = loader.begin();
  return batch->x;
}

// The picture, framed by `padding` zeros, as a function of row and column.
float framed(const std::vector<float>& picture, std::int64_t side, std::int64_t c, std::int64_t y,
             std::int64_t x) {
  if (y < 0 || x < 0 || y >= side || x >= side) return 0;
  return picture[static_cast<std::size_t>((c * side + y) * side + x)];
}

TEST(TransformTest, BytesBecomeFloatsUnchanged) {
  const TensorDataset set = pictures(2);
  for (const auto format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor x = first_batch(Loader(set, {.batch_size = 2, .format = format}));
    EXPECT_EQ(x.dtype(), DType::f32);
    EXPECT_EQ(x.format(), format);
    EXPECT_EQ(x.shape(), Shape({2, 3, 6, 6}));
    EXPECT_EQ(x.to_vector<float>(), set.inputs().to(DType::f32).to_vector<float>());
  }
}

TEST(TransformTest, NormalizesPerChannel) {
  const TensorDataset set = pictures(2);
  const Normalize normalize{.mean = {0.4, 0.5, 0.6}, .deviation = {0.2, 0.25, 0.3}};
  const auto x = first_batch(Loader(set, {.batch_size = 2, .transforms = {normalize}}));
  const auto got = x.to_vector<float>();
  const auto raw = set.inputs().to_vector<std::uint8_t>();
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::size_t c = i / 36 % 3;
    const double expected = (raw[i] / 255.0 - normalize.mean[c]) / normalize.deviation[c];
    EXPECT_FLOAT_EQ(got[i], static_cast<float>(expected));
  }
}

TEST(TransformTest, NormalizesFloatsAndRowsOfFeatures) {
  const TensorDataset set(Tensor::from({1, 20, 3, 40}, {2, 2}));
  const Normalize each{.mean = {2, 30}, .deviation = {1, 10}};
  const Normalize all{.mean = {1}, .deviation = {2}, .scale = 3};
  EXPECT_EQ(first_batch(Loader(set, {.batch_size = 2, .transforms = {each}})).to_vector<float>(),
            (std::vector<float>{-1, -1, 1, 1}));
  EXPECT_EQ(first_batch(Loader(set, {.batch_size = 2, .transforms = {all}})).to_vector<float>(),
            (std::vector<float>{1, 29.5F, 4, 59.5F}));
}

TEST(TransformTest, EveryCropIsAWindowOfTheFramedPictureAndAllWindowsCome) {
  const TensorDataset set = pictures(1, 2, 6);
  const auto picture = set.inputs().to(DType::f32).to_vector<float>();
  constexpr std::int64_t kSide = 6, kPadding = 2, kSize = 5;
  std::vector<int> seen(36, 0);
  Loader loader(set,
                {.transforms = {RandomCrop{.size = kSize, .padding = kPadding}}, .workers = 0});
  for (int epoch = 0; epoch < 600; ++epoch) {
    const auto batch = loader.begin();
    ASSERT_EQ(batch->x.shape(), Shape({1, 2, kSize, kSize}));
    const auto got = batch->x.to_vector<float>();
    int matches = 0;
    for (std::int64_t top = 0; top <= kSide + 2 * kPadding - kSize; ++top) {
      for (std::int64_t left = 0; left <= kSide + 2 * kPadding - kSize; ++left) {
        bool same = true;
        for (std::int64_t i = 0; i < 2 * kSize * kSize; ++i) {
          const std::int64_t y = i / kSize % kSize + top - kPadding,
                             x = i % kSize + left - kPadding;
          same = same && got[static_cast<std::size_t>(i)] ==
                             framed(picture, kSide, i / (kSize * kSize), y, x);
        }
        if (same) ++matches, ++seen[static_cast<std::size_t>(top * 6 + left)];
      }
    }
    EXPECT_EQ(matches, 1);
  }
  for (const int count : seen) EXPECT_GT(count, 2);
}

TEST(TransformTest, HalfOfThePicturesAreMirrored) {
  const TensorDataset set = pictures(1, 2, 5);
  const auto picture = set.inputs().to(DType::f32).to_vector<float>();
  Loader loader(set, {.transforms = {RandomHorizontalFlip{}}, .workers = 0});
  int mirrored = 0;
  for (int epoch = 0; epoch < 400; ++epoch) {
    const auto got = loader.begin()->x.to_vector<float>();
    const bool flipped = got[0] != picture[0];
    if (flipped) ++mirrored;
    for (std::int64_t i = 0; i < 50; ++i) {
      const std::int64_t c = i / 25, y = i / 5 % 5, x = flipped ? 4 - i % 5 : i % 5;
      ASSERT_EQ(got[static_cast<std::size_t>(i)], framed(picture, 5, c, y, x));
    }
  }
  EXPECT_NEAR(mirrored, 200, 40);
}

TEST(TransformTest, PaddingIsTheNormalizedZeroAndCropsCompose) {
  const TensorDataset set = pictures(1, 1, 4);
  const auto picture = set.inputs().to(DType::f32).to_vector<float>();
  // A window that just holds the frame, mirrored, then its middle: everything is certain.
  Loader loader(set, {.transforms = {RandomCrop{.size = 8, .padding = 2},
                                     RandomHorizontalFlip{.probability = 1}, RandomCrop{.size = 8},
                                     Normalize{.mean = {1}, .scale = 2}}});
  const auto got = loader.begin()->x.to_vector<float>();
  for (std::int64_t y = 0; y < 8; ++y) {
    for (std::int64_t x = 0; x < 8; ++x) {
      EXPECT_EQ(got[static_cast<std::size_t>(y * 8 + x)],
                framed(picture, 4, 0, y - 2, 7 - x - 2) * 2 - 1);
    }
  }
}

TEST(TransformTest, WhatACropCutOffDoesNotComeBackAsPadding) {
  const TensorDataset set = pictures(1, 1, 6);
  // First the middle 2×2 through example(), then a frame of 1 around it.
  const Loader loader(set,
                      {.transforms = {RandomCrop{.size = 2}, RandomCrop{.size = 4, .padding = 1}}});
  const auto got = loader.example().to_vector<float>();
  const auto picture = set.inputs().to(DType::f32).to_vector<float>();
  for (std::int64_t y = 0; y < 4; ++y) {
    for (std::int64_t x = 0; x < 4; ++x) {
      const bool inside = y >= 1 && y < 3 && x >= 1 && x < 3;
      EXPECT_EQ(got[static_cast<std::size_t>(y * 4 + x)],
                inside ? framed(picture, 6, 0, y + 1, x + 1) : 0.0F);
    }
  }
}

TEST(TransformTest, OtherTypesAreCopied) {
  const TensorDataset tokens(Tensor::from(std::vector<std::int64_t>{1, 2, 3, 4}, {2, 2}));
  const Tensor x = first_batch(Loader(tokens, {.batch_size = 2}));
  EXPECT_EQ(x.dtype(), DType::i64);
  EXPECT_EQ(x.to_vector<std::int64_t>(), (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST(TransformTest, MistakesAreNamed) {
  const TensorDataset set = pictures(1);
  const TensorDataset rows(Tensor::from({1, 2}, {1, 2}));
  const auto make = [&](Transforms transforms) {
    first_batch(Loader(set, {.transforms = transforms}));
  };
  expect_error(ErrorCode::invalid_argument, {"Normalize as the last"}, [&] {
    make({Normalize{}, RandomCrop{}});
  });
  expect_error(ErrorCode::invalid_argument, {"deviations above 0"},
               [&] { make({Normalize{.deviation = {0}}}); });
  expect_error(ErrorCode::invalid_argument, {"mean"}, [&] { make({Normalize{.mean = {}}}); });
  expect_error(ErrorCode::shape_mismatch, {"Normalize", "3", "got 2"}, [&] {
    make({Normalize{.mean = {1, 2}}});
  });
  expect_error(ErrorCode::invalid_argument, {"padding", "-1"},
               [&] { make({RandomCrop{.padding = -1}}); });
  expect_error(ErrorCode::shape_mismatch, {"RandomCrop", "at least 20", "got 8"},
               [&] { make({RandomCrop{.size = 20, .padding = 1}}); });
  expect_error(ErrorCode::invalid_argument, {"probability", "1.5"},
               [&] { make({RandomHorizontalFlip{.probability = 1.5}}); });
  expect_error(ErrorCode::shape_mismatch, {"pictures", "[2]"},
               [&] { first_batch(Loader(rows, {.transforms = {RandomHorizontalFlip{}}})); });
}

}  // namespace
}  // namespace pare::data
