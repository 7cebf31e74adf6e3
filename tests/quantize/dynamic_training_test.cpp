// Training of tables and recurrent layers: what is evaluated is what dynamic int8 computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/textures.h"

namespace pare::quantize {
namespace {

constexpr std::int64_t kWords = 11, kLength = 6;

/// Words [N, T] → embedding → recurrent layer → the last step → linear.
template <class Recurrent> struct Reader : nn::Module {
  static nn::RNNOptions options() {
    nn::RNNOptions o;
    o.input_size = 12;
    o.hidden_size = 16;
    o.batch_first = true;
    return o;
  }
  nn::Embedding words{{.num_embeddings = kWords, .embedding_dim = 12}};
  Recurrent layer{options()};
  nn::Linear fc{{.in = 16, .out = 3}};
  void members(nn::Members& m) override { m("words", words)("layer", layer)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    const Tensor all = layer(words(x));
    return fc(reshape(slice(all, 1, kLength - 1, kLength), {0, -1}));
  }
};

struct Sentences {
  Tensor x, labels;
};

// The label is which of the first three words comes most often, words above counting as none.
Sentences sentences(Generator& generator, std::int64_t count) {
  std::vector<std::int64_t> x, labels;
  for (std::int64_t n = 0; n < count; ++n) {
    std::int64_t seen[3] = {0, 0, 0};
    for (std::int64_t t = 0; t < kLength; ++t) {
      const auto word = static_cast<std::int64_t>(generator.below(kWords));
      x.push_back(word);
      if (word < 3) ++seen[word];
    }
    labels.push_back(std::max_element(seen, seen + 3) - seen);
  }
  return {Tensor::from(x, {count, kLength}), Tensor::from(labels, {count})};
}

float train_on_sentences(Graph& graph, int steps, double rate, std::uint64_t seed) {
  optim::Adam optimizer(graph.parameters(), {.lr = rate});
  Generator generator(seed);
  ContextScope scope;
  scope->training = true;
  scope->generator = &generator;
  scope->threads = 1;
  float last = 0;
  for (int step = 0; step < steps; ++step) {
    const Sentences batch = sentences(generator, 32);
    const Tensor loss = cross_entropy(graph(batch.x), batch.labels);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    last = static_cast<float>(loss.item());
  }
  return last;
}

template <class Net> Graph trained() {
  Net net;
  Generator generator(4);
  initialize(net, generator);
  Graph graph = trace(net, sentences(generator, 2).x).copy();
  train_on_sentences(graph, 60, 1e-2, 5);
  return graph;
}

template <class T> class DynamicTraining : public testing::Test {};
using Layers = testing::Types<nn::LSTM, nn::GRU, nn::RNN>;
TYPED_TEST_SUITE(DynamicTraining, Layers);

TYPED_TEST(DynamicTraining, WhatIsEvaluatedIsWhatTheIntegersCompute) {
  const Graph graph = trained<Reader<TypeParam>>();
  const auto layer = std::ranges::find_if(graph.nodes(), [](const Graph::Node& n) {
    return n.call.op == &kLstm || n.call.op == &kGru || n.call.op == &kRnn;
  });
  const std::string op = layer->call.op->name;
  for (const TrainingMethod method : {TrainingMethod::moving_average, TrainingMethod::lsq}) {
    Graph qat = prepare_qat(graph, QConfig::portable(),
                            {.method = method, .dynamic_ops = {"embedding", op}});
    EXPECT_LT(train_on_sentences(qat, 60, 2e-3, 6), 1.0F);
    const auto [int8, report] = convert(qat);

    Generator generator(7);
    const Tensor x = sentences(generator, 300).x;
    const Tensor fake = test::infer_with(qat, x);
    Graph copy = int8;
    const Tensor integers = test::infer_with(copy, x);
    // Sums of floats against sums of integers: now and then a code of h is the neighbour's.
    EXPECT_LT(max(abs(fake - integers)).item(), 0.05 * max(abs(fake)).item());
    const auto labels = argmax(fake, 1).to_vector<std::int64_t>();
    EXPECT_GE(test::share_of_equal(labels, argmax(integers, 1).to_vector<std::int64_t>()), 0.995);
    const Plan plan = compile(int8.share());
    // Below AVX2 the last layer runs in f32.
    EXPECT_LT(max(abs(plan.run(x) - integers)).item(), 1e-5 * max(abs(fake)).item());

    int coded = 0;
    for (const Report::Node& node : report.nodes) {
      EXPECT_TRUE(node.quantized || (node.op != op && node.op != "embedding")) << node.name;
      if (node.op != op && node.op != "embedding") continue;
      ++coded;
      EXPECT_LT(node.bytes_after, node.bytes_before / 2) << node.name;
    }
    EXPECT_EQ(coded, 2);
    EXPECT_EQ(int_repr(int8, "words.weight").dtype(), DType::i8);
    for (const std::string weight : {"layer.weight_ih_l0", "layer.weight_hh_l0"}) {
      EXPECT_EQ(int_repr(int8, weight).dtype(), DType::i8) << weight;
      EXPECT_GE(qat.find_node(weight + "_fake_quantize"), 0) << weight;
    }
  }
}

// The values of the table are those that training saw, row by row.
TEST(DynamicTraining, TablesAreWhatTrainingSaw) {
  const Graph graph = trained<Reader<nn::LSTM>>();
  Graph qat = prepare_qat(graph, QConfig::portable(), {.dynamic_ops = {"embedding"}});
  train_on_sentences(qat, 3, 1e-3, 6);
  const Graph int8 = convert(qat).graph;
  std::vector<std::int64_t> all(kWords);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  const Tensor table = qat.value(qat.find_value("words.weight")).tensor;
  const Tensor scales = symmetric_scale(table, {.qmax = 63, .axis = 0});
  const Tensor seen = fake_quantize(table, scales, Tensor::zeros({kWords}, DType::i32),
                                    {.qmin = -63, .qmax = 63, .axis = 0});
  EXPECT_EQ(dequantized(int8, "words.weight").to_vector<float>(), seen.to_vector<float>());
  // The recurrent layer, which nobody asked for, stays float and is reported.
  const Report report = convert(qat).report;
  for (const Report::Node& node : report.nodes) EXPECT_TRUE(node.op != "lstm" || !node.quantized);
}

/// One table gives the words and is the classifier's weight.
struct Tied : nn::Module {
  nn::Embedding words{{.num_embeddings = kWords, .embedding_dim = 12}};
  void members(nn::Members& m) override { m("words", words); }
  Tensor forward(const Tensor& x) override { return linear(words(x), words.weight, {}); }
};

TEST(DynamicTraining, LayersThatShareAWeightShareItsCodes) {
  Tied net;
  Generator generator(4);
  initialize(net, generator);
  const Tensor x = sentences(generator, 4).x;
  Graph graph = trace(net, x).copy();
  for (const TrainingMethod method : {TrainingMethod::moving_average, TrainingMethod::lsq}) {
    Graph qat =
        prepare_qat(graph, QConfig::portable(), {.method = method, .dynamic_ops = {"embedding"}});
    EXPECT_LT(qat.find_value("words.weight_fake_quantize_1"), 0);
    qat(x);
    Graph int8 = convert(qat).graph;
    int codes = 0;
    for (const Graph::Value& value : int8.values())
      codes += value.is_leaf() && value.shape.elements() == kWords * 12 ? 1 : 0;
    EXPECT_EQ(codes, 1);
    EXPECT_LT(max(abs(test::infer_with(qat, x) - test::infer_with(int8, x))).item(), 1e-4);
  }
}

TEST(DynamicTraining, RefusesNumbersThatAreNotFinite) {
  const Graph graph = trained<Reader<nn::LSTM>>();
  Graph qat = prepare_qat(graph, QConfig::portable(), {.dynamic_ops = {"embedding", "lstm"}});
  train_on_sentences(qat, 1, 1e-3, 6);
  const auto expect_refused = [&](const std::string& leaf, const std::string& layer) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Graph broken = qat.copy();
      broken.edit_value(broken.find_value(leaf)).tensor.mutable_data<float>()[3] = bad;
      test::expect_error(ErrorCode::invalid_argument, {layer + ": expected finite", leaf},
                         [&] { convert(broken); });
    }
  };
  expect_refused("layer.bias_ih_l0", "layer");
  expect_refused("layer.bias_hh_l0", "layer");
  expect_refused("layer.weight_hh_l0", "layer");
  expect_refused("words.weight", "words");
}

TEST(DynamicTraining, RefusesOpsThatAreNotThere) {
  const Graph graph = trained<Reader<nn::GRU>>();
  EXPECT_ERROR(prepare_qat(graph, QConfig::portable(), {.dynamic_ops = {"linear"}}),
               invalid_argument, "prepare_qat", "dynamic_ops", "'linear'");
  EXPECT_ERROR(prepare_qat(graph, QConfig::portable(), {.dynamic_ops = {"lstm"}}), invalid_argument,
               "an op of the graph", "'lstm'");
}

}  // namespace
}  // namespace pare::quantize
