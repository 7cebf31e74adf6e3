// The code of docs/training.md, run; tests/structure/check_snippets.cmake compares the two.
#include <gtest/gtest.h>

#include "pare/pare.h"
#include "temporary_folder.h"

namespace pare {
namespace {

struct Net : nn::Module {
  nn::Sequential body{nn::Linear{{.in = 4, .out = 8}}, nn::BatchNorm1d{{.features = 8}},
                      nn::ReLU{}};
  nn::Linear head{{.in = 8, .out = 3}};
  void members(nn::Members& m) override { m("body", body)("head", head); }
  Tensor forward(const Tensor& x) override { return head(body(x)); }
};

data::TensorDataset points(std::int64_t count, std::uint64_t seed) {
  Generator generator(seed);
  const Tensor x = generator.normal({count, 4});
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    const float* p = x.data<float>() + 4 * i;
    labels.push_back(p[0] > 0.5F ? 0 : p[1] > 0 ? 1 : 2);
  }
  return data::TensorDataset(x, Tensor::from(labels, {count}));
}

data::SequenceDataset series(std::int64_t count) {
  Generator generator(3);
  std::vector<std::int64_t> lengths, labels;
  std::int64_t steps = 0;
  for (std::int64_t n = 0; n < count; ++n) {
    lengths.push_back(1 + n % 4);
    labels.push_back(n % 3);
    steps += lengths.back();
  }
  return {generator.normal({steps, 2}), lengths, Tensor::from(labels, {count})};
}

class Guide : public testing::Test {
 protected:
  Guide() {
    context().threads = 1;
    nn::initialize(net, generator);
  }
  Net net;
  Generator generator{1};
  data::Loader train{points(120, 1), {.batch_size = 10, .shuffle = true}};
  data::Loader validation{points(60, 2), {.batch_size = 20}};
};

TEST_F(Guide, Fit) {
  nn::initialize(net, generator);
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9, .nesterov = true});
  const train::History history = train::fit(net, train,
                                            {.epochs = 4,
                                             .optimizer = &sgd,
                                             .schedule = optim::CosineAnnealingLR{.T_max = 4},
                                             .clip_norm = 5,
                                             .early_stopping = {.patience = 3, .min_delta = 1e-3},
                                             .validation = &validation});
  const std::string curve = train::to_csv(history);
  EXPECT_EQ(history.epochs.size(), 4U);
  EXPECT_GT(history.epochs.back().validation->accuracy, 0.6);
  EXPECT_EQ(curve.substr(0, 6), "epoch,");
}

TEST_F(Guide, SequencesOfDifferentLengths) {
  data::Loader padded(series(30), {.batch_size = 10, .shuffle = true, .pad = data::Pad{}});
  models::SequenceGRU gru({.channels = 2, .classes = 3, .hidden = 8});
  nn::initialize(gru, generator);
  train::fit(gru, padded, {.epochs = 2, .forward = train::with_lengths});
  const train::Metrics metrics = train::evaluate(gru, padded, {.forward = train::with_lengths});
  EXPECT_EQ(metrics.samples, 30);
  EXPECT_LT(metrics.loss, 1.5);
}

TEST_F(Guide, ALoopOfYourOwn) {
  const test::TemporaryFolder place;
  const std::string folder = place.path("");
  const auto before = net.head.weight.value().to_vector<float>();
  optim::AdamW adamw(net.parameters(), {.lr = 1e-3});
  ContextScope scope;
  scope->training = true;
  scope->generator = &generator;
  for (const data::Batch& batch : train) {
    adamw.zero_grad();
    const Tensor loss = cross_entropy(net(batch.x), batch.y);
    loss.backward();
    optim::clip_grad_norm(net.parameters(), {.max_norm = 1});
    adamw.step();
  }
  EXPECT_NE(net.head.weight.value().to_vector<float>(), before);

  adamw.set_names(net.named_parameters());
  io::save_state(adamw.state(), folder + "/adamw.state");
  adamw.load_state(io::load_state(folder + "/adamw.state"));
  EXPECT_EQ(adamw.state()[1].first, "body.0.weight.step");
}

TEST_F(Guide, Groups) {
  optim::AdamW decayed(optim::decay_groups(net.parameters(), optim::AdamWOptions{.lr = 1e-3}));
  optim::SGD layers({{.parameters = net.body.parameters(), .options = {.lr = 0.01}},
                     {.parameters = net.head.parameters(), .options = {.lr = 0.1}}});
  optim::Scheduler schedule(layers, optim::WarmUp{.epochs = 5});
  schedule.step();
  EXPECT_EQ(decayed.groups(), 2);
  EXPECT_DOUBLE_EQ(layers.learning_rate(1), 0.1 * (0.1 + 0.9 / 5));
}

TEST_F(Guide, Accumulation) {
  optim::SGD sgd(net.parameters(), {.lr = 0.1});
  const auto before = net.head.weight.value().to_vector<float>();
  const std::int64_t batches = 4;
  std::int64_t gathered = 0;
  for (const data::Batch& batch : train) {
    cross_entropy(net(batch.x), batch.y).backward();
    if (++gathered < batches) continue;
    sgd.step({.gradient_scale = 1.0 / static_cast<double>(batches)});
    sgd.zero_grad();
    gathered = 0;
  }
  EXPECT_NE(net.head.weight.value().to_vector<float>(), before);
}

TEST_F(Guide, AveragesAndStates) {
  const test::TemporaryFolder place;
  const std::string folder = place.path("");
  optim::SGD sgd(net.parameters(), {.lr = 0.1});
  train::fit(net, train,
             {.epochs = 2,
              .optimizer = &sgd,
              .moving_average = optim::MovingAverageOptions{.decay = 0.99},
              .validation = &validation});
  const train::FitOptions options{.epochs = 3,
                                  .optimizer = &sgd,
                                  .validation = &validation,
                                  .state = folder + "/run.state",
                                  .resume = true};
  train::fit(net, train, options);
  EXPECT_EQ(train::fit(net, train, options).epochs.size(), 3U);
}

TEST_F(Guide, Freezing) {
  nn::freeze(net, "body");
  optim::SGD head(net.parameters(), {.lr = 0.01});
  const nn::ParameterCount count = nn::count_parameters(net);
  nn::unfreeze(net, "body.0.*");
  EXPECT_EQ(head.parameters().size(), 2U);
  EXPECT_EQ(count.trainable, 27);
  EXPECT_EQ(count.frozen, 4 * 8 + 8 + 16);
  EXPECT_EQ(net.parameters().size(), 4U);
}

TEST_F(Guide, HooksAndBf16) {
  const data::Batch batch = *train.begin();
  const Tensor &x = batch.x, &y = batch.y;
  std::vector<std::string> shapes;
  HookHandle watch =
      nn::register_forward_hook(net, "body.0", [&](const std::string& name, const Tensor& output) {
        shapes.push_back(name + " " + output.shape().to_string());
        return Tensor();
      });
  HookHandle halve = nn::register_gradient_hook(net, "head.weight", [](const Tensor& gradient) {
    return mul(gradient, Tensor::scalar(0.5));
  });
  cross_entropy(net(x), y).backward();
  watch.remove();
  halve.remove();
  EXPECT_EQ(shapes, std::vector<std::string>{"body.0 [10, 8]"});
  const auto half = net.named_parameters()[4].tensor.grad().to_vector<float>();
  net.zero_grad();
  ContextScope scope;
  scope->precision = Precision::bf16;
  cross_entropy(net(x), y).backward();
  const auto whole = net.named_parameters()[4].tensor.grad().to_vector<float>();
  ASSERT_EQ(whole.size(), 24U);
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(whole[i], 2 * half[i], 0.02);
}

TEST_F(Guide, Metrics) {
  const train::ConfusionMatrix confusion = train::confusion_matrix(net, validation);
  const double f1 = confusion.f1(train::Average::macro);
  const std::vector<double> recall = confusion.recall();
  const double top2 = train::top_k_accuracy(net, validation, 2);
  EXPECT_EQ(confusion.samples(), 60);
  EXPECT_GT(f1, 0);
  EXPECT_EQ(recall.size(), 3U);
  EXPECT_GE(top2, confusion.accuracy());
}

}  // namespace
}  // namespace pare
