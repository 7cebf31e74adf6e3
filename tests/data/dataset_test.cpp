// TensorDataset: views, parts, mistakes.
#include "pare/data/dataset.h"

#include <gtest/gtest.h>

#include "expect_error.h"

namespace pare::data {
namespace {

using test::expect_error;

TensorDataset four() {
  return TensorDataset(Tensor::from({1, 2, 3, 4, 5, 6, 7, 8}, {4, 2}),
                       Tensor::from(std::vector<std::int64_t>{0, 1, 2, 3}, {4}));
}

TEST(TensorDatasetTest, GivesEveryExample) {
  const TensorDataset set = four();
  EXPECT_EQ(set.size(), 4);
  const Example example = set.get(2);
  EXPECT_EQ(example.input.shape(), Shape({2}));
  EXPECT_EQ(example.input.to_vector<float>(), (std::vector<float>{5, 6}));
  EXPECT_EQ(example.label.rank(), 0);
  EXPECT_EQ(example.label.item(), 2);
}

TEST(TensorDatasetTest, ExamplesOutliveTheSet) {
  Example example;
  {
    const TensorDataset set = four();
    example = set.get(3);
  }
  EXPECT_EQ(example.input.to_vector<float>(), (std::vector<float>{7, 8}));
}

TEST(TensorDatasetTest, PartsShareAndTakesCopy) {
  const TensorDataset set = four();
  const TensorDataset part = set.part(1, 3);
  EXPECT_EQ(part.size(), 2);
  EXPECT_EQ(part.get(0).input.to_vector<float>(), (std::vector<float>{3, 4}));
  EXPECT_EQ(part.inputs().raw(), static_cast<const float*>(set.inputs().raw()) + 2);
  const std::vector<std::int64_t> indices{3, 0, 3};
  const TensorDataset taken = set.take(indices);
  EXPECT_EQ(taken.inputs().to_vector<float>(), (std::vector<float>{7, 8, 1, 2, 7, 8}));
  EXPECT_EQ(taken.labels().to_vector<std::int64_t>(), (std::vector<std::int64_t>{3, 0, 3}));
  EXPECT_EQ(set.part(4, 4).size(), 0);
}

TEST(TensorDatasetTest, WorksWithoutLabels) {
  const TensorDataset set(Tensor::from({1, 2}, {2, 1}));
  EXPECT_FALSE(set.get(0).label.defined());
  EXPECT_FALSE(set.part(0, 1).labels().defined());
}

TEST(TensorDatasetTest, MistakesAreNamed) {
  expect_error(ErrorCode::shape_mismatch, {"TensorDataset", "[3]", "[2, 1]"}, [] {
    TensorDataset(Tensor::from({1, 2}, {2, 1}), Tensor::zeros({3}, DType::i64));
  });
  expect_error(ErrorCode::shape_mismatch, {"[N, …]"}, [] { TensorDataset{Tensor()}; });
  expect_error(ErrorCode::out_of_range, {"0 … 3", "got 4"}, [] { four().get(4); });
  expect_error(ErrorCode::out_of_range, {"got -1"}, [] { four().get(-1); });
  expect_error(ErrorCode::out_of_range, {"part", "3 and 5"}, [] { four().part(3, 5); });
  const std::vector<std::int64_t> wrong{9};
  expect_error(ErrorCode::out_of_range, {"take", "got 9"}, [&] { four().take(wrong); });
}

}  // namespace
}  // namespace pare::data
