// Confusion matrix, precision, recall, F1 and top-k against scikit-learn's numbers.
#include "pare/train/confusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/nn/flatten.h"

namespace pare::train {
namespace {

using test::expect_error;
using testing::DoubleNear;
using testing::ElementsAre;

Tensor labels_of(const std::vector<std::int64_t>& labels) {
  return Tensor::from(labels, {static_cast<std::int64_t>(labels.size())});
}

// Outputs whose largest is the class.
Tensor outputs_of(const std::vector<std::int64_t>& classes, std::int64_t width) {
  Tensor result = Tensor::zeros({static_cast<std::int64_t>(classes.size()), width});
  for (std::size_t i = 0; i < classes.size(); ++i)
    result.mutable_data<float>()[static_cast<std::int64_t>(i) * width + classes[i]] = 2;
  return result;
}

ConfusionMatrix example() {
  // y_true = [0,0,0,1,1,2,2,2,2,4], y_pred = [0,1,0,1,1,2,0,2,4,2]; class 3 never occurs.
  ConfusionMatrix matrix(5);
  matrix.add(outputs_of({0, 1, 0, 1, 1}, 5), labels_of({0, 0, 0, 1, 1}));
  matrix.add(outputs_of({2, 0, 2, 4, 2}, 5), labels_of({2, 2, 2, 2, 4}));
  return matrix;
}

TEST(Confusion, CountsTruthByPrediction) {
  const ConfusionMatrix matrix = example();
  EXPECT_EQ(matrix.classes(), 5);
  EXPECT_EQ(matrix.samples(), 10);
  EXPECT_EQ(matrix.counts().to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{2, 1, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2,
                                       0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}));
  EXPECT_EQ(matrix.count(2, 4), 1);
  EXPECT_EQ(matrix.count(4, 2), 1);
}

TEST(Confusion, ScoresAreScikitLearns) {
  // sklearn.metrics.precision_recall_fscore_support(y_true, y_pred, average=…, zero_division=0)
  const ConfusionMatrix m = example();
  constexpr double e = 1e-12;
  EXPECT_NEAR(m.accuracy(), 0.6, e);
  EXPECT_THAT(m.precision(), ElementsAre(DoubleNear(2.0 / 3, e), DoubleNear(2.0 / 3, e),
                                         DoubleNear(2.0 / 3, e), 0, 0));
  EXPECT_THAT(m.recall(), ElementsAre(DoubleNear(2.0 / 3, e), 1, 0.5, 0, 0));
  EXPECT_THAT(m.f1(), ElementsAre(DoubleNear(2.0 / 3, e), DoubleNear(0.8, e),
                                  DoubleNear(4.0 / 7, e), 0, 0));
  EXPECT_NEAR(m.precision(Average::macro), 0.5, e);
  EXPECT_NEAR(m.recall(Average::macro), 0.5416666666666666, e);
  EXPECT_NEAR(m.f1(Average::macro), 0.5095238095238095, e);
  EXPECT_NEAR(m.precision(Average::micro), 0.6, e);
  EXPECT_NEAR(m.f1(Average::micro), 0.6, e);
  EXPECT_NEAR(m.precision(Average::weighted), 0.6, e);
  EXPECT_NEAR(m.recall(Average::weighted), 0.6, e);
  EXPECT_NEAR(m.f1(Average::weighted), 0.5885714285714286, e);
}

TEST(Confusion, OfNothing) {
  const ConfusionMatrix none(2);
  EXPECT_TRUE(std::isnan(none.accuracy()));
  EXPECT_TRUE(std::isnan(none.f1(Average::macro)));
  EXPECT_THAT(none.f1(), ElementsAre(0, 0));
}

TEST(Confusion, TopK) {
  const Tensor outputs = Tensor::from({5, 4, 3, 2, 1, 1, 1, 0, 0, 0, 7, 0}, {3, 4});
  EXPECT_EQ(count_top_k(outputs, labels_of({1, 0, 2}), 1), 2);
  EXPECT_EQ(count_top_k(outputs, labels_of({1, 1, 2}), 1), 1);  // of equal ones the first
  EXPECT_EQ(count_top_k(outputs, labels_of({1, 1, 2}), 2), 3);
  EXPECT_EQ(count_top_k(outputs, labels_of({3, 3, 3}), 3), 0);
  EXPECT_EQ(count_top_k(outputs, labels_of({3, 3, 3}), 9), 3);
  const Tensor nan = Tensor::from({NAN, 1}, {1, 2});
  EXPECT_EQ(count_top_k(nan, labels_of({0}), 1), 0);
}

TEST(Confusion, OfADataSet) {
  data::Loader data(data::TensorDataset(outputs_of({0, 1, 2, 2, 0}, 3), labels_of({0, 1, 1, 2, 2})),
                    {.batch_size = 2});
  nn::Identity identity;
  const ConfusionMatrix matrix = confusion_matrix(identity, data);
  EXPECT_EQ(matrix.samples(), 5);
  EXPECT_EQ(matrix.count(1, 2), 1);
  EXPECT_DOUBLE_EQ(matrix.accuracy(), 0.6);
  EXPECT_DOUBLE_EQ(top_k_accuracy(identity, data, 1), 0.6);
  EXPECT_DOUBLE_EQ(top_k_accuracy(identity, data, 3), 1);
}

TEST(Confusion, MistakesAreNamed) {
  ConfusionMatrix matrix(3);
  expect_error(ErrorCode::invalid_argument, {"ConfusionMatrix", "got 0"},
               [] { ConfusionMatrix none(0); });
  expect_error(ErrorCode::shape_mismatch, {"[N, 3]", "[1, 2]"}, [&] {
    matrix.add(Tensor::zeros({1, 2}), labels_of({0}));
  });
  expect_error(ErrorCode::shape_mismatch, {"labels [N]", "[2]"}, [&] {
    matrix.add(Tensor::zeros({1, 3}), labels_of({0, 1}));
  });
  expect_error(ErrorCode::dtype_mismatch, {"labels of i64", "f32"}, [&] {
    matrix.add(Tensor::zeros({1, 3}), Tensor::zeros({1}));
  });
  expect_error(ErrorCode::out_of_range, {"from 0 to 2", "got 3"}, [&] {
    matrix.add(Tensor::zeros({2, 3}), labels_of({0, 3}));
  });
  EXPECT_EQ(matrix.samples(), 0);
  expect_error(ErrorCode::out_of_range, {"from 0 to 2", "got 3 and 0"},
               [&] { (void)matrix.count(3, 0); });
  expect_error(ErrorCode::invalid_argument, {"k of at least 1"}, [&] {
    count_top_k(Tensor::zeros({1, 3}), labels_of({0}), 0);
  });
}

}  // namespace
}  // namespace pare::train
