// Options of fit: accumulation, the moving average, early stopping, the learning curve.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>

#include "expect_error.h"
#include "pare/optim/sgd.h"
#include "temporary_folder.h"
#include "train/trial.h"

namespace pare::train {
namespace {

using test::expect_error;
using test_training::pictures;
using test_training::state_of;
using test_training::Trial;
using test_training::Wider;

TEST(Accumulation, OfEqualBatchesIsTheLargeBatch) {
  // Plain descent without a norm: four batches of 5 are one of 20, the rest of 3 one of 3.
  const auto train = [](std::int64_t size, std::int64_t accumulate) {
    Wider net;
    Generator generator(1);
    nn::initialize(net, generator);
    data::Loader loader(pictures(23), {.batch_size = size});
    optim::SGD sgd(net.parameters(), {.lr = 0.5, .momentum = 0.9});
    fit(net, loader, {.epochs = 2, .optimizer = &sgd, .clip_norm = 0.7, .accumulate = accumulate});
    return net.fc.weight.value().to_vector<float>();
  };
  const auto large = train(20, 1);
  const auto small = train(5, 4);
  const auto ones = train(1, 20);
  const auto plain = train(5, 1);
  double difference = 0;
  for (std::size_t i = 0; i < large.size(); ++i) {
    EXPECT_NEAR(large[i], small[i], 2e-6) << i;
    EXPECT_NEAR(large[i], ones[i], 2e-6) << i;
    difference += std::fabs(large[i] - plain[i]);
  }
  EXPECT_GT(difference, 0.01);
}

TEST(Accumulation, UnequalBatchesWeighByTheirExamples) {
  // 8 + 8 + 7 examples in one step are the mean over 23.
  const auto train = [](std::int64_t size, std::int64_t accumulate) {
    Wider net;
    Generator generator(1);
    nn::initialize(net, generator);
    data::Loader loader(pictures(23), {.batch_size = size});
    optim::SGD sgd(net.parameters(), {.lr = 0.5});
    fit(net, loader, {.epochs = 1, .optimizer = &sgd, .accumulate = accumulate});
    return net.fc.weight.value().to_vector<float>();
  };
  const auto large = train(23, 1), small = train(8, 3), more = train(8, 100);
  for (std::size_t i = 0; i < large.size(); ++i) EXPECT_NEAR(large[i], small[i], 2e-6) << i;
  EXPECT_EQ(small, more);
}

TEST(MovingAverageInFit, IsWhatValidationSeesAndWhatIsLeft) {
  Trial run;
  // By hand: the same training, averaged by the callback after every step.
  std::optional<optim::MovingAverage> average;
  Trial hand;
  average.emplace(hand.net.parameters(), optim::MovingAverageOptions{.decay = 0.5});
  hand({.epochs = 2, .progress = [&](const Progress&) {
          average->update();
          return true;
        }});
  run({.epochs = 2, .moving_average = optim::MovingAverageOptions{.decay = 0.5}});
  average->swap();
  EXPECT_EQ(state_of(run.net), state_of(hand.net));
  Trial validated;
  validated({.epochs = 2,
             .moving_average = optim::MovingAverageOptions{.decay = 0.5},
             .validation = &validated.validation,
             .keep_best = false});
  EXPECT_EQ(state_of(run.net), state_of(validated.net));
  EXPECT_EQ(validated.history.epochs.back().validation->loss,
            evaluate(validated.net, validated.validation).loss);
}

TEST(EarlyStopping, WatchesWhatItIsTold) {
  Trial run;
  // Accuracy of training, which nothing can improve by more than 1.
  run({.epochs = 9,
       .early_stopping = {.patience = 3, .min_delta = 1.5, .monitor = Monitor::accuracy}});
  EXPECT_TRUE(run.history.stopped_early);
  EXPECT_EQ(run.history.epochs.size(), 4U);
  Trial never;
  never({.epochs = 3, .early_stopping = {.patience = 0, .min_delta = 1.5}});
  EXPECT_EQ(never.history.epochs.size(), 3U);
  EXPECT_FALSE(never.history.stopped_early);
}

TEST(HistoryText, HasALineForEveryEpoch) {
  History history;
  history.epochs.push_back({.train = {.loss = 0.5, .accuracy = 0.25, .samples = 4, .seconds = 2},
                            .validation = {},
                            .learning_rate = 0.125});
  history.epochs.push_back(
      {.train = {.loss = 0.1, .samples = 4, .seconds = 1},
       .validation = Metrics{.loss = 0.75, .accuracy = 1, .mean_absolute_error = 2.5, .r2 = 0.5},
       .learning_rate = 0.5});
  history.best_epoch = 1;
  EXPECT_EQ(to_csv(history),
            "epoch,learning_rate,train_loss,train_accuracy,train_mae,train_mse,train_r2,"
            "validation_loss,validation_accuracy,validation_mae,validation_mse,validation_r2,"
            "seconds\n1,0.125,0.5,0.25,,,,,,,,,2\n2,0.5,0.1,,,,,0.75,1,2.5,,0.5,1\n");
  EXPECT_EQ(to_json(history),
            "{\"epochs\": [{\"epoch\": 1, \"learning_rate\": 0.125, \"train_loss\": 0.5, "
            "\"train_accuracy\": 0.25, \"train_mae\": null, \"train_mse\": null, "
            "\"train_r2\": null, \"validation_loss\": null, \"validation_accuracy\": null, "
            "\"validation_mae\": null, \"validation_mse\": null, \"validation_r2\": null, "
            "\"seconds\": 2}, {\"epoch\": 2, \"learning_rate\": 0.5, \"train_loss\": 0.1, "
            "\"train_accuracy\": null, \"train_mae\": null, \"train_mse\": null, "
            "\"train_r2\": null, \"validation_loss\": 0.75, \"validation_accuracy\": 1, "
            "\"validation_mae\": 2.5, \"validation_mse\": null, \"validation_r2\": 0.5, "
            "\"seconds\": 1}], \"best_epoch\": 1, \"stopped\": false, \"stopped_early\": false, "
            "\"skipped\": 0}");
}

TEST(FitOptionsTest, MistakesAreNamed) {
  Trial run;
  expect_error(ErrorCode::invalid_argument, {"accumulate", "got 0"},
               [&] { run({.accumulate = 0}); });
  expect_error(ErrorCode::invalid_argument, {"patience", "-1"},
               [&] { run({.early_stopping = {.patience = -1}}); });
  expect_error(ErrorCode::invalid_argument, {"a schedule or a plateau"},
               [&] { run({.schedule = optim::StepLR{}, .plateau = &run.plateau}); });
  expect_error(ErrorCode::invalid_argument, {"state to resume from"},
               [&] { run({.resume = true}); });
  expect_error(ErrorCode::io_error, {"folder that exists", "nowhere"},
               [&] { run({.state = "/nowhere/at/all"}); });
}

TEST(FitOptionsTest, FilesAreCheckedBeforeTraining) {
  const test::TemporaryFolder folder;
  Trial run;
  std::int64_t batches = 0;
  const auto count = [&](const Progress&) { return ++batches > 0; };
  std::filesystem::create_directory(folder.path("inner"));
  expect_error(ErrorCode::io_error, {"train::fit: expected a file for the state", "inner"},
               [&] { run({.state = folder.path("inner"), .progress = count}); });
  expect_error(
      ErrorCode::io_error, {"train::fit: expected a file for the checkpoint", "inner"}, [&] {
        run({.validation = &run.validation, .checkpoint = folder.path("inner"), .progress = count});
      });
  for (const char* name : {"one", "inner/../one"}) {
    expect_error(ErrorCode::invalid_argument, {"train::fit: expected different files", "one"}, [&] {
      run({.validation = &run.validation,
           .checkpoint = folder.path(name),
           .state = folder.path("one"),
           .progress = count});
    });
  }
  EXPECT_EQ(batches, 0);
}

TEST(FitOptionsTest, AnOptimizerOfAnotherModuleIsRefused) {
  Trial run, other;
  expect_error(ErrorCode::invalid_argument,
               {"train::fit: expected an optimizer of the module's parameters", "6 others"},
               [&] { fit(run.net, run.train, {.optimizer = other.optimizer.get()}); });
}

}  // namespace
}  // namespace pare::train
