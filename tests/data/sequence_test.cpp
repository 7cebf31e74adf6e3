// Sequences of different lengths: the data set, collation, and the Loader that pads.
#include "pare/data/sequence.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/data/loader.h"

namespace pare::data {
namespace {

using test::expect_error;
using Ints = std::vector<std::int64_t>;

SequenceDataset three() {
  return SequenceDataset(Tensor::from(Ints{1, 2, 3, 4, 5, 6}, {6}), {3, 0, 3},
                         Tensor::from(Ints{7, 8, 9}, {3}));
}

TEST(SequenceTest, GivesViewsThatOutliveTheSet) {
  Example last;
  {
    const SequenceDataset set = three();
    EXPECT_EQ(set.size(), 3);
    EXPECT_EQ(set.get(1).input.shape(), Shape({0}));
    last = set.get(2);
  }
  EXPECT_EQ(last.input.to_vector<std::int64_t>(), (Ints{4, 5, 6}));
  EXPECT_EQ(last.label.item(), 9);
}

TEST(SequenceTest, TakesCopies) {
  const SequenceDataset taken = three().take(Ints{2, 1, 2});
  EXPECT_EQ(taken.size(), 3);
  EXPECT_EQ(taken.length(1), 0);
  EXPECT_EQ(taken.get(2).input.to_vector<std::int64_t>(), (Ints{4, 5, 6}));
  EXPECT_EQ(taken.labels().to_vector<std::int64_t>(), (Ints{9, 8, 9}));
}

TEST(SequenceTest, PadsToTheLongestOrToALength) {
  const SequenceDataset set(Tensor::from({1, 2, 3, 4, 5, 6}, {3, 2}), {2, 1});
  const Batch batch = set.padded({.value = -1});
  EXPECT_EQ(batch.x.shape(), Shape({2, 2, 2}));
  EXPECT_EQ(batch.x.to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 5, 6, -1, -1}));
  EXPECT_EQ(batch.lengths.to_vector<std::int64_t>(), (Ints{2, 1}));
  EXPECT_FALSE(batch.y.defined());
  EXPECT_EQ(set.padded({.length = 4}).x.shape(), Shape({2, 4, 2}));
}

TEST(SequenceTest, LabelsPerStepArePaddedToo) {
  const std::vector<Example> examples{{Tensor::from({1}, {1}), Tensor::from(Ints{5}, {1})},
                                      {Tensor::from({2, 3}, {2}), Tensor::from(Ints{6, 7}, {2})}};
  const Batch batch = collate(examples);
  EXPECT_EQ(batch.y.shape(), Shape({2, 2}));
  EXPECT_EQ(batch.y.to_vector<std::int64_t>(), (Ints{5, -100, 6, 7}));
  // Labels that have nothing to do with the steps are stacked.
  const std::vector<Example> targets{{Tensor::from({1}, {1}), Tensor::from({1, 2, 3}, {3})},
                                     {Tensor::from({2, 3}, {2}), Tensor::from({4, 5, 6}, {3})}};
  EXPECT_EQ(collate(targets).y.shape(), Shape({2, 3}));
}

TEST(SequenceTest, TheLoaderPadsEachBatchToItsLongest) {
  std::vector<std::int64_t> lengths, steps;
  for (std::int64_t i = 0; i < 30; ++i) {
    lengths.push_back(i % 7);
    for (std::int64_t s = 0; s < i % 7; ++s) steps.push_back(100 * i + s);
  }
  const auto total = static_cast<std::int64_t>(steps.size());
  const SequenceDataset set(Tensor::from(steps, {total}), lengths);
  std::vector<Ints> expected;
  for (const int workers : {0, 1, 3}) {
    Loader loader(set,
                  {.batch_size = 4, .shuffle = true, .workers = workers, .seed = 5, .pad = Pad{}});
    std::vector<Ints> got;
    std::int64_t seen = 0;
    for (const Batch& batch : loader) {
      const auto length = batch.lengths.to_vector<std::int64_t>();
      EXPECT_EQ(batch.x.dim(1), *std::max_element(length.begin(), length.end()));
      const auto values = batch.x.to_vector<std::int64_t>();
      for (std::size_t n = 0; n < length.size(); ++n) {
        for (std::int64_t s = 0; s < batch.x.dim(1); ++s) {
          const auto v =
              values[n * static_cast<std::size_t>(batch.x.dim(1)) + static_cast<std::size_t>(s)];
          if (s >= length[n]) {
            EXPECT_EQ(v, 0);
          } else {
            EXPECT_EQ(v % 100, s);
            ++seen;
          }
        }
      }
      got.push_back(values);
    }
    EXPECT_EQ(seen, total);
    if (expected.empty()) expected = got;
    EXPECT_EQ(got, expected) << workers << " workers";
  }
}

TEST(SequenceTest, ABatchBindsToTwoNames) {
  Loader loader(three(), {.batch_size = 3, .pad = Pad{.value = -1}});
  for (const auto& [x, y] : loader) {
    EXPECT_EQ(x.shape(), Shape({3, 3}));
    EXPECT_EQ(y.to_vector<std::int64_t>(), (Ints{7, 8, 9}));
  }
  Batch batch = three().padded();
  auto& [x, y] = batch;
  y = Tensor();
  EXPECT_FALSE(batch.y.defined());
  auto [a, b] = three().padded();
  EXPECT_EQ(a.shape(), x.shape());
  EXPECT_TRUE(b.defined());
}

TEST(SequenceTest, MistakesAreNamed) {
  const Tensor steps = Tensor::from({1, 2, 3}, {3});
  EXPECT_ERROR(SequenceDataset(Tensor(), {}), shape_mismatch, "steps", "none");
  EXPECT_ERROR(SequenceDataset(steps, {1, 1}), shape_mismatch, "sum to 3", "got 2");
  EXPECT_ERROR(SequenceDataset(steps, {1, 3}), shape_mismatch, "sum to 3", "got more");
  EXPECT_ERROR(SequenceDataset(steps, {4, -1}), shape_mismatch, "sum to 3");
  EXPECT_ERROR(SequenceDataset(steps, {-1, 4}), invalid_argument, "at least 0", "-1");
  EXPECT_ERROR(SequenceDataset(steps, {3}, steps), shape_mismatch, "1 labels", "[3]");
  EXPECT_ERROR(three().get(3), out_of_range, "0 … 2", "got 3");
  EXPECT_ERROR(three().take(Ints{-1}), out_of_range, "got -1");
  EXPECT_ERROR(three().padded({.length = 2}), out_of_range, "at most 2 steps", "got 3");
  EXPECT_ERROR(three().padded({.length = -2}), invalid_argument, "got -2");
  EXPECT_ERROR(collate({}), invalid_argument, "an example");
  EXPECT_ERROR(Loader(three(), {.pad = Pad{.length = -1}}), invalid_argument, "Pad::length", "-1");
  EXPECT_ERROR(Loader(three(), {.transforms = {Normalize{}}, .pad = Pad{}}), invalid_argument,
               "no transforms");
  const auto both = [](const Example& a, const Example& b) {
    const std::vector<Example> examples{a, b};
    return collate(examples);
  };
  const Tensor label = Tensor::zeros({}, DType::i64);
  EXPECT_ERROR(both({steps, {}}, {Tensor::zeros({2, 2}), {}}), shape_mismatch, "input 1", "[2, 2]");
  EXPECT_ERROR(both({steps, {}}, {Tensor::zeros({3}, DType::i64), {}}), shape_mismatch, "i64");
  EXPECT_ERROR(both({steps, label}, {steps, {}}), shape_mismatch, "label 1", "none");
  EXPECT_ERROR(both({steps, Tensor::zeros({2})}, {steps, Tensor::zeros({1})}), shape_mismatch,
               "label 1", "[1]");
  EXPECT_ERROR(both({Tensor::scalar(1), {}}, {steps, {}}), shape_mismatch, "a sequence [T, …]");
}

}  // namespace
}  // namespace pare::data
