// Losses against PyTorch, and bad input.
#include <gmock/gmock.h>

#include "core/golden_loss.h"
#include "pare/core/ops/loss.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Loss, GoldenValues) {
  expect_golden(loss_golden(), 5e-6F, [](const GoldenCase& c, Tensors& inputs) {
    const OpDef* op = find_op(c.op);
    if (op == &kCrossEntropy) {
      const std::vector<std::int64_t> labels(c.numbers.begin(), c.numbers.end());
      inputs.push_back(Tensor::from(labels, {static_cast<std::int64_t>(labels.size())}));
    }
    return Call{op, op->defaults()};
  });
}

TEST(Loss, CrossEntropyOfHugeLogitsIsFinite) {
  Tensor logits = Tensor::from({1000.0F, -1000.0F, 0.0F}, {1, 3}).set_requires_grad();
  const Tensor loss = cross_entropy(logits, Tensor::from(std::vector<std::int64_t>{1}, {1}));
  EXPECT_EQ(loss.item(), 2000);
  loss.backward();
  EXPECT_EQ(logits.grad().to_vector<float>(), (std::vector<float>{1, -1, 0}));
}

TEST(Loss, BadInput) {
  const auto labels = [](std::vector<std::int64_t> v) {
    return Tensor::from(v, {static_cast<std::int64_t>(v.size())});
  };
  const Tensor logits = Tensor::zeros({3, 4});
  ErrorCode code{};
  EXPECT_THAT(error_of(
                  [&] {
                    cross_entropy(logits, labels({0, 4, 9}));
                  },
                  &code),
              HasSubstr("cross_entropy: expected labels from 0 to 3, got 4 at index 1"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] {
                cross_entropy(logits, labels({0, -1, 1}));
              }),
              HasSubstr("got -1 at index 1"));
  EXPECT_THAT(error_of(
                  [&] {
                    cross_entropy(logits, labels({0, 1}));
                  },
                  &code),
              HasSubstr("expected logits [N, C] and labels [N], got [3, 4] and [2]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of([&] { cross_entropy(logits, Tensor::zeros({3})); }),
              HasSubstr("expected i64 labels, got f32"));
  EXPECT_THAT(error_of([&] { mse(logits, Tensor::zeros({4})); }),
              HasSubstr("mse: expected inputs of one shape, got [3, 4] and [4]"));
  EXPECT_THAT(error_of([&] { kl_div(Tensor::scalar(1), Tensor::scalar(1)); }),
              HasSubstr("kl_div: expected inputs [N, …]"));
}

}  // namespace
}  // namespace pare::test
