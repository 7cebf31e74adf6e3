// Loader: order, determinism for any number of workers, errors from workers, early ends.
#include "pare/data/loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "expect_error.h"

namespace pare::data {
namespace {

using test::expect_error;

TensorDataset numbered(std::int64_t count) {
  std::vector<std::int64_t> labels;
  std::vector<std::uint8_t> pixels;
  for (std::int64_t i = 0; i < count; ++i) {
    labels.push_back(i);
    for (int k = 0; k < 2 * 8 * 8; ++k) pixels.push_back(static_cast<std::uint8_t>(i * 31 + k));
  }
  return TensorDataset(Tensor::from(pixels, {count, 2, 8, 8}), Tensor::from(labels, {count}));
}

std::vector<std::int64_t> labels_of_epoch(Loader& loader) {
  std::vector<std::int64_t> all;
  for (const auto& [x, y] : loader) {
    for (const std::int64_t label : y.to_vector<std::int64_t>()) all.push_back(label);
  }
  return all;
}

TEST(LoaderTest, GivesEveryExampleOnceAndInOrder) {
  Loader loader(numbered(10), {.batch_size = 4});
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_EQ(loader.size(), 10);
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> all;
  for (const auto& [x, y] : loader) {
    sizes.push_back(x.dim(0));
    EXPECT_EQ(y.shape(), Shape({x.dim(0)}));
    for (const std::int64_t label : y.to_vector<std::int64_t>()) all.push_back(label);
  }
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{4, 4, 2}));
  EXPECT_EQ(all, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(LoaderTest, DropsAnIncompleteLastBatch) {
  Loader loader(numbered(10), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(loader.batches(), 2);
  EXPECT_EQ(labels_of_epoch(loader).size(), 8U);
  Loader even(numbered(8), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(even.batches(), 2);
}

TEST(LoaderTest, ASetSmallerThanABatchIsDroppedWholeOrGivenWhole) {
  Loader dropping(numbered(3), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(dropping.batches(), 0);
  EXPECT_TRUE(labels_of_epoch(dropping).empty());
  Loader keeping(numbered(3), {.batch_size = 4});
  EXPECT_EQ(keeping.batches(), 1);
  EXPECT_EQ(labels_of_epoch(keeping), (std::vector<std::int64_t>{0, 1, 2}));
}

// Examples of packed four-bit numbers, of which rows need not begin at a byte.
struct Packed : Dataset {
  std::int64_t size() const override { return 3; }
  Example get(std::int64_t) const override { return {Tensor::empty({3}, DType::i4), {}}; }
};

TEST(LoaderTest, PackedTypesAreRefused) {
  Loader loader(Packed(), {.batch_size = 2});
  expect_error(ErrorCode::dtype_mismatch, {"data::Loader", "whole bytes", "i4"},
               [&] { labels_of_epoch(loader); });
}

TEST(LoaderTest, ShufflesAnewEveryEpochAndRepeatsWithTheSeed) {
  Loader a(numbered(50), {.batch_size = 7, .shuffle = true, .seed = 3});
  Loader b(numbered(50), {.batch_size = 7, .shuffle = true, .seed = 3});
  Loader c(numbered(50), {.batch_size = 7, .shuffle = true, .seed = 4});
  const auto first = labels_of_epoch(a);
  const auto second = labels_of_epoch(a);
  EXPECT_EQ(std::set<std::int64_t>(first.begin(), first.end()).size(), 50U);
  EXPECT_NE(first, second);
  EXPECT_EQ(labels_of_epoch(b), first);
  EXPECT_NE(labels_of_epoch(c), first);
  b.set_epoch(1);
  EXPECT_EQ(labels_of_epoch(b), second);
}

TEST(LoaderTest, AnyNumberOfWorkersGivesTheSameBatches) {
  const Transforms transforms{RandomCrop{.padding = 2}, RandomHorizontalFlip{}, Normalize{}};
  std::vector<std::vector<float>> expected;
  for (const int workers : {0, 1, 2, 5}) {
    Loader loader(numbered(40), {.batch_size = 3,
                                 .shuffle = true,
                                 .transforms = transforms,
                                 .workers = workers,
                                 .prefetch = 3,
                                 .seed = 9});
    std::vector<std::vector<float>> got;
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (const auto& [x, y] : loader) got.push_back(x.to_vector<float>());
    }
    if (expected.empty()) expected = got;
    EXPECT_EQ(got, expected) << workers << " workers";
  }
}

TEST(LoaderTest, ASampleIsDrawnAlikeWhateverTheBatchSize) {
  const Transforms transforms{RandomCrop{.padding = 2}, RandomHorizontalFlip{}};
  Loader one(numbered(12), {.batch_size = 1, .transforms = transforms, .seed = 1});
  Loader all(numbered(12), {.batch_size = 12, .transforms = transforms, .seed = 1});
  std::vector<float> singles;
  for (const auto& [x, y] : one) {
    for (const float v : x.to_vector<float>()) singles.push_back(v);
  }
  EXPECT_EQ(all.begin()->x.to_vector<float>(), singles);
}

// Counts its reads, and fails at one example.
class Counting : public Dataset {
 public:
  explicit Counting(std::atomic<int>& reads, std::int64_t bad = -1) : reads_(reads), bad_(bad) {}
  std::int64_t size() const override { return 1000; }
  Example get(std::int64_t index) const override {
    ++reads_;
    if (index == bad_) throw Error(ErrorCode::corrupt_data, "picture 17: expected a JPEG");
    return {Tensor::full({1}, static_cast<double>(index)), {}};
  }

 private:
  std::atomic<int>& reads_;
  std::int64_t bad_;
};

TEST(LoaderTest, AnErrorOfAWorkerComesWhereItsBatchWouldHaveCome) {
  for (const int workers : {0, 1, 3}) {
    std::atomic<int> reads{0};
    Loader loader(std::make_shared<Counting>(reads, 17), {.batch_size = 5, .workers = workers});
    int batches = 0;
    expect_error(ErrorCode::corrupt_data, {"picture 17"}, [&] {
      for (const auto& batch : loader) batches += batch.x.defined() ? 1 : 0;
    });
    EXPECT_EQ(batches, 3);
  }
}

TEST(LoaderTest, ReadsNoFurtherAheadThanAllowedAndEndsEarly) {
  std::atomic<int> reads{0};
  Loader loader(std::make_shared<Counting>(reads), {.batch_size = 1, .workers = 2, .prefetch = 4});
  for (const auto& [x, y] : loader) {
    EXPECT_FALSE(y.defined());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_LE(reads.load(), 6);
    break;
  }
  // Leaving the loop ended the workers.
  const int after = reads.load();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(reads.load(), after);
}

TEST(LoaderTest, TwoEpochsMayRunSideBySide) {
  Loader loader(numbered(9), {.batch_size = 2});
  int pairs = 0;
  auto other = loader.begin();
  for (const auto& [x, y] : loader) {
    EXPECT_EQ(other->y.to_vector<std::int64_t>(), y.to_vector<std::int64_t>());
    ++other;
    ++pairs;
  }
  EXPECT_EQ(pairs, 5);
  EXPECT_TRUE(other == std::default_sentinel);
}

TEST(LoaderTest, AnEmptySetHasNoBatches) {
  Loader loader(numbered(4).part(0, 0), {.batch_size = 2});
  EXPECT_EQ(labels_of_epoch(loader).size(), 0U);
  expect_error(ErrorCode::invalid_state, {"empty"}, [&] { loader.example(); });
}

TEST(LoaderTest, TheExampleIsABatchOfOne) {
  const Loader loader(numbered(4), {.batch_size = 2, .transforms = {RandomCrop{.padding = 2}}});
  const Tensor example = loader.example();
  EXPECT_EQ(example.shape(), Shape({1, 2, 8, 8}));
  EXPECT_TRUE(example.channels_last());
  EXPECT_EQ(example.to_vector<float>(), numbered(1).inputs().to(DType::f32).to_vector<float>());
}

// Examples of different shapes.
class Ragged : public Dataset {
 public:
  std::int64_t size() const override { return 3; }
  Example get(std::int64_t index) const override { return {Tensor::zeros({index + 1}), {}}; }
};

TEST(LoaderTest, MistakesAreNamed) {
  expect_error(ErrorCode::shape_mismatch, {"example 1", "[1]", "[2]"}, [] {
    Loader loader(Ragged(), {.batch_size = 2});
    labels_of_epoch(loader);
  });
  expect_error(ErrorCode::invalid_argument, {"batch size", "got 0"},
               [] { Loader(numbered(1), {.batch_size = 0}); });
  expect_error(ErrorCode::invalid_argument, {"workers", "-1"},
               [] { Loader(numbered(1), {.workers = -1}); });
  expect_error(ErrorCode::invalid_argument, {"prefetch", "-1"},
               [] { Loader(numbered(1), {.prefetch = -1}); });
  expect_error(ErrorCode::invalid_argument, {"data set"},
               [] { Loader(std::shared_ptr<const Dataset>(), {}); });
}

}  // namespace
}  // namespace pare::data
