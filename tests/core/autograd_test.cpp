// Tests of the tape.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor leaf(std::initializer_list<float> values) {
  Tensor t = Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
  return t.set_requires_grad();
}

TEST(Autograd, SumsOverPathsAndCalls) {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * x + x;  // dy/dx = 2x + 1
  sum(y).backward();
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(3, 5));
  sum(x * 10).backward();
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(13, 15));
}

TEST(Autograd, GradientsNeverShareStorage) {
  const Tensor a = leaf({1, 2});
  const Tensor b = leaf({3, 4});
  const Tensor start = Tensor::from({5, 6}, {2});
  (a + b).backward(start);
  a.grad().mutable_data<float>()[0] = 100;
  EXPECT_THAT(b.grad().to_vector<float>(), ElementsAre(5, 6));
  EXPECT_THAT(start.to_vector<float>(), ElementsAre(5, 6));
  // A leaf that is its own result.
  Tensor c = leaf({1, 1});
  c.backward(start);
  c.grad().mutable_data<float>()[0] = 7;
  EXPECT_THAT(start.to_vector<float>(), ElementsAre(5, 6));
}

TEST(Autograd, ReachesAViewAndWhatItViews) {
  const Tensor x = leaf({1, 2, 3, 4});
  const Tensor y = reshape(x, {2, 2});
  sum(y * y + y).backward();
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(3, 5, 7, 9));
}

TEST(Autograd, FreesADeepTapeWithoutRecursion) {
  const Tensor x = leaf({1});
  Tensor y = x;
  const Tensor one = Tensor::from({1}, {1});
  for (int i = 0; i < 300000; ++i) y = y + one;
  y.backward(Tensor::from({2}, {1}));
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(2));
  y = {};
  // The same where saved tensors, not edges, hold the chain together.
  y = x;
  for (int i = 0; i < 300000; ++i) y = y * one;
}

TEST(Autograd, RefusesAScalarlessStart) {
  const Tensor x = leaf({1, 2});
  EXPECT_THAT(
      error_of([&] { (x * x).backward(); }),
      HasSubstr("backward: expected a scalar or a gradient to start from, got a tensor [2]"));
  EXPECT_THAT(error_of([&] { (x * x).backward(Tensor::ones({3})); }),
              HasSubstr("expected a gradient [2], got [3]"));
  EXPECT_THAT(error_of([&] { Tensor::ones({}).backward(); }), HasSubstr("requires a gradient"));
}

TEST(Autograd, RefusesASecondBackwardUnlessRetained) {
  const Tensor x = leaf({3});
  const Tensor y = x * x;
  y.backward(true);
  y.backward();
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(12));
  EXPECT_THAT(error_of([&] { y.backward(); }), HasSubstr("earlier backward has freed"));
}

TEST(Autograd, ARefusedBackwardLeavesTheTapeAsItWas) {
  Tensor x = leaf({2, 3});
  const Tensor h = x * x;
  const Tensor first = sum(h);
  const Tensor second = sum(exp(h));
  first.backward();
  const auto gradient = x.grad().to_vector<float>();
  for (int time = 0; time < 2; ++time) {
    EXPECT_THAT(error_of([&] { second.backward(); }), HasSubstr("has freed"));
    EXPECT_EQ(x.grad().to_vector<float>(), gradient);
  }
}

TEST(Autograd, RefusesAGradientThatDoesNotFit) {
  Tensor x = leaf({2, 3});
  const Tensor y = x * x;
  EXPECT_ERROR(y.backward(Tensor()), invalid_argument, "backward", "undefined");
  EXPECT_ERROR(y.backward(Tensor::ones({2}, DType::u8)), dtype_mismatch, "f32", "u8");
  EXPECT_ERROR(y.backward(Tensor::ones({3})), shape_mismatch, "[2]", "[3]");
  EXPECT_ERROR(Tensor().backward(), invalid_argument, "backward", "undefined");
  // A gradient of another floating type is converted, not read as what it is not.
  y.backward(Tensor::ones({2}, DType::f16));
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(4, 6));
}

TEST(Autograd, RefusesALeafChangedInBetween) {
  Tensor x = leaf({3});
  const Tensor y = x * x;
  x.mutable_data<float>()[0] = 5;
  EXPECT_THAT(error_of([&] { y.backward(); }), HasSubstr("mul: expected input"));
  EXPECT_THAT(error_of([&] { y.backward(); }), HasSubstr("changed in place since"));
  EXPECT_FALSE(x.grad().defined());
  // After the failure the tape can still be dropped and built anew.
  (x * x).backward();
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(10));
}

TEST(Autograd, NoGradRecordsNothing) {
  const Tensor x = leaf({3});
  {
    const NoGrad guard;
    EXPECT_FALSE((x * x).requires_grad());
  }
  EXPECT_TRUE((x * x).requires_grad());
  EXPECT_FALSE((x * x).detach().requires_grad());
}

TEST(Autograd, LeavesMayBeUpdatedAfterBackward) {
  Tensor x = leaf({3});
  (x * x).backward();
  x.mutable_data<float>()[0] = 4;
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
  (x * x).backward();
  EXPECT_THAT(x.grad().to_vector<float>(), ElementsAre(8));
}

TEST(Autograd, SetRequiresGradWantsAFloatingLeaf) {
  EXPECT_THAT(error_of([] { Tensor::zeros({2}, DType::i64).set_requires_grad(); }),
              HasSubstr("expected a floating type, got i64"));
  const Tensor x = leaf({1});
  EXPECT_THAT(error_of([&] { (x * x).set_requires_grad(); }), HasSubstr("expected a leaf"));
}

}  // namespace
}  // namespace pare
