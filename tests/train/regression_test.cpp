// Mean absolute error, mean squared error and R² against scikit-learn's numbers.
#include "pare/train/regression.h"

#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/core/ops/loss.h"
#include "pare/nn/flatten.h"
#include "pare/train/fit.h"

namespace pare::train {
namespace {

using test::expect_error;

Tensor numbers(const std::vector<float>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}

// >>> y = [3, -0.5, 2, 7]; f = [2.5, 0.0, 2, 8]
// >>> mean_absolute_error(y, f), mean_squared_error(y, f), r2_score(y, f)
// (0.5, 0.375, 0.9486081370449679)
TEST(Regression, ScoresAreScikitLearns) {
  RegressionScores scores;
  scores.add(numbers({2.5F, 0, 2}, {3}), numbers({3, -0.5F, 2}, {3, 1}));
  scores.add(numbers({8}, {1, 1}), numbers({7}, {1}));
  EXPECT_EQ(scores.samples(), 4);
  EXPECT_DOUBLE_EQ(scores.mean_absolute_error(), 0.5);
  EXPECT_DOUBLE_EQ(scores.mean_squared_error(), 0.375);
  EXPECT_NEAR(scores.r2(), 0.9486081370449679, 1e-15);
}

// >>> y = [[0.5, 1], [-1, 1], [7, -6]]; f = [[0, 2], [-1, 2], [8, -5]]
// (0.75, 0.7083333333333334, 0.9368005266622779)
TEST(Regression, SeveralTargetsAreAveraged) {
  RegressionScores scores;
  scores.add(numbers({0, 2, -1, 2, 8, -5}, {3, 2}).to(DType::f64),
             numbers({0.5F, 1, -1, 1, 7, -6}, {3, 2}));
  EXPECT_DOUBLE_EQ(scores.mean_absolute_error(), 0.75);
  EXPECT_DOUBLE_EQ(scores.mean_squared_error(), 0.7083333333333334);
  EXPECT_NEAR(scores.r2(), 0.9368005266622779, 1e-15);
}

// >>> r2_score([1, 2, 3], [3, 2, 1]), r2_score([2, 2, 2], [2, 2, 2]), r2_score([2, 2, 2], [1, 2,
// 3])
// (-3.0, 1.0, 0.0)
TEST(Regression, R2OfBadAndOfConstantTargets) {
  const auto r2 = [](const std::vector<float>& y, const std::vector<float>& f) {
    RegressionScores scores;
    scores.add(numbers(f, {3}), numbers(y, {3}));
    return scores.r2();
  };
  EXPECT_EQ(r2({1, 2, 3}, {3, 2, 1}), -3);
  EXPECT_EQ(r2({2, 2, 2}, {2, 2, 2}), 1);
  EXPECT_EQ(r2({2, 2, 2}, {1, 2, 3}), 0);
}

TEST(Regression, LargeLabelsDoNotCancel) {
  RegressionScores scores;
  for (int n = 0; n < 1000; ++n) {
    const float label = 1e6F + static_cast<float>(n % 2);
    scores.add(numbers({label + 0.25F}, {1}), numbers({label}, {1}));
  }
  EXPECT_NEAR(scores.r2(), 1 - 0.0625 / 0.25, 1e-9);
}

TEST(Regression, NothingIsNotANumber) {
  RegressionScores scores;
  EXPECT_TRUE(std::isnan(scores.mean_absolute_error()));
  EXPECT_TRUE(std::isnan(scores.mean_squared_error()));
  EXPECT_TRUE(std::isnan(scores.r2()));
  scores.add(Tensor::zeros({0, 3}), Tensor::zeros({0, 3}));
  scores.add(numbers({1}, {1}), numbers({2}, {1}));
  EXPECT_EQ(scores.mean_absolute_error(), 1);
  EXPECT_TRUE(std::isnan(scores.r2()));  // of one sample
}

TEST(Regression, MistakesAreNamed) {
  RegressionScores scores;
  expect_error(ErrorCode::dtype_mismatch, {"RegressionScores", "f32 or f64", "i64"},
               [&] { scores.add(Tensor::zeros({3}), Tensor::zeros({3}, DType::i64)); });
  expect_error(ErrorCode::shape_mismatch, {"one shape [N, …]", "[3, 2]", "[2, 3]"}, [&] {
    scores.add(Tensor::zeros({3, 2}), Tensor::zeros({2, 3}));
  });
  expect_error(ErrorCode::shape_mismatch, {"one shape [N, …]", "[4]", "[4, 2]"}, [&] {
    scores.add(Tensor::zeros({4}), Tensor::zeros({4, 2}));
  });
  expect_error(ErrorCode::invalid_argument, {"undefined"}, [&] { scores.add(Tensor(), Tensor()); });
  EXPECT_EQ(scores.samples(), 0);
  scores.add(Tensor::zeros({3, 2}), Tensor::zeros({3, 2}));
  expect_error(ErrorCode::shape_mismatch, {"expected 2 values of each sample", "[3, 4]"}, [&] {
    scores.add(Tensor::zeros({3, 4}), Tensor::zeros({3, 4}));
  });
}

TEST(Regression, EvaluateTellsTheErrorsOfRealLabels) {
  const Tensor x = numbers({2.5F, 0, 2, 8}, {4, 1});
  data::Loader loader(data::TensorDataset(x, numbers({3, -0.5F, 2, 7}, {4, 1})), {.batch_size = 3});
  nn::Flatten same;
  const Metrics metrics = evaluate(same, loader, Loss(mse));
  EXPECT_DOUBLE_EQ(metrics.mean_absolute_error, 0.5);
  EXPECT_DOUBLE_EQ(metrics.mean_squared_error, 0.375);
  EXPECT_NEAR(metrics.r2, 0.9486081370449679, 1e-15);
  EXPECT_TRUE(std::isnan(metrics.accuracy));
  EXPECT_NE(to_string(metrics).find("loss 0.375  MAE 0.5  R2 0.9486  (4 samples"),
            std::string::npos)
      << to_string(metrics);

  data::Loader classes(data::TensorDataset(Tensor::zeros({4, 2}), Tensor::zeros({4}, DType::i64)),
                       {.batch_size = 4});
  const Metrics others = evaluate(same, classes);
  EXPECT_TRUE(std::isnan(others.mean_absolute_error));
  EXPECT_TRUE(std::isnan(others.mean_squared_error));
  EXPECT_TRUE(std::isnan(others.r2));
}

}  // namespace
}  // namespace pare::train
