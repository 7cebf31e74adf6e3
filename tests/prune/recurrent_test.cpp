// Structured pruning of recurrent nets and embeddings: removed = zeroed, and what is coupled.
#include <gtest/gtest.h>

#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/models/char_rnn.h"
#include "pare/nn/linear.h"
#include "pare/nn/recurrent.h"
#include "pare/prune/channels.h"
#include "prune/law.h"

namespace pare::prune {
namespace {

/// Recurrent layers over [N, T, C], all of whose states reach the output.
template <class Layer> struct Sequences : nn::Module {
  static nn::RecurrentOptions options(bool bidirectional) {
    return {.input_size = 3,
            .hidden_size = 4,
            .num_layers = 2,
            .batch_first = true,
            .bidirectional = bidirectional};
  }
  explicit Sequences(bool bidirectional)
      : layer([&] {
          if constexpr (std::is_same_v<Layer, nn::RNN>)
            return nn::RNN(nn::RNNOptions{options(bidirectional), "tanh"});
          else
            return Layer(options(bidirectional));
        }()),
        fc({.in = bidirectional ? 8 : 4, .out = 3}) {}
  void members(nn::Members& m) override { m("layer", layer)("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(layer(x)); }
  Layer layer;
  nn::Linear fc;
};

template <class Net> Graph graph_of(Net net, const Tensor& example) {
  Generator generator(11);
  initialize(net, generator);
  return trace(net, example).copy();
}

/// Cuts every channel of a number that is k modulo 2; zeroing them must give the same.
void expect_law(const Graph& graph, const Tensor& x, std::size_t k) {
  std::vector<Channel> cut;
  for (const Group& g : groups(graph)) {
    EXPECT_FALSE(g.statistics) << g.name;
    for (std::size_t c = k; c < g.channels.size(); c += 2) cut.push_back(g.channels[c]);
  }
  ASSERT_FALSE(cut.empty());
  Graph removed = expect_removed_is_zeroed(graph, cut, x, 1e-5);
  expect_gradients(removed, x);
}

struct OneThread {
  OneThread() { scope->threads = 1; }
  ContextScope scope;
};

template <class Layer> void expect_law_on() {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({2, 5, 3});
  for (const bool bidirectional : {false, true}) {
    const Graph graph = graph_of(Sequences<Layer>(bidirectional), x);
    expect_law(graph, x, 0);
    expect_law(graph, x, 1);
  }
}

TEST(RecurrentChannels, RemovedIsZeroedInRnn) { expect_law_on<nn::RNN>(); }
TEST(RecurrentChannels, RemovedIsZeroedInLstm) { expect_law_on<nn::LSTM>(); }
TEST(RecurrentChannels, RemovedIsZeroedInGru) { expect_law_on<nn::GRU>(); }

TEST(RecurrentChannels, EmbeddingAndStatesOfAClassifierAreCut) {
  const OneThread one_thread;
  const Tensor x = Tensor::from(std::vector<std::int64_t>{1, 3, 0, 0, 2, 4, 1, 0}, {2, 4});
  const models::CharRnnOptions options{
      .vocabulary = 5, .classes = 3, .embedding = 6, .hidden = 8, .layers = 2};
  const Graph graph = graph_of(models::CharLSTM(options), x);
  expect_law(graph, x, 0);
  // The embedding's columns; the states of both layers, which h_n holds one above the other.
  const auto found = groups(graph);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].channels.size() + found[1].channels.size(), 6U + 8U);
  EXPECT_EQ(found[0].producers.size() + found[1].producers.size(), 3U);

  Graph small = graph.copy();
  const ChannelsReport report = channels(small, {.ratio = 0.5});
  EXPECT_EQ(report.groups.size(), 2U);
  small.verify();
  const auto shape = [&](const char* name) { return small.value(small.find_value(name)).shape; };
  EXPECT_EQ(shape("embedding.weight"), (Shape{5, 3}));
  EXPECT_EQ(shape("lstm.weight_ih_l0"), (Shape{16, 3}));
  EXPECT_EQ(shape("lstm.weight_hh_l0"), (Shape{16, 4}));
  EXPECT_EQ(shape("lstm.bias_hh_l1"), (Shape{16}));
  EXPECT_EQ(shape("fc.weight"), (Shape{3, 4}));
  EXPECT_EQ(small(x).shape(), (Shape{2, 3}));
}

TEST(RecurrentChannels, BothDirectionsOfALayerGoTogether) {
  const Tensor x = Generator(5).normal({2, 5, 3});
  const auto found = groups(graph_of(Sequences<nn::LSTM>(true), x));
  ASSERT_EQ(found.size(), 2U);
  for (const Group& g : found) {
    EXPECT_EQ(g.channels.size(), 4U);
    EXPECT_EQ(g.producers.size(), 1U);
  }
}

}  // namespace
}  // namespace pare::prune
