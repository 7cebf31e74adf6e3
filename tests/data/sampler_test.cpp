// Samplers, subsets and splits.
#include "pare/data/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "expect_error.h"
#include "pare/data/loader.h"

namespace pare::data {
namespace {

using Ints = std::vector<std::int64_t>;

TensorDataset numbered(std::int64_t count) {
  Ints labels(static_cast<std::size_t>(count));
  std::iota(labels.begin(), labels.end(), 0);
  const Tensor y = Tensor::from(labels, {count});
  return TensorDataset(y.to(DType::f32), y);
}

Ints epoch_of(Loader& loader) {
  Ints all;
  for (const auto& [x, y] : loader) {
    const Ints part = y.to_vector<std::int64_t>();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

Ints epoch_of(const Sampler& sampler, std::int64_t size, std::uint64_t seed = 0) {
  Loader loader(numbered(size), {.batch_size = 3, .seed = seed, .sampler = sampler});
  const Ints all = epoch_of(loader);
  EXPECT_EQ(loader.size(), static_cast<std::int64_t>(all.size()));
  EXPECT_EQ(loader.batches(), (loader.size() + 2) / 3);
  return all;
}

TEST(SamplerTest, RandomDrawsWithAndWithoutReplacement) {
  const Ints all = epoch_of(RandomSampler{}, 20);
  EXPECT_EQ(std::set<std::int64_t>(all.begin(), all.end()).size(), 20U);
  const Ints some = epoch_of(RandomSampler{.samples = 7}, 20);
  EXPECT_EQ(some.size(), 7U);
  EXPECT_EQ(std::set<std::int64_t>(some.begin(), some.end()).size(), 7U);
  const Ints many = epoch_of(RandomSampler{.samples = 200, .replacement = true}, 20);
  EXPECT_EQ(many.size(), 200U);
  EXPECT_EQ(std::set<std::int64_t>(many.begin(), many.end()).size(), 20U);
  EXPECT_EQ(epoch_of(RandomSampler{}, 20), all);
  EXPECT_NE(epoch_of(RandomSampler{}, 20, 1), all);
}

TEST(SamplerTest, WeightsAreProbabilities) {
  const WeightedSampler sampler{.weights = {1, 0, 2, 5}, .samples = 8000};
  std::vector<int> seen(4, 0);
  for (const std::int64_t i : epoch_of(sampler, 4)) ++seen[static_cast<std::size_t>(i)];
  EXPECT_NEAR(seen[0], 1000, 130);
  EXPECT_EQ(seen[1], 0);
  EXPECT_NEAR(seen[2], 2000, 170);
  EXPECT_NEAR(seen[3], 5000, 200);
}

TEST(SamplerTest, WeightsWithoutReplacementGiveEachOnce) {
  int first_is_heavy = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Ints all = epoch_of(
        WeightedSampler{.weights = {1, 0, 3}, .samples = 2, .replacement = false}, 3, seed);
    EXPECT_EQ(std::set<std::int64_t>(all.begin(), all.end()), (std::set<std::int64_t>{0, 2}));
    first_is_heavy += all[0] == 2 ? 1 : 0;
  }
  EXPECT_NEAR(first_is_heavy, 300, 45);
}

TEST(SamplerTest, RanksShareOneOrder) {
  for (const bool shuffle : {false, true}) {
    std::vector<Ints> ranks;
    for (std::int64_t rank = 0; rank < 3; ++rank) {
      ranks.push_back(
          epoch_of(DistributedSampler{.rank = rank, .world = 3, .shuffle = shuffle}, 10));
      EXPECT_EQ(ranks.back().size(), 4U);
    }
    // Put together again: each example, then the first ones once more.
    Ints together;
    for (std::size_t k = 0; k < 4; ++k) {
      for (const Ints& own : ranks) together.push_back(own[k]);
    }
    EXPECT_EQ(std::set<std::int64_t>(together.begin(), together.end()).size(), 10U);
    EXPECT_EQ(together[10], together[0]);
    EXPECT_EQ(together[11], together[1]);
    // PyTorch's DistributedSampler of rank 1 of 3 over 10, not shuffled.
    if (!shuffle) {
      EXPECT_EQ(ranks[1], (Ints{1, 4, 7, 0}));
    }
  }
  EXPECT_EQ(
      epoch_of(DistributedSampler{.rank = 2, .world = 3, .shuffle = false, .drop_last = true}, 10),
      (Ints{2, 5, 8}));
  EXPECT_EQ(epoch_of(DistributedSampler{.rank = 4, .world = 5, .shuffle = false}, 2), (Ints{0}));
  EXPECT_TRUE(epoch_of(DistributedSampler{.rank = 0, .world = 5}, 0).empty());
}

TEST(SamplerTest, SubsetsAreGivenInTheirOrderOrShuffled) {
  EXPECT_EQ(epoch_of(SubsetSampler{.indices = {5, 1, 5}, .shuffle = false}, 6), (Ints{5, 1, 5}));
  const Ints mixed = epoch_of(SubsetSampler{.indices = {5, 1, 3}}, 6);
  EXPECT_EQ(std::set<std::int64_t>(mixed.begin(), mixed.end()), (std::set<std::int64_t>{1, 3, 5}));
  const Subset set(numbered(6), {4, 2});
  EXPECT_EQ(set.size(), 2);
  EXPECT_EQ(set.get(1).label.item(), 2);
}

// One of the user's own: every example twice, in pairs.
struct Twice {
  std::int64_t wrong = 0;
  std::int64_t count(std::int64_t size) const { return 2 * size; }
  Ints order(std::int64_t size, Generator&) const {
    Ints order;
    for (std::int64_t i = 0; i < 2 * size - wrong; ++i) order.push_back(i / 2 + wrong * size);
    return order;
  }
};

TEST(SamplerTest, UsersBringTheirOwnAndRepetitionsDifferInTheirDraws) {
  EXPECT_EQ(epoch_of(Twice{}, 3), (Ints{0, 0, 1, 1, 2, 2}));
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 64; ++i) pixels.push_back(static_cast<std::uint8_t>(i));
  Loader loader(TensorDataset(Tensor::from(pixels, {1, 1, 8, 8})),
                {.batch_size = 2, .transforms = {RandomCrop{.size = 3}}, .sampler = Twice{}});
  int different = 0;
  for (int epoch = 0; epoch < 20; ++epoch) {
    const auto x = loader.begin()->x.to_vector<float>();
    different += x[0] != x[9] ? 1 : 0;
  }
  EXPECT_GT(different, 15);
}

TEST(SamplerTest, BalancedWeightsUndoTheClassesSizes) {
  const Tensor labels = Tensor::from(Ints{7, 7, 7, 2}, {4});
  EXPECT_EQ(balanced_weights(labels), (std::vector<double>{1.0 / 3, 1.0 / 3, 1.0 / 3, 1}));
}

TEST(SamplerTest, SplitsHaveEveryNumberOnce) {
  const Split split = random_split(10, 0.75, 3);
  EXPECT_EQ(split.first.size(), 7U);
  std::set<std::int64_t> all(split.first.begin(), split.first.end());
  all.insert(split.second.begin(), split.second.end());
  EXPECT_EQ(all.size(), 10U);
  EXPECT_EQ(random_split(10, 0.75, 3).first, split.first);
  EXPECT_NE(random_split(10, 0.75, 4).first, split.first);
  EXPECT_TRUE(random_split(10, 1).second.empty());
}

TEST(SamplerTest, MistakesAreNamed) {
  EXPECT_ERROR(epoch_of(RandomSampler{.samples = 9}, 4), invalid_argument, "at most 4", "got 9");
  EXPECT_ERROR(epoch_of(RandomSampler{.samples = -1}, 4), invalid_argument, "-1");
  EXPECT_ERROR(epoch_of(RandomSampler{.samples = 1, .replacement = true}, 0), invalid_argument,
               "empty");
  EXPECT_ERROR(epoch_of(WeightedSampler{.weights = {1}}, 2), invalid_argument, "2 weights");
  EXPECT_ERROR(epoch_of(WeightedSampler{.weights = {1, -1}}, 2), invalid_argument, "got -1");
  EXPECT_ERROR(epoch_of(WeightedSampler{.weights = {1, NAN}}, 2), invalid_argument, "nan");
  EXPECT_ERROR(epoch_of(WeightedSampler{.weights = {0, 0}}, 2), invalid_argument, "above 0");
  EXPECT_ERROR(epoch_of(WeightedSampler{.weights = {1, 0}, .samples = 2, .replacement = false}, 2),
               invalid_argument, "at most 1", "got 2");
  EXPECT_ERROR(epoch_of(DistributedSampler{.rank = 2, .world = 2}, 2), invalid_argument,
               "rank 2 of 2");
  EXPECT_ERROR(epoch_of(SubsetSampler{.indices = {2}}, 2), out_of_range, "0 … 1", "got 2");
  EXPECT_ERROR(Subset(numbered(2), {-1}), out_of_range, "got -1");
  EXPECT_ERROR(Subset(numbered(2), {1}).get(1), out_of_range, "got 1");
  EXPECT_ERROR(Subset(std::shared_ptr<const Dataset>(), {}), invalid_argument, "a data set");
  EXPECT_ERROR(random_split(3, 1.5), invalid_argument, "1.5");
  EXPECT_ERROR(balanced_weights(Tensor::zeros({3})), dtype_mismatch, "f32");
  EXPECT_ERROR(epoch_of(Twice{.wrong = 1}, 2), invalid_argument, "gives 4", "got 3");
  EXPECT_ERROR(Loader(numbered(2), {.shuffle = true, .sampler = RandomSampler{}}), invalid_argument,
               "got both");
}

}  // namespace
}  // namespace pare::data
