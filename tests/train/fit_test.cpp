// fit: it learns, it can be watched and stopped, it keeps the best epoch, it does not swallow NaN.
#include "pare/train/fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/loss.h"
#include "pare/graph/trace.h"
#include "pare/io/checkpoint.h"
#include "pare/nn/linear.h"
#include "pare/optim/sgd.h"
#include "pare/quantize/prepare.h"
#include "temporary_folder.h"

namespace pare::train {
namespace {

using test::expect_error;
using test::TemporaryFolder;

struct Net : nn::Module {
  nn::Linear fc1{{.in = 2, .out = 16}};
  nn::Linear fc2{{.in = 16, .out = 2}};
  void members(nn::Members& m) override { m("fc1", fc1)("fc2", fc2); }
  Tensor forward(const Tensor& x) override { return fc2(tanh(fc1(x))); }
};

Net fresh(std::uint64_t seed = 1) {
  Net net;
  Generator generator(seed);
  nn::initialize(net, generator);
  return net;
}

// Points of a plane; the class is whether they lie in the unit circle.
data::TensorDataset circle(std::int64_t count, std::uint64_t seed) {
  Generator generator(seed);
  const Tensor points = generator.uniform({count, 2}, -1.5F, 1.5F);
  const float* p = points.data<float>();
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i, p += 2) {
    labels.push_back(p[0] * p[0] + p[1] * p[1] < 1 ? 1 : 0);
  }
  return data::TensorDataset(points, Tensor::from(labels, {count}));
}

TEST(FitTest, Learns) {
  data::Loader train(circle(1000, 1), {.batch_size = 20, .shuffle = true});
  data::Loader test(circle(500, 2), {.batch_size = 100});
  Net net = fresh();
  const double before = evaluate(net, test).accuracy;
  optim::SGD sgd(net.parameters(), {.lr = 0.3, .momentum = 0.9});
  const History history = fit(net, train,
                              {.epochs = 15,
                               .optimizer = &sgd,
                               .schedule = optim::CosineAnnealingLR{.T_max = 15},
                               .clip_norm = 5});
  const Metrics after = evaluate(net, test);
  EXPECT_LT(before, 0.8);
  EXPECT_GT(after.accuracy, 0.95);
  ASSERT_EQ(history.epochs.size(), 15U);
  EXPECT_EQ(history.epochs[0].train.samples, 1000);
  EXPECT_LT(history.epochs.back().train.loss, history.epochs[0].train.loss);
  EXPECT_DOUBLE_EQ(history.epochs[0].learning_rate, 0.3);
  EXPECT_NEAR(history.epochs.back().learning_rate, 0.15 * (1 + std::cos(M_PI * 14 / 15)), 1e-12);
  EXPECT_FALSE(history.stopped);
  EXPECT_EQ(history.best_epoch, -1);
  EXPECT_FALSE(net.fc1.weight.value().grad().defined());
}

TEST(FitTest, HasDefaultsForEverything) {
  data::Loader train(circle(200, 1), {.batch_size = 10});
  Net a = fresh(), b = fresh(), c = fresh();
  fit(a, train);
  // The loss as the third argument, by the labels or by the whole batch.
  fit(b, train, cross_entropy);
  fit(c, train,
      [](const Tensor& output, const Batch& batch) { return cross_entropy(output, batch.y); });
  EXPECT_EQ(a.fc1.weight.value().to_vector<float>(), b.fc1.weight.value().to_vector<float>());
  EXPECT_EQ(a.fc1.weight.value().to_vector<float>(), c.fc1.weight.value().to_vector<float>());
  EXPECT_NE(a.fc1.weight.value().to_vector<float>(), fresh().fc1.weight.value().to_vector<float>());
}

TEST(FitTest, ShowsItsProgress) {
  data::Loader train(circle(50, 1), {.batch_size = 20});
  data::Loader test(circle(30, 2), {.batch_size = 30});
  Net net = fresh();
  std::vector<Progress> seen;
  fit(net, train, {.epochs = 2, .validation = &test, .progress = [&](const Progress& progress) {
                     EXPECT_TRUE(context().training);
                     seen.push_back(progress);
                     return true;
                   }});
  ASSERT_EQ(seen.size(), 8U);
  EXPECT_EQ(seen[0].epoch, 1);
  EXPECT_EQ(seen[0].epochs, 2);
  EXPECT_EQ(seen[0].batch, 1);
  EXPECT_EQ(seen[0].batches, 3);
  EXPECT_DOUBLE_EQ(seen[0].loss, seen[0].batch_loss);
  EXPECT_GT(seen[0].samples_per_second, 0);
  EXPECT_GT(seen[0].seconds_left, 0);
  EXPECT_FALSE(seen[2].validation.has_value());
  ASSERT_TRUE(seen[3].validation.has_value());
  EXPECT_EQ(seen[3].validation->samples, 30);
  EXPECT_EQ(seen[4].epoch, 2);
  EXPECT_EQ(seen[6].seconds_left, 0);
  EXPECT_FALSE(context().training);
}

TEST(FitTest, StopsWhenAsked) {
  data::Loader train(circle(100, 1), {.batch_size = 10});
  Net net = fresh();
  int calls = 0;
  const History history =
      fit(net, train, {.epochs = 5, .progress = [&](const Progress&) { return ++calls < 13; }});
  EXPECT_TRUE(history.stopped);
  EXPECT_EQ(calls, 13);
  ASSERT_EQ(history.epochs.size(), 2U);
  EXPECT_EQ(history.epochs[1].train.samples, 30);
}

TEST(FitTest, RepeatsWithTheSeed) {
  Net a = fresh(), b = fresh();
  for (Net* net : {&a, &b}) {
    data::Loader train(circle(100, 1), {.batch_size = 10, .shuffle = true, .seed = 4});
    fit(*net, train, {.epochs = 2});
  }
  EXPECT_EQ(a.fc2.weight.value().to_vector<float>(), b.fc2.weight.value().to_vector<float>());
}

TEST(FitTest, EndsInTheBestEpochAndSavesIt) {
  const TemporaryFolder folder;
  data::Loader train(circle(1000, 1), {.batch_size = 10});
  data::Loader test(circle(200, 2), {.batch_size = 100});
  Net net = fresh();
  optim::SGD sgd(net.parameters(), {.lr = 0.5});
  // From the third epoch on the weights are thrown far away.
  const optim::Schedule schedule = [](double base, std::int64_t epoch) {
    return epoch < 2 ? base : 1e4;
  };
  const std::string path = folder.path("best.safetensors");
  const History history = fit(net, train,
                              {.epochs = 4,
                               .optimizer = &sgd,
                               .schedule = schedule,
                               .validation = &test,
                               .checkpoint = path,
                               .progress = [](const Progress&) { return true; }});
  ASSERT_GE(history.best_epoch, 0);
  ASSERT_LT(history.best_epoch, 2);
  const auto& best = *history.epochs[static_cast<std::size_t>(history.best_epoch)].validation;
  EXPECT_DOUBLE_EQ(evaluate(net, test).accuracy, best.accuracy);
  Net loaded;
  io::load(loaded, path);
  EXPECT_EQ(loaded.fc1.weight.value().to_vector<float>(),
            net.fc1.weight.value().to_vector<float>());
  EXPECT_EQ(loaded.fc2.bias.value().to_vector<float>(), net.fc2.bias.value().to_vector<float>());
}

// The loss of a batch, NaN in the third.
struct NanInThird {
  int calls = 0;
  Tensor operator()(const Tensor& output, const Tensor& labels) {
    const Tensor loss = cross_entropy(output, labels);
    if (++calls != 3) return loss;
    return mul(loss, Tensor::scalar(std::numeric_limits<double>::quiet_NaN()));
  }
};

TEST(FitTest, NanReachesTheCallbackAndSparesTheWeights) {
  data::Loader train(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  std::vector<bool> finite;
  std::vector<float> before;
  const History history =
      fit(net, train, {.loss = NanInThird(), .progress = [&](const Progress& progress) {
                         finite.push_back(progress.finite);
                         const auto now = net.fc1.weight.value().to_vector<float>();
                         if (!progress.finite) {
                           EXPECT_TRUE(std::isnan(progress.batch_loss));
                           EXPECT_TRUE(std::isfinite(progress.loss));
                           EXPECT_EQ(now, before);
                         }
                         before = now;
                         return true;
                       }});
  EXPECT_EQ(finite, (std::vector<bool>{true, true, false, true, true}));
  EXPECT_EQ(history.skipped, 1);
}

TEST(FitTest, NanWithoutACallbackIsAnError) {
  data::Loader train(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  expect_error(ErrorCode::invalid_state, {"finite loss", "nan", "epoch 1, batch 3 of 5"},
               [&] { fit(net, train, NanInThird()); });
}

TEST(FitTest, ANetThatGivesNanInValidationIsNotTheBest) {
  data::Loader train(circle(100, 1), {.batch_size = 20});
  data::Loader test(circle(60, 2), {.batch_size = 20});
  Net net = fresh();
  // The first epoch's validation has one batch of NaN, the second's has none.
  int calls = 0;
  const auto loss = [&](const Tensor& output, const Tensor& labels) {
    const Tensor value = cross_entropy(output, labels);
    if (context().training || ++calls != 2) return value;
    return mul(value, Tensor::scalar(std::numeric_limits<double>::quiet_NaN()));
  };
  optim::SGD sgd(net.parameters(), {.lr = 0.0});
  const History history =
      fit(net, train, {.epochs = 2, .optimizer = &sgd, .loss = loss, .validation = &test});
  EXPECT_EQ(history.epochs[0].validation->non_finite, 1);
  EXPECT_TRUE(std::isfinite(history.epochs[0].validation->loss));
  EXPECT_EQ(history.epochs[1].validation->non_finite, 0);
  EXPECT_EQ(history.best_epoch, 1);
  EXPECT_NE(to_string(*history.epochs[0].validation).find("1 batches without a finite loss"),
            std::string::npos);
}

TEST(FitTest, AnUndefinedLossIsAnError) {
  data::Loader train(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  const auto nothing = [](const Tensor&, const Tensor&) { return Tensor(); };
  expect_error(ErrorCode::invalid_argument, {"train::fit", "scalar loss", "undefined"},
               [&] { fit(net, train, nothing); });
  expect_error(ErrorCode::invalid_argument, {"train::evaluate", "undefined"},
               [&] { evaluate(net, train, nothing); });
  expect_error(ErrorCode::invalid_argument, {"scalar loss", "[10, 2]"}, [&] {
    fit(net, train, [](const Tensor& output, const Tensor&) { return output; });
  });
}

TEST(FitTest, LoadersWithoutABatchAreRefused) {
  data::Loader none(circle(5, 1), {.batch_size = 10, .drop_last = true});
  data::Loader some(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  expect_error(ErrorCode::invalid_argument, {"train::fit", "5 examples in batches of 10"},
               [&] { fit(net, none); });
  expect_error(ErrorCode::invalid_argument, {"train::fit", "validate"},
               [&] { fit(net, some, {.validation = &none}); });
}

TEST(FitTest, AMissingFolderOfTheCheckpointIsFoundBeforeTheFirstEpoch) {
  const TemporaryFolder folder;
  data::Loader train(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  int batches = 0;
  expect_error(ErrorCode::io_error, {"folder that exists", "nowhere/best"}, [&] {
    fit(net, train,
        {.validation = &train,
         .checkpoint = folder.path("nowhere/best"),
         .progress = [&](const Progress&) { return ++batches > 0; }});
  });
  EXPECT_EQ(batches, 0);
}

TEST(FitTest, NanInAnObservedActivationIsAnErrorThatNamesTheNode) {
  data::Loader train(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  Graph qat = quantize::prepare_qat(trace(net, Tensor::ones({2, 2})), quantize::QConfig::x86());
  auto state = qat.state();
  for (auto& named : state)
    if (named.name.find("fc1.bias") != std::string::npos)
      named.tensor.fill(std::numeric_limits<double>::infinity());
  expect_error(ErrorCode::invalid_argument, {"fc1", "finite values"},
               [&] { fit(qat, train, {.progress = [](const Progress&) { return true; }}); });
}

TEST(FitTest, MistakesAreNamed) {
  data::Loader train(circle(50, 1), {.batch_size = 10});
  Net net = fresh();
  expect_error(ErrorCode::invalid_argument, {"epochs", "-1"},
               [&] { fit(net, train, {.epochs = -1}); });
  expect_error(ErrorCode::invalid_argument, {"clip_norm", "-1"},
               [&] { fit(net, train, {.clip_norm = -1}); });
  expect_error(ErrorCode::invalid_argument, {"validation set", "best.bin"},
               [&] { fit(net, train, {.checkpoint = "best.bin"}); });
  const data::TensorDataset wrong(Tensor::zeros({4, 2}),
                                  Tensor::from(std::vector<std::int64_t>{0, 1, 2, 1}, {4}));
  data::Loader labels(wrong, {.batch_size = 2});
  expect_error(ErrorCode::out_of_range, {"2"}, [&] { fit(net, labels); });
}

}  // namespace
}  // namespace pare::train
