// Accuracy, evaluation and the words for progress.
#include "pare/train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/core/ops/loss.h"

namespace pare::train {
namespace {

// Gives its input back, and remembers the context.
struct Echo : nn::Module {
  Context seen;
  Tensor forward(const Tensor& x) override {
    seen = context();
    return x;
  }
};

TEST(MetricsTest, CountsLargestOutputs) {
  const Tensor output = Tensor::from({1, 2, 0, 3, 3, 1, 0, 0, 5}, {3, 3});
  const Tensor labels = Tensor::from(std::vector<std::int64_t>{1, 1, 2}, {3});
  EXPECT_EQ(count_correct(output, labels), 2);
  EXPECT_EQ(count_correct(output, Tensor::ones({3})), -1);
  EXPECT_EQ(count_correct(Tensor::ones({3}), labels), -1);
  EXPECT_EQ(count_correct(output, {}), -1);
}

TEST(MetricsTest, EvaluatesWithoutTrainingObservingOrGradients) {
  const data::TensorDataset set(Tensor::from({2, 0, 0, 2, 2, 0}, {3, 2}),
                                Tensor::from(std::vector<std::int64_t>{0, 1, 1}, {3}));
  data::Loader loader(set, {.batch_size = 2});
  Echo echo;
  ContextScope scope;
  scope->training = true;
  const Metrics metrics = evaluate(echo, loader);
  EXPECT_FALSE(echo.seen.training || echo.seen.observing || echo.seen.grad);
  EXPECT_TRUE(context().training && context().observing && context().grad);
  EXPECT_EQ(metrics.samples, 3);
  EXPECT_DOUBLE_EQ(metrics.accuracy, 2.0 / 3.0);
  const double right = std::log(1 + std::exp(-2.0)), wrong = std::log(1 + std::exp(2.0));
  EXPECT_NEAR(metrics.loss, (2 * right + wrong) / 3, 1e-6);
}

// Labels [N, T] of logits [N, T, C], which a forward of one's own lays out as [N·T, C].
TEST(MetricsTest, AccuracyOfTokens) {
  const Tensor logits = Tensor::from({2, 0, 0, 2, 2, 0, 0, 1}, {2, 2, 2});
  const auto measured = [&](const std::vector<std::int64_t>& labels) {
    const data::TensorDataset set(logits, Tensor::from(labels, {2, 2}));
    data::Loader loader(set, {.batch_size = 1});
    Echo echo;
    return evaluate(
        echo, loader,
        {.loss = [](const Tensor& output,
                    const Batch& batch) { return cross_entropy(output, reshape(batch.y, {-1})); },
         .forward =
             [](nn::Module& module, const Batch& batch) {
               return reshape(module(batch.x), {-1, 2});
             }});
  };
  const Metrics all = measured({0, 1, 1, 1});
  EXPECT_EQ(all.samples, 2);
  EXPECT_DOUBLE_EQ(all.accuracy, 3.0 / 4.0);
  EXPECT_DOUBLE_EQ(measured({-100, 1, 1, 1}).accuracy, 2.0 / 3.0);
}

TEST(MetricsTest, AnyLossAndTargetsThatAreNoClasses) {
  const data::TensorDataset set(Tensor::from({1, 2}, {2, 1}), Tensor::from({1, 4}, {2, 1}));
  data::Loader loader(set, {.batch_size = 2});
  Echo echo;
  const Metrics metrics = evaluate(echo, loader, mse);
  EXPECT_DOUBLE_EQ(metrics.loss, 2);
  EXPECT_TRUE(std::isnan(metrics.accuracy));
  const auto with_input = [](const Tensor& output, const Batch& batch) {
    return mse(output, batch.x);
  };
  EXPECT_DOUBLE_EQ(evaluate(echo, loader, with_input).loss, 0);
}

TEST(MetricsTest, SaysHowFarATrainingIs) {
  const Progress progress{.epoch = 2,
                          .epochs = 10,
                          .batch = 120,
                          .batches = 480,
                          .batch_loss = 0.3,
                          .loss = 0.3125,
                          .accuracy = 0.9125,
                          .learning_rate = 0.1,
                          .samples_per_second = 12345.4,
                          .seconds_left = 102};
  EXPECT_EQ(to_string(progress),
            "epoch 2/10 [=====>              ] 120/480  loss 0.3125  accuracy 91.25 %  12345/s  "
            "1:42 left");
  Progress bad = progress;
  bad.finite = false;
  bad.batch_loss = std::nan("");
  bad.batch = 480;
  bad.seconds_left = 3 * 3600 + 62;
  bad.accuracy = std::nan("");
  bad.validation = Metrics{.loss = 0.25, .accuracy = 0.5, .samples = 8, .seconds = 1};
  EXPECT_EQ(to_string(bad),
            "epoch 2/10 [====================] 480/480  loss 0.3125  12345/s  3:01:02 left  "
            "batch loss nan  validation loss 0.25  accuracy 50.00 %");
  EXPECT_EQ(to_string(*bad.validation), "loss 0.25  accuracy 50.00 %  (8 samples, 1.0 s)");
}

}  // namespace
}  // namespace pare::train
