// Random transforms through the Loader: what they draw, sizes, one result for any number of
// workers.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "expect_error.h"
#include "pare/data/image_functions.h"
#include "pare/data/loader.h"

namespace pare::data {
namespace {

using test::expect_error;

// Pictures of different sizes, of which every pixel is different from 0.
class Album : public Dataset {
 public:
  explicit Album(std::int64_t count, DType dtype = DType::u8) : count_(count), dtype_(dtype) {}
  std::int64_t size() const override { return count_; }
  Example get(std::int64_t index) const override {
    const std::int64_t height = 8 + index % 5, width = 9 + index % 3;
    std::vector<std::uint8_t> pixels;
    for (std::int64_t i = 0; i < 3 * height * width; ++i) {
      pixels.push_back(static_cast<std::uint8_t>(1 + (i * 37 + index * 101) % 255));
    }
    return {Tensor::from(pixels, {3, height, width}).to(dtype_),
            Tensor::scalar(static_cast<double>(index), DType::i64)};
  }

 private:
  std::int64_t count_;
  DType dtype_;
};

std::vector<float> first_of(const Transforms& transforms, std::uint64_t seed,
                            const Dataset& = Album(1)) {
  Loader loader(Album(1), {.transforms = transforms, .workers = 0, .seed = seed});
  return loader.begin()->x.to_vector<float>();
}

TEST(AugmentTest, AnyNumberOfWorkersGivesTheSameBatches) {
  const Transforms transforms{
      RandomResizedCrop{.height = 6, .width = 5},
      ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1},
      Grayscale{.channels = 3, .probability = 0.2},
      RandomErasing{},
      Cutout{.size = 2},
      Custom([](const Tensor& x, Generator& g) {
        Tensor y = x.clone();
        y.mutable_data<std::uint8_t>()[0] = static_cast<std::uint8_t>(g.below(256));
        return y;
      }),
      RandomHorizontalFlip{},
      RandomCrop{.padding = 1},
      Normalize{}};
  for (const std::optional<Mix>& mix :
       {std::optional<Mix>(), std::optional<Mix>(MixUp{.classes = 40}),
        std::optional<Mix>(CutMix{.classes = 40})}) {
    std::vector<std::vector<float>> expected;
    for (const int workers : {0, 1, 2, 5}) {
      Loader loader(Album(40), {.batch_size = 3,
                                .transforms = transforms,
                                .workers = workers,
                                .prefetch = 3,
                                .seed = 9,
                                .sampler = RandomSampler{.samples = 50, .replacement = true},
                                .mix = mix});
      EXPECT_EQ(loader.size(), 50);
      std::vector<std::vector<float>> got;
      for (int epoch = 0; epoch < 2; ++epoch) {
        for (const auto& [x, y] : loader) {
          EXPECT_EQ(x.dim(2), 6);
          got.push_back(x.to_vector<float>());
          got.push_back(y.to(DType::f32).to_vector<float>());
        }
      }
      EXPECT_EQ(got.size(), 68U);
      if (expected.empty()) expected = got;
      EXPECT_TRUE(got == expected) << workers << " workers";
      EXPECT_NE(got[0], got[34]);
    }
  }
}

TEST(AugmentTest, PicturesOfDifferentSizesMakeABatch) {
  for (const DType dtype : {DType::u8, DType::f32}) {
    Loader loader(Album(7, dtype),
                  {.batch_size = 7, .transforms = {Resize{.height = 4, .width = 6}}});
    const Tensor x = loader.begin()->x;
    EXPECT_EQ(x.shape(), Shape({7, 3, 4, 6}));
    const Tensor third = resize(Album(7, dtype).get(3).input, {.height = 4, .width = 6});
    const auto all = x.to_vector<float>();
    EXPECT_EQ(std::vector<float>(all.begin() + 3 * 72, all.begin() + 4 * 72),
              third.to(DType::f32).to_vector<float>());
  }
  // Windows of one size, too, without a step before them.
  Loader middle(Album(7), {.batch_size = 7, .transforms = {CenterCrop{.height = 8, .width = 9}}});
  EXPECT_EQ(middle.begin()->x.shape(), Shape({7, 3, 8, 9}));
  expect_error(ErrorCode::shape_mismatch, {"example 1", "[3, 8, 9]", "[3, 9, 10]"}, [] {
    Loader loader(Album(7), {.batch_size = 7, .transforms = {RandomHorizontalFlip{}}});
    loader.begin();
  });
}

TEST(AugmentTest, ResizeKeepsTheShapeWhereOneSideIsGiven) {
  const Tensor x = Loader(Album(1), {.transforms = {Resize{.size = 4}}}).example();
  EXPECT_EQ(x.shape(), Shape({1, 3, 4, 4}));  // of 8 by 9: 4 · 9 / 8 rounded down
  const Tensor wide =
      Loader(Album(5), {.batch_size = 1, .transforms = {Resize{.size = 18}}}).example();
  EXPECT_EQ(wide.shape(), Shape({1, 3, 18, 20}));
}

TEST(AugmentTest, CenterCropCutsOrFrames) {
  const Tensor picture = Album(1).get(0).input;  // 8 by 9
  const auto raw = picture.to_vector<std::uint8_t>();
  const auto cut =
      Loader(Album(1), {.transforms = {CenterCrop{.height = 3, .width = 4}}}).example();
  // round(5 / 2) is 2, and round(5 / 2) is 2: halves go to the even number.
  EXPECT_EQ(cut.to_vector<float>()[0], raw[2 * 9 + 2]);
  const auto three = Loader(Album(1), {.transforms = {CenterCrop{.height = 5, .width = 6}}});
  EXPECT_EQ(three.example().to_vector<float>()[0], raw[2 * 9 + 2]);  // round(3 / 2) is 2
  const auto framed = Loader(Album(1), {.transforms = {CenterCrop{.height = 11}}}).example();
  ASSERT_EQ(framed.shape(), Shape({1, 3, 11, 11}));
  const auto values = framed.to_vector<float>();
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(values[1 * 11 + 1], raw[0]);
  EXPECT_EQ(values[2 * 11 + 10], 0);
}

TEST(AugmentTest, ResizedCropsAreWindowsOfTheirScaleAndRatio) {
  // A picture whose pixels say where they lie: x in channel 0, y in channel 1.
  class Map : public Dataset {
   public:
    std::int64_t size() const override { return 1; }
    Example get(std::int64_t) const override {
      Tensor x = Tensor::zeros({2, 40, 60});
      float* p = x.mutable_data<float>();
      for (int i = 0; i < 40 * 60; ++i) {
        p[i] = static_cast<float>(i % 60) + 0.5F, p[2400 + i] = static_cast<float>(i / 60) + 0.5F;
      }
      return {x, {}};
    }
  };
  Loader loader(
      Map(), {.transforms = {RandomResizedCrop{.height = 10, .scale = {0.2, 0.5}}}, .workers = 0});
  std::set<int> places;
  for (int epoch = 0; epoch < 200; ++epoch) {
    const auto batch = loader.begin();
    ASSERT_EQ(batch->x.shape(), Shape({1, 2, 10, 10}));
    const auto v = batch->x.to_vector<float>();
    // The middle columns and rows are not bent by the edges.
    const double width = (v[6] - v[3]) / 3 * 10, height = (v[160] - v[130]) / 3 * 10;
    EXPECT_GT(width * height, 0.2 * 2400 * 0.9);
    EXPECT_LT(width * height, 0.5 * 2400 * 1.1);
    EXPECT_GT(width / height, 0.75 * 0.9);
    EXPECT_LT(width / height, 4.0 / 3 * 1.1);
    places.insert(static_cast<int>(v[4]) / 6 * 100 + static_cast<int>(v[140]) / 6);
  }
  EXPECT_GT(places.size(), 12U);
  // Where chance is out of the game, and where no window fits: the middle.
  const auto middle = Loader(Map(), {.transforms = {RandomResizedCrop{.height = 10}}}).example();
  const auto v = middle.to_vector<float>();
  EXPECT_NEAR((v[5] + v[4]) / 2, 30, 0.6);
  Loader huge(Map(), {.transforms = {RandomResizedCrop{.height = 10, .scale = {9, 9}}}});
  EXPECT_EQ(huge.begin()->x.to_vector<float>(), v);
}

TEST(AugmentTest, JitterStaysWithinItsFactors) {
  const auto raw = Album(1).get(0).input.to_vector<std::uint8_t>();
  double low = 9, high = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto got = first_of({ColorJitter{.brightness = 0.3}}, seed);
    const double factor = got[5] / raw[5];
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], std::min(255.0, factor * raw[i]), 2.0 + 2.0 * raw[i] / raw[5]);
    }
    low = std::min(low, factor), high = std::max(high, factor);
  }
  EXPECT_GE(low, 0.68);
  EXPECT_LE(high, 1.3);
  EXPECT_LT(low, 0.8);
  EXPECT_GT(high, 1.2);
  EXPECT_EQ(first_of({ColorJitter{}}, 3), std::vector<float>(raw.begin(), raw.end()));
  // The order of the four differs, and with it the result.
  std::set<std::vector<float>> results;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    results.insert(first_of({ColorJitter{.contrast = 0.5, .saturation = 0.5, .hue = 0.5}}, seed));
  }
  EXPECT_EQ(results.size(), 20U);
}

TEST(AugmentTest, ErasingWritesRectangles) {
  const auto raw = Album(1).get(0).input.to_vector<std::uint8_t>();
  int erased = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto got = first_of({RandomErasing{.scale = {0.1, 0.3}, .value = {0, 300, 2.5}}}, seed);
    int count = 0, top = 99, bottom = -1, left = 99, right = -1;
    for (int i = 0; i < 72; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (got[at] == raw[at]) continue;
      EXPECT_EQ(got[at], 0);
      EXPECT_EQ(got[72 + at], 255);  // clamped
      EXPECT_EQ(got[144 + at], 2);   // half to even
      ++count;
      top = std::min(top, i / 9), bottom = std::max(bottom, i / 9);
      left = std::min(left, i % 9), right = std::max(right, i % 9);
    }
    if (count == 0) continue;
    ++erased;
    EXPECT_EQ(count, (bottom - top + 1) * (right - left + 1));
    EXPECT_GE(count, 3);
    EXPECT_LE(count, 30);
  }
  EXPECT_NEAR(erased, 50, 20);
}

TEST(AugmentTest, CutoutIsASquareCutAtTheEdges) {
  const auto raw = Album(1).get(0).input.to_vector<std::uint8_t>();
  std::set<int> counts;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto got = first_of({Cutout{.size = 4}}, seed);
    int count = 0;
    for (std::size_t i = 0; i < raw.size(); ++i) count += got[i] != raw[i] ? 1 : 0;
    EXPECT_EQ(count % 3, 0);
    counts.insert(count / 3);
  }
  EXPECT_EQ(*counts.rbegin(), 16);
  EXPECT_LT(*counts.begin(), 12);
  EXPECT_GE(*counts.begin(), 4);
}

TEST(AugmentTest, MovesMayStandBeforeOtherSteps) {
  const Tensor picture = Album(1).get(0).input;
  const auto got = first_of({RandomHorizontalFlip{.probability = 1}, Resize{.size = 5},
                             RandomHorizontalFlip{.probability = 1}},
                            0);
  const Tensor expected = hflip(resize(hflip(picture), {.height = 5, .width = 5}));
  EXPECT_EQ(got, expected.to(DType::f32).to_vector<float>());
}

TEST(AugmentTest, CustomStepsTakeAnything) {
  const TensorDataset tokens(Tensor::from(std::vector<std::int64_t>{1, 2, 3, 4}, {2, 2}));
  const Custom shift = [](const Tensor& x, Generator&) {
    Tensor y = x.clone();
    y.mutable_data<std::int64_t>()[0] += 10;
    return y;
  };
  Loader loader(tokens, {.batch_size = 2, .transforms = {shift}});
  EXPECT_EQ(loader.begin()->x.to_vector<std::int64_t>(), (std::vector<std::int64_t>{11, 2, 13, 4}));
  Loader padded(tokens, {.batch_size = 2,
                         .transforms = {Custom([](const Tensor&, Generator& g) {
                           return Tensor::zeros({1 + static_cast<std::int64_t>(g.below(4))});
                         })},
                         .pad = Pad{.length = 4}});
  const auto batch = padded.begin();
  EXPECT_EQ(batch->x.shape(), Shape({2, 4}));
  EXPECT_TRUE(batch->lengths.defined());
  expect_error(ErrorCode::invalid_argument, {"data::Custom", "a tensor"}, [&] {
    Loader none(tokens,
                {.transforms = {Custom([](const Tensor&, Generator&) { return Tensor(); })}});
    none.begin();
  });
}

TEST(AugmentTest, MistakesAreNamed) {
  const auto expect = [](const Transform& transform, std::initializer_list<std::string> words) {
    expect_error(ErrorCode::invalid_argument, words,
                 [&] { Loader(Album(1), {.transforms = {transform}}); });
  };
  expect(CenterCrop{}, {"CenterCrop", "height above 0"});
  expect(Resize{}, {"Resize", "size 0"});
  expect(Resize{.size = 3, .height = 4, .width = 4}, {"Resize", "height 4"});
  expect(RandomResizedCrop{}, {"RandomResizedCrop", "height above 0"});
  expect(RandomResizedCrop{.height = 4, .scale = {0, 1}}, {"scale", "0 and 1"});
  expect(RandomResizedCrop{.height = 4, .ratio = {2, 1}}, {"ratio", "2 and 1"});
  expect(RandomResizedCrop{.height = 4, .ratio = {1, NAN}}, {"ratio", "nan"});
  expect(ColorJitter{.contrast = -1}, {"ColorJitter", "-1"});
  expect(ColorJitter{.hue = 0.7}, {"hue", "0.7"});
  expect(Grayscale{.channels = 2}, {"Grayscale", "got 2"});
  expect(Grayscale{.probability = 2}, {"probability", "got 2"});
  expect(RandomErasing{.probability = -1}, {"RandomErasing", "-1"});
  expect(RandomErasing{.scale = {0.5, 2}}, {"scale", "0.5 and 2"});
  expect(RandomErasing{.value = {}}, {"values"});
  expect(Cutout{}, {"Cutout", "size above 0"});
  expect(Cutout{.size = 1, .value = {INFINITY}}, {"values", "inf"});
  expect(Custom(), {"Custom", "a function"});
  const auto run = [](const Transform& transform) {
    return [transform] {
      Loader loader(Album(1), {.transforms = {transform}});
      loader.begin();
    };
  };
  expect_error(ErrorCode::shape_mismatch, {"one value, or 3", "got 2"},
               run(Cutout{.size = 1, .value = {1, 2}}));
  expect_error(ErrorCode::shape_mismatch, {"Grayscale", "1 channels"},
               run(Grayscale{.probability = 0}));
  expect_error(ErrorCode::dtype_mismatch, {"Resize", "i32"}, [] {
    Loader loader(Album(1, DType::i32), {.transforms = {Resize{.size = 3}}});
    loader.begin();
  });
}

}  // namespace
}  // namespace pare::data
