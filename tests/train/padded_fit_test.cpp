// Training on padded sequences: the module gets their lengths, and padding changes nothing.
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/data/sequence.h"
#include "pare/models/char_rnn.h"
#include "pare/optim/sgd.h"
#include "pare/train/confusion.h"
#include "pare/train/fit.h"

namespace pare::train {
namespace {

using test::expect_error;

// Series of two channels and one to six steps, of three classes.
data::SequenceDataset series(std::int64_t count, std::int64_t most) {
  Generator generator(8);
  std::vector<std::int64_t> lengths, labels;
  std::int64_t steps = 0;
  for (std::int64_t n = 0; n < count; ++n) {
    lengths.push_back(1 + n % most);
    labels.push_back(n % 3);
    steps += lengths.back();
  }
  return {generator.normal({steps, 2}), lengths, Tensor::from(labels, {count})};
}

models::SequenceGRU net_of_one_start() {
  models::SequenceGRU net({.channels = 2, .classes = 3, .hidden = 5, .bidirectional = true});
  Generator generator(2);
  nn::initialize(net, generator);
  return net;
}

struct Trained {
  models::SequenceGRU net = net_of_one_start();
  History history;
  Trained(const data::SequenceDataset& set, const data::Pad& pad, std::int64_t batch_size,
          std::int64_t accumulate) {
    ContextScope scope;
    scope->threads = 1;
    data::Loader loader(set, {.batch_size = batch_size, .workers = 0, .pad = pad});
    optim::SGD sgd(net.parameters(), {.lr = 0.5, .momentum = 0.9});
    history = fit(net, loader,
                  {.epochs = 3,
                   .optimizer = &sgd,
                   .forward = with_lengths,
                   .accumulate = accumulate,
                   .validation = &loader,
                   .keep_best = false});
  }
};

void expect_equal_training(Trained& a, Trained& b) {
  const auto x = a.net.named_parameters(), y = b.net.named_parameters();
  const auto start = net_of_one_start().named_parameters();
  ASSERT_EQ(x.size(), y.size());
  for (std::size_t p = 0; p < x.size(); ++p) {
    const auto u = x[p].tensor.to_vector<float>(), v = y[p].tensor.to_vector<float>();
    EXPECT_NE(u, start[p].tensor.to_vector<float>()) << x[p].name << " was not trained";
    for (std::size_t k = 0; k < u.size(); ++k) EXPECT_NEAR(u[k], v[k], 2e-5) << x[p].name;
  }
  for (std::size_t e = 0; e < a.history.epochs.size(); ++e) {
    EXPECT_NEAR(a.history.epochs[e].train.loss, b.history.epochs[e].train.loss, 1e-5);
    EXPECT_NEAR(a.history.epochs[e].validation->loss, b.history.epochs[e].validation->loss, 1e-5);
    EXPECT_EQ(a.history.epochs[e].validation->accuracy, b.history.epochs[e].validation->accuracy);
  }
}

TEST(PaddedFit, PaddingChangesNothing) {
  const data::SequenceDataset set = series(24, 6);
  Trained tight(set, {}, 12, 1);
  Trained wide(set, {.value = 1000, .length = 9}, 12, 1);
  expect_equal_training(tight, wide);
}

TEST(PaddedFit, IsTrainingOnEachSeriesAlone) {
  const data::SequenceDataset set = series(24, 6);
  Trained padded(set, {.value = -7}, 12, 1);
  Trained alone(set, {}, 1, 12);  // batches of one series have no padding
  expect_equal_training(padded, alone);
}

TEST(PaddedFit, WithoutLengthsThePaddingIsRead) {
  const data::SequenceDataset set = series(24, 6);
  models::SequenceGRU net = net_of_one_start();
  data::Loader loader(set, {.batch_size = 12, .pad = data::Pad{.value = 1000}});
  const Metrics with = evaluate(net, loader, {.forward = with_lengths});
  const Metrics without = evaluate(net, loader);
  EXPECT_GT(std::abs(with.loss - without.loss), 1e-3);
}

TEST(PaddedFit, EveryMeasureSeesTheLengths) {
  const data::SequenceDataset set = series(24, 6);
  models::SequenceGRU net = net_of_one_start();
  data::Loader tight(set, {.batch_size = 24, .pad = data::Pad{}});
  data::Loader wide(set, {.batch_size = 24, .pad = data::Pad{.value = 1000, .length = 9}});
  const double accuracy = evaluate(net, tight, {.forward = with_lengths}).accuracy;
  EXPECT_EQ(confusion_matrix(net, wide, with_lengths).accuracy(), accuracy);
  EXPECT_EQ(top_k_accuracy(net, wide, TopKOptions{.k = 1, .forward = with_lengths}), accuracy);
  EXPECT_EQ(top_k_accuracy(net, wide, TopKOptions{.k = 3, .forward = with_lengths}), 1);
}

TEST(PaddedFit, ABatchWithoutLengthsIsAnError) {
  models::SequenceGRU net = net_of_one_start();
  data::Loader loader(data::TensorDataset(Tensor::zeros({4, 3, 2}), Tensor::zeros({4}, DType::i64)),
                      {.batch_size = 2});
  expect_error(ErrorCode::invalid_argument,
               {"train::with_lengths", "LoaderOptions::pad", "[2, 3, 2] alone"},
               [&] { evaluate(net, loader, {.forward = with_lengths}); });
}

}  // namespace
}  // namespace pare::train
