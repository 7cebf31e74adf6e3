// Tests of Expression.
#include "pare/core/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/error.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

using ::testing::ElementsAre;

Expression plain() {
  Expression e;
  e.leaves.push_back({"", Tensor::from({1, 2, 3}, {3}), true});
  return e;
}

TEST(Expression, IsItsLeafWithoutSteps) {
  const Expression e = plain();
  EXPECT_TRUE(e.value().same_as(e.leaves[0].value));
  EXPECT_THROW((void)Expression().value(), Error);
}

TEST(Expression, AppendsInsertsAndErases) {
  Expression e = plain();
  e.append({&kNeg, {}});  // −w
  const int mask = e.add_leaf({"_mask", Tensor::from({1, 0, 1}, {3}), false});
  EXPECT_EQ(mask, 1);
  e.insert_after_leaf(0, {&kMul, {}}, {mask});  // −(w · mask)
  EXPECT_THAT(e.value().to_vector<float>(), ElementsAre(-1, 0, -3));
  const int two = e.add_leaf({"_two", Tensor::from({2}, {1}), false});
  e.append({&kMul, {}}, {two});  // −(w · mask) · 2
  EXPECT_THAT(e.value().to_vector<float>(), ElementsAre(-2, 0, -6));
  EXPECT_EQ(e.find_step(kNeg), 1);
  EXPECT_EQ(e.find("_two"), 2);
  EXPECT_EQ(e.find("_none"), -1);
  e.erase(0);  // the mask
  EXPECT_THAT(e.value().to_vector<float>(), ElementsAre(-2, -4, -6));
  EXPECT_EQ(e.leaves.size(), 2U);
  e.erase(1);
  e.erase(0);
  EXPECT_THAT(e.value().to_vector<float>(), ElementsAre(1, 2, 3));
  EXPECT_EQ(e.leaves.size(), 1U);
  EXPECT_THROW(e.erase(0), Error);
  EXPECT_THROW(e.insert_after_leaf(1, {&kNeg, {}}), Error);
}

TEST(Expression, TrainsThroughItsSteps) {
  Expression e = plain();
  e.leaves[0].value.set_requires_grad();
  const int mask = e.add_leaf({"_mask", Tensor::from({1, 0, 1}, {3}), false});
  e.append({&kMul, {}}, {mask});
  sum(e.value()).backward();
  EXPECT_THAT(e.leaves[0].value.grad().to_vector<float>(), ElementsAre(1, 0, 1));
}

}  // namespace
}  // namespace pare
