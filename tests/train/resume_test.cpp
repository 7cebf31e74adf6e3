// Resuming: interrupted at an epoch's end, a training goes on bit for bit; accumulation, averages,
// early stopping and the plateau go along.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>

#include "expect_error.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/graph/trace.h"
#include "pare/io/checkpoint.h"
#include "pare/nn/conv.h"
#include "pare/nn/dropout.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/optim/adam.h"
#include "pare/optim/sgd.h"
#include "pare/train/fit.h"
#include "temporary_folder.h"
#include "train/trial.h"

namespace pare::train {
namespace {

using test::expect_error;
using test::TemporaryFolder;
using test_training::Net;
using test_training::pictures;
using test_training::state_of;
using test_training::Trial;
using test_training::Wider;

void expect_same(Trial& a, Trial& b) {
  EXPECT_EQ(state_of(a.net), state_of(b.net));
  ASSERT_EQ(a.history.epochs.size(), b.history.epochs.size());
  for (std::size_t e = 0; e < a.history.epochs.size(); ++e) {
    EXPECT_EQ(a.history.epochs[e].train.loss, b.history.epochs[e].train.loss) << e;
    EXPECT_EQ(a.history.epochs[e].learning_rate, b.history.epochs[e].learning_rate) << e;
    ASSERT_EQ(a.history.epochs[e].validation.has_value(),
              b.history.epochs[e].validation.has_value());
    if (a.history.epochs[e].validation) {
      EXPECT_EQ(a.history.epochs[e].validation->loss, b.history.epochs[e].validation->loss) << e;
    }
  }
  EXPECT_EQ(a.history.best_epoch, b.history.best_epoch);
  EXPECT_EQ(a.history.stopped_early, b.history.stopped_early);
}

// Five epochs at once, or two and three, or one at a time.
void expect_resumes(const std::function<FitOptions(Trial&)>& options) {
  const TemporaryFolder folder;
  Trial whole;
  FitOptions all = options(whole);
  all.epochs = 5;
  whole(all);
  int part = 0;
  for (const std::vector<std::int64_t>& stops :
       std::vector<std::vector<std::int64_t>>{{2, 5}, {1, 2, 3, 4, 5}}) {
    const std::string path = folder.path(std::to_string(++part));
    for (const std::int64_t stop : stops) {
      Trial run;
      FitOptions some = options(run);
      some.epochs = stop;
      some.state = path;
      some.resume = true;
      run(some);
      if (stop == 5) expect_same(whole, run);
    }
  }
}

TEST(Resume, EqualsUninterrupted) {
  expect_resumes([](Trial&) { return FitOptions{}; });
}

TEST(Resume, WithASchedule) {
  expect_resumes([](Trial&) {
    return FitOptions{.schedule = optim::CosineAnnealingLR{.T_max = 5}, .clip_norm = 0.5};
  });
}

TEST(Resume, WithValidationAndTheBestEpoch) {
  expect_resumes([](Trial& run) { return FitOptions{.validation = &run.validation}; });
}

TEST(Resume, WithAccumulationAnAverageAndAPlateau) {
  expect_resumes([](Trial& run) {
    return FitOptions{.plateau = &run.plateau,
                      .accumulate = 2,
                      .moving_average = optim::MovingAverageOptions{.decay = 0.9},
                      .validation = &run.validation,
                      .keep_best = false};
  });
}

TEST(Resume, WithEarlyStopping) {
  const auto options = [](Trial& run) {
    run.optimizer->set_learning_rate(0.0);
    return FitOptions{.early_stopping = {.patience = 2, .min_delta = 0.01},
                      .validation = &run.validation};
  };
  expect_resumes(options);
  Trial run;
  FitOptions some = options(run);
  some.epochs = 9;
  run(some);
  EXPECT_TRUE(run.history.stopped_early);
  EXPECT_FALSE(run.history.stopped);
  EXPECT_LT(run.history.epochs.size(), 9U);
}

TEST(Resume, StoppedByTheCallbackAtAnEpochsEnd) {
  const TemporaryFolder folder;
  Trial whole, first, second;
  whole({.epochs = 3, .validation = &whole.validation});
  FitOptions options{.epochs = 3,
                     .validation = &first.validation,
                     .state = folder.path("state"),
                     .resume = true,
                     .progress = [](const Progress& p) { return !(p.epoch == 1 && p.validation); }};
  first(options);
  EXPECT_TRUE(first.history.stopped);
  options.validation = &second.validation;
  options.progress = nullptr;
  second(options);
  expect_same(whole, second);
}

TEST(Resume, AGraph) {
  const TemporaryFolder folder;
  context().threads = 1;
  Net net;
  Generator generator(1);
  nn::initialize(net, generator);
  const auto trained = [&](const std::vector<std::int64_t>& stops) {
    std::vector<std::vector<float>> last;
    for (const std::int64_t stop : stops) {
      Graph graph = trace(net, Tensor::zeros({2, 1, 4, 4})).copy();
      data::Loader train(pictures(37), {.batch_size = 8, .shuffle = true});
      optim::SGD sgd(graph.parameters(), {.lr = 0.1, .momentum = 0.9});
      fit(graph, train,
          {.epochs = stop,
           .optimizer = &sgd,
           .state = folder.path(std::to_string(stops.size())),
           .resume = true});
      last = state_of(graph);
    }
    return last;
  };
  EXPECT_EQ(trained({3}), trained({1, 3}));
}

TEST(Resume, AnEpochBrokenOffIsDoneAgain) {
  const TemporaryFolder folder;
  Trial whole, first, second;
  whole({.epochs = 3});
  FitOptions options{.epochs = 3, .state = folder.path("state"), .resume = true};
  options.progress = [](const Progress& p) { return !(p.epoch == 2 && p.batch == 3); };
  first(options);
  options.progress = nullptr;
  second(options);
  expect_same(whole, second);
}

TEST(Resume, WithoutTheWordItStartsAnew) {
  const TemporaryFolder folder;
  Trial first, second;
  first({.epochs = 2, .state = folder.path("state")});
  second({.epochs = 2, .state = folder.path("state")});
  expect_same(first, second);
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_refused(ErrorCode code, std::initializer_list<std::string> parts, Trial& run,
                    FitOptions options) {
  const auto before = state_of(run.net);
  const auto optimizer = run.optimizer->state().size();
  options.resume = true;
  expect_error(code, parts, [&] { run(options); });
  EXPECT_EQ(state_of(run.net), before);
  EXPECT_EQ(run.optimizer->state().size(), optimizer);
}

TEST(Resume, DamagedFilesAreRefusedWhole) {
  const TemporaryFolder folder;
  const std::string path = folder.path("state");
  Trial run;
  run({.epochs = 1, .state = path});
  const std::string good = bytes_of(path);
  for (const std::size_t keep :
       {good.size() - 1, good.size() / 2, std::size_t{4}, std::size_t{0}}) {
    std::ofstream(path, std::ios::binary) << good.substr(0, keep);
    Trial fresh;
    expect_refused(ErrorCode::corrupt_data, {path}, fresh, {.epochs = 2, .state = path});
  }
  io::save(run.net, path);
  Trial fresh;
  expect_refused(ErrorCode::corrupt_data, {path, "state of a training"}, fresh,
                 {.epochs = 2, .state = path});
  // Another number in the metadata, another one among the weights.
  std::string wrong = good;
  const std::size_t at = wrong.find("\"loader_epoch\":\"1\"");
  ASSERT_NE(at, std::string::npos);
  wrong[at + 16] = '2';
  std::ofstream(path, std::ios::binary) << wrong;
  expect_refused(ErrorCode::corrupt_data, {path, "checksum", "damaged"}, fresh,
                 {.epochs = 2, .state = path});
  wrong = good;
  wrong[good.size() - 5] ^= 1;
  std::ofstream(path, std::ios::binary) << wrong;
  expect_refused(ErrorCode::corrupt_data, {path, "checksum", "damaged"}, fresh,
                 {.epochs = 2, .state = path});
}

// Whatever bit of the file is another one: either it says the same or it is refused.
TEST(Resume, AnyDamagedByteIsFound) {
  const TemporaryFolder folder;
  const std::string path = folder.path("state");
  Trial run;
  run({.epochs = 1, .state = path});
  const std::string good = bytes_of(path);
  std::int64_t accepted = 0;
  for (std::size_t at = 0; at < good.size(); at += 1 + good.size() / 60) {
    std::string wrong = good;
    wrong[at] ^= static_cast<char>(1 << at % 7);
    std::ofstream(path, std::ios::binary) << wrong;
    Trial fresh;
    try {
      fresh({.epochs = 1, .state = path, .resume = true});
      ++accepted;
    } catch (const Error& error) {
      EXPECT_NE(error.message().find(path), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(accepted, 0);
}

TEST(Resume, StatesOfAnotherTrainingAreRefusedWhole) {
  const TemporaryFolder folder;
  const std::string path = folder.path("state");
  Trial run;
  run({.epochs = 1, .state = path});
  Trial sgd;
  sgd.optimizer = std::make_unique<optim::SGD>(sgd.net.parameters());
  expect_refused(ErrorCode::invalid_argument, {path, "state of SGD", "AdamW"}, sgd,
                 {.epochs = 2, .state = path});
  Trial one;
  one.optimizer = std::make_unique<optim::AdamW>(one.net.parameters());
  expect_refused(ErrorCode::invalid_argument, {path, "1 groups", "got 2"}, one,
                 {.epochs = 2, .state = path});
  Trial average;
  expect_refused(ErrorCode::invalid_argument, {path, "with a moving average", "without"}, average,
                 {.epochs = 2, .moving_average = optim::MovingAverageOptions{}, .state = path});
  Trial plateau;
  expect_refused(ErrorCode::invalid_argument, {path, "with a plateau"}, plateau,
                 {.epochs = 2, .plateau = &plateau.plateau, .state = path});
  Wider other;
  Generator generator(1);
  nn::initialize(other, generator);
  data::Loader train(pictures(8), {.batch_size = 8});
  optim::AdamW adamw(optim::decay_groups<optim::AdamWOptions>(other.parameters()));
  expect_error(ErrorCode::invalid_argument, {path, "state of this module", "besides"},
               [&] { fit(other, train, {.optimizer = &adamw, .state = path, .resume = true}); });
}

}  // namespace
}  // namespace pare::train
