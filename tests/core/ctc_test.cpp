// ctc_loss against PyTorch, and bad input.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/golden_ctc.h"
#include "core/golden_leaves.h"
#include "pare/core/ops.h"
#include "pare/nn/ctc.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

const char* const kReductions[] = {"none", "mean", "sum", "batchmean"};

TEST(Ctc, CtcLossIsPyTorchs) {
  int seen = 0;
  for (const GoldenCase& c : ctc_golden()) {
    if (std::string(c.op) != "ctc_loss") continue;
    ++seen;
    SCOPED_TRACE(seen);
    const Tensors x = leaves_of(c);
    const nn::CTCLoss loss({.blank = static_cast<std::int64_t>(c.numbers[1]),
                            .zero_infinity = c.numbers[2] != 0,
                            .reduction = kReductions[static_cast<int>(c.numbers[0])]});
    expect_case(c,
                loss({log_softmax(x[0], 2), x[1].to(DType::i64), numbers_from(c, 4, 3),
                      numbers_from(c, 7, 3)}),
                x, 1e-4F);
  }
  EXPECT_EQ(seen, 24);
}

TEST(Ctc, CtcLossOfOneSequenceIsThatOfABatchOfOne) {
  Generator g(3);
  const Tensor x = log_softmax(g.normal({5, 4}), 1);
  const Tensor targets = i64s({1, 3}, {2});
  for (const char* reduction : kReductions) {
    if (std::string(reduction) == "batchmean") continue;
    const Tensor one =
        ctc_loss({x, targets, i64s({5}, {}), i64s({2}, {})}, {.reduction = reduction});
    const Tensor batch =
        ctc_loss({reshape(x, {5, 1, 4}), reshape(targets, {1, 2}), i64s({5}, {1}), i64s({2}, {1})},
                 {.reduction = reduction});
    EXPECT_EQ(one.rank(), 0);
    EXPECT_EQ(one.item(), batch.item());
  }
}

TEST(Ctc, NaNOfASampleIsItsLossAndGradient) {
  Generator g(3);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::int64_t step : {0, 2, 4})
    for (const bool zero_infinity : {false, true}) {
      SCOPED_TRACE(step);
      std::vector<float> values = log_softmax(g.normal({5, 2, 4}), 2).to_vector<float>();
      // A blank and all labels of sample 1; its class 2 is not in the target.
      for (const std::size_t i : {0U, 1U, 3U})
        values[static_cast<std::size_t>(step) * 8 + 4 + i] = nan;
      Tensor x = Tensor::from(values, {5, 2, 4}).set_requires_grad();
      const Tensor loss =
          ctc_loss({x, i64s({1, 3, 1, 3}, {2, 2}), i64s({5, 5}, {2}), i64s({2, 2}, {2})},
                   {.zero_infinity = zero_infinity, .reduction = "none"});
      loss.backward(Tensor::ones({2}));
      const std::vector<float> losses = loss.to_vector<float>();
      EXPECT_TRUE(std::isfinite(losses[0]));
      EXPECT_TRUE(std::isnan(losses[1]));
      const std::vector<float> gradient = x.grad().to_vector<float>();
      for (std::size_t t = 0; t < 5; ++t)
        for (std::size_t c = 0; c < 4; ++c) {
          EXPECT_TRUE(std::isfinite(gradient[t * 8 + c]));
          if (c != 2) {
            EXPECT_TRUE(std::isnan(gradient[t * 8 + 4 + c])) << t << c;
          }
        }
    }
  // What no step of the sample reads does not count.
  std::vector<float> late(5 * 4, -1.5F);
  late[19] = nan;
  EXPECT_TRUE(std::isfinite(ctc_loss({Tensor::from(late, {5, 1, 4}), i64s({1, 3}, {1, 2}),
                                      i64s({4}, {1}), i64s({2}, {1})})
                                .item()));
}

TEST(Ctc, BadInputToCtcLoss) {
  const Tensor x = Tensor::zeros({4, 2, 3});
  const CtcOperands good{x, i64s({1, 2, 1, 2}, {2, 2}), i64s({4, 3}, {2}), i64s({2, 1}, {2})};
  ErrorCode code{};
  const auto message = [&](auto change, const CtcLossAttributes& a = {}) {
    CtcOperands operands = good;
    change(operands);
    return error_of([&] { ctc_loss(operands, a); }, &code);
  };
  const auto nothing = [](CtcOperands&) {};
  EXPECT_THAT(message([](auto& o) { o.log_probs = Tensor::zeros({4}); }),
              HasSubstr("ctc_loss: expected log_probs [T, N, C], got [4]"));
  EXPECT_THAT(message([](auto& o) { o.log_probs = o.targets; }),
              HasSubstr("ctc_loss: expected a floating type, got i64"));
  EXPECT_THAT(message(nothing, {.blank = 3}), HasSubstr("expected a blank from 0 to 2, got 3"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(message(nothing, {.reduction = "batchmean"}),
              HasSubstr("expected the reduction none, mean or sum, got 'batchmean'"));
  EXPECT_THAT(message([](auto& o) {
                o.targets = Tensor::zeros({2, 2});
              }),
              HasSubstr("expected i64 or i32 as input 1, got f32"));
  EXPECT_THAT(
      message([](auto& o) {
        o.targets = i64s({1, 2, 1}, {3, 1});
      }),
      HasSubstr("expected targets [N, S] or all in a row for log_probs [4, 2, 3], got [3, 1]"));
  EXPECT_THAT(message([](auto& o) { o.input_lengths = i64s({4}, {1}); }),
              HasSubstr("expected a length for each sample of log_probs [4, 2, 3], got [1]"));
  EXPECT_THAT(message([](auto& o) {
                o.input_lengths = i64s({4, 5}, {2});
              }),
              HasSubstr("expected input lengths from 0 to 4, got 5 of sample 1"));
  EXPECT_THAT(message([](auto& o) {
                o.target_lengths = i64s({3, 1}, {2});
              }),
              HasSubstr("expected target lengths from 0 to 2, got 3 of sample 0"));
  EXPECT_THAT(message([](auto& o) {
                o.targets = i64s({1, 2, 1}, {3}), o.target_lengths = i64s({2, 2}, {2});
              }),
              HasSubstr("expected target lengths from 0 to 1, got 2 of sample 1"));
  EXPECT_THAT(message([](auto& o) {
                o.targets = i64s({1, 0, 1, 2}, {2, 2});
              }),
              HasSubstr("expected labels from 0 to 2 other than the blank 0, got 0 of sample 0"));
  EXPECT_THAT(message([](auto& o) { o.targets = i64s({1, 3, 1, 2}, {2, 2}); }), HasSubstr("got 3"));
  EXPECT_THAT(error_of([] {
                nn::CTCLoss loss;
                loss.run({Tensor(), Tensor()});
              }),
              HasSubstr("CTCLoss: expected log_probs, targets, input_lengths and target_lengths"));
}

}  // namespace
}  // namespace pare::test
