// Ranges and batch norms' statistics that stay while training goes on.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/textures.h"

namespace pare::quantize {
namespace {

using test::textures;
using test::train;

std::vector<float> ends(const Graph& graph) {
  std::vector<float> all;
  for (const ActivationRange& a : observed_ranges(graph))
    all.insert(all.end(), {a.seen_min, a.seen_max, a.scale});
  return all;
}

std::vector<float> moments_of(const Graph& graph) {
  std::vector<float> all;
  for (const Graph::Node& node : graph.nodes())
    if (node.call.op == &kBatchNorm)
      for (const std::size_t i : {3U, 4U}) {
        const auto some = graph.value(node.inputs[i]).tensor.to_vector<float>();
        all.insert(all.end(), some.begin(), some.end());
      }
  return all;
}

std::vector<float> weights(const Graph& graph) {
  return graph.value(graph.find_value("stem.weight")).tensor.to_vector<float>();
}

class Freeze : public testing::TestWithParam<TrainingMethod> {};

TEST_P(Freeze, WhatIsFrozenStaysUntilItIsThawed) {
  Graph qat = prepare_qat(test::trained_branchy(), QConfig::fbgemm(), {.method = GetParam()});
  train(qat, 3, 1e-3, 11);
  freeze_observers(qat);
  freeze_batch_norm(qat);
  const auto range = ends(qat), moments = moments_of(qat), weight = weights(qat);
  qat.train();  // undoes nothing of it, nor does a file
  const std::string file = testing::TempDir() + "frozen.pare";
  io::save_graph(qat, file);
  Graph loaded = io::load_graph(file);
  for (Graph* graph : {&qat, &loaded}) {
    train(*graph, 3, 1e-3, 12);
    EXPECT_EQ(ends(*graph), range);
    EXPECT_EQ(moments_of(*graph), moments);
    EXPECT_NE(weights(*graph), weight);
  }
  freeze_observers(qat, false);
  freeze_batch_norm(qat, false);
  train(qat, 3, 1e-3, 12);
  EXPECT_NE(ends(qat), range);
  EXPECT_NE(moments_of(qat), moments);
}

INSTANTIATE_TEST_SUITE_P(Methods, Freeze,
                         testing::Values(TrainingMethod::moving_average, TrainingMethod::lsq),
                         [](const auto& test) {
                           return test.param == TrainingMethod::lsq ? "lsq" : "moving_average";
                         });

// In training a batch norm that is frozen computes what it evaluates.
TEST(Freeze, TrainingThenSeesWhatIsEvaluated) {
  Graph qat = prepare_qat(test::trained_branchy(), QConfig::portable());
  train(qat, 3, 1e-3, 11);
  freeze_observers(qat);
  freeze_batch_norm(qat);
  Generator generator(3);
  const Tensor x = textures(generator, 8).x;
  for (int n = 0; n < static_cast<int>(qat.nodes().size()); ++n)
    if (qat.node(n).call.op == &kDropout)
      qat.edit_node(n).call.attributes = Attributes::of(DropoutAttributes{.probability = 0});
  const auto evaluated = test::infer_with(qat, x).to_vector<float>();
  ContextScope scope;
  scope->training = true;
  scope->generator = &generator;
  EXPECT_EQ(qat(x).to_vector<float>(), evaluated);
}

TEST(Freeze, ScheduleOfAFit) {
  Graph qat = prepare_qat(test::trained_branchy(), QConfig::portable());
  Generator generator(3);
  const auto batch = textures(generator, 64);
  const data::TensorDataset data(batch.x, batch.labels);
  data::Loader loader(data, {.batch_size = 32});
  const auto freeze = freeze_schedule(qat, {.observers = 2, .batch_norm = 1});
  std::vector<std::vector<float>> range, moments;
  train::fit(qat, loader, {.epochs = 4, .begin_epoch = [&](std::int64_t epoch) {
                             freeze(epoch);
                             EXPECT_EQ(epoch, static_cast<std::int64_t>(range.size()));
                             range.push_back(ends(qat));
                             moments.push_back(moments_of(qat));
                           }});
  ASSERT_EQ(range.size(), 4U);
  EXPECT_NE(range[1], range[2]);
  EXPECT_EQ(range[2], range[3]);
  EXPECT_NE(moments[0], moments[1]);
  EXPECT_EQ(moments[1], moments[2]);
  freeze(0);  // as when training begins anew
  train(qat, 2, 1e-3, 12);
  EXPECT_NE(ends(qat), range[3]);
}

TEST(Freeze, RefusesWhatIsNotThere) {
  Graph plain = test::trained_branchy();
  EXPECT_ERROR(freeze_observers(plain), invalid_state, "freeze_observers", "prepare_qat");
  EXPECT_ERROR(freeze_batch_norm(plain), invalid_state, "freeze_batch_norm", "prepare_qat");
  for (const TrainingMethod method : {TrainingMethod::moving_average, TrainingMethod::tqt}) {
    Graph qat = prepare_qat(plain, QConfig::portable(), {.method = method});
    EXPECT_ERROR(freeze_observers(qat), invalid_state, "freeze_observers", "'input'");
    EXPECT_ERROR(freeze_schedule(qat, {.observers = -1}), invalid_argument, "freeze_schedule",
                 "got -1");
  }
}

// Ranges on both sides of 0, with the zero point in the middle.
TEST(Training, SymmetricActivationsFollowMovingAverages) {
  for (const DType dtype : {DType::u8, DType::i8}) {
    QConfig config = QConfig::portable();
    config.symmetric_activations = true;
    config.activation_dtype = dtype;
    Graph qat = prepare_qat(test::trained_branchy(), config);
    train(qat, 20, 1e-3, 11);
    for (const ActivationRange& a : observed_ranges(qat)) {
      EXPECT_EQ(a.zero_point, dtype == DType::u8 ? 128 : 0) << a.value;
      EXPECT_GE(a.scale * 127.5F * 1.001F, std::max(-a.seen_min, a.seen_max)) << a.value;
    }
    Generator generator(12);
    const auto batch = textures(generator, 1000);
    Graph int8 = convert(qat).graph;
    EXPECT_GE(test::share_of_equal(test::classes(qat, batch.x), test::classes(int8, batch.x)),
              0.999);
    EXPECT_GT(test::accuracy(int8, batch), 0.88);
  }
}

}  // namespace
}  // namespace pare::quantize
