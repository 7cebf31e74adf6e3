// fit on what the Loader makes: mixed batches, padded sequences with their lengths, samplers.
#include <gtest/gtest.h>

#include <cmath>

#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"
#include "pare/data/loader.h"
#include "pare/data/sequence.h"
#include "pare/nn/linear.h"
#include "pare/optim/sgd.h"
#include "pare/train/fit.h"

namespace pare::train {
namespace {

struct Net : nn::Module {
  nn::Linear fc1{{.in = 4, .out = 16}};
  nn::Linear fc2{{.in = 16, .out = 3}};
  void members(nn::Members& m) override { m("fc1", fc1)("fc2", fc2); }
  Tensor forward(const Tensor& x) override { return fc2(tanh(fc1(x))); }
};

// Three clouds of points, one in ten of the last class.
data::TensorDataset clouds(std::int64_t count, std::uint64_t seed) {
  Generator generator(seed);
  Tensor points = generator.normal({count, 4}, 0, 0.5F);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    labels.push_back(i % 10 == 0 ? 2 : i % 2);
    points.mutable_data<float>()[4 * i + labels.back()] += 2;
  }
  return data::TensorDataset(points, Tensor::from(labels, {count}));
}

TEST(LoadedFitTest, LearnsFromMixedAndBalancedBatches) {
  const data::TensorDataset set = clouds(300, 1);
  data::Loader train(
      set, {.batch_size = 20,
            .sampler = data::WeightedSampler{.weights = data::balanced_weights(set.labels())},
            .mix = data::MixUp{.classes = 3, .alpha = 0.4}});
  data::Loader test(clouds(200, 2), {.batch_size = 100});
  Net net;
  Generator generator(1);
  nn::initialize(net, generator);
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const History history =
      fit(net, train, {.epochs = 8, .optimizer = &sgd, .validation = &test, .keep_best = false});
  // Mixed labels have no class that could be met.
  EXPECT_TRUE(std::isnan(history.epochs[0].train.accuracy));
  EXPECT_EQ(history.epochs[0].train.samples, 300);
  EXPECT_LT(history.epochs[7].train.loss, history.epochs[0].train.loss);
  EXPECT_GT(history.epochs[7].validation->accuracy, 0.95);
}

// The sum of a sequence's steps; what stands behind its end would spoil it.
struct Sum : nn::Module {
  nn::Linear step{{.in = 1, .out = 1, .bias = false}};
  void members(nn::Members& m) override { m("step", step); }
  Tensor forward(const Tensor& x) override { return step(x); }
};

TEST(LoadedFitTest, LossesSeeTheLengthsOfPaddedBatches) {
  // The target is three times the sum of a sequence.
  Generator generator(3);
  std::vector<std::int64_t> lengths;
  std::vector<float> steps, targets;
  for (int n = 0; n < 60; ++n) {
    lengths.push_back(1 + n % 5);
    float sum = 0;
    for (std::int64_t s = 0; s < lengths.back(); ++s) {
      steps.push_back(generator.uniform() - 0.5F);
      sum += steps.back();
    }
    targets.push_back(3 * sum);
  }
  const data::SequenceDataset set(Tensor::from(steps, {static_cast<std::int64_t>(steps.size()), 1}),
                                  lengths, Tensor::from(targets, {60, 1}));
  data::Loader train(set, {.batch_size = 12, .shuffle = true, .pad = data::Pad{.value = 50}});
  Sum net;
  nn::initialize(net, generator);
  optim::SGD sgd(net.parameters(), {.lr = 0.5});
  const auto loss = [](const Tensor& output, const Batch& batch) {
    Tensor mask = Tensor::zeros(output.shape());
    const auto length = batch.lengths.to_vector<std::int64_t>();
    for (std::size_t n = 0; n < length.size(); ++n) {
      float* const row = mask.mutable_data<float>() + static_cast<std::int64_t>(n) * output.dim(1);
      std::fill_n(row, length[n], 1.0F);
    }
    return mse(sum(mul(output, mask), {1}), batch.y);
  };
  const History history = fit(net, train, {.epochs = 40, .optimizer = &sgd, .loss = loss});
  EXPECT_LT(history.epochs.back().train.loss, 1e-3);
  EXPECT_NEAR(static_cast<Tensor>(net.step.weight).item(), 3, 0.1);
}

}  // namespace
}  // namespace pare::train
