// Structured pruning through projected LSTMs, peepholes and other functions: removed = zeroed.
#include <gtest/gtest.h>

#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/linear.h"
#include "pare/nn/recurrent.h"
#include "pare/prune/channels.h"
#include "prune/law.h"

namespace pare::prune {
namespace {

constexpr std::int64_t kIn = 3, kCells = 6, kFeatures = 4;

/// A linear layer, two projected LSTMs one on the other, a linear layer.
struct Projected : nn::Module {
  explicit Projected(bool bidirectional)
      : before({.in = kIn, .out = 4}),
        lstm({.input_size = 4,
              .hidden_size = kCells,
              .num_layers = 2,
              .batch_first = true,
              .bidirectional = bidirectional,
              .proj_size = kFeatures}),
        fc({.in = (bidirectional ? 2 : 1) * kFeatures, .out = 3}) {}
  void members(nn::Members& m) override { m("before", before)("lstm", lstm)("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(lstm(before(x))); }
  nn::Linear before;
  nn::LSTM lstm;
  nn::Linear fc;
};

/// One lstm or gru with attributes of its own, and peepholes where it is an lstm.
template <class Attributes> struct WithOptions : nn::Module {
  static constexpr bool kCell = std::is_same_v<Attributes, LstmAttributes>;
  static constexpr std::int64_t kGates = kCell ? 4 : 3;
  explicit WithOptions(Attributes a)
      : ih(Shape{kGates * kCells, kIn}),
        hh(Shape{kGates * kCells, kCells}),
        bias_ih(Shape{kGates * kCells}),
        bias_hh(Shape{kGates * kCells}),
        peepholes(Shape{1, 3 * kCells}),
        fc({.in = kCells, .out = 3}),
        attributes(std::move(a)) {}
  void members(nn::Members& m) override {
    m("ih", ih)("hh", hh)("bias_ih", bias_ih)("bias_hh", bias_hh)("fc", fc);
    if (kCell) m("peepholes", peepholes);
  }
  void reset(Generator& g) override {
    for (nn::Parameter* p : {&ih, &hh, &bias_ih, &bias_hh, &peepholes})
      p->set(g.normal(p->shape()));
  }
  Tensor forward(const Tensor& x) override {
    RecurrentOperands operands{.weights = {ih, hh, bias_ih, bias_hh}};
    if constexpr (kCell) {
      operands.peepholes = peepholes;
      return fc(lstm(x, operands, attributes)[0]);
    } else {
      return fc(gru(x, operands, attributes)[0]);
    }
  }
  nn::Parameter ih, hh, bias_ih, bias_hh, peepholes;
  nn::Linear fc;
  Attributes attributes;
};

template <class Net> Graph graph_of(Net net, const Tensor& example) {
  Generator generator(11);
  initialize(net, generator);
  return trace(net, example).copy();
}

void expect_law(const Graph& graph, const Tensor& x) {
  for (const std::size_t odd : {0U, 1U}) {
    std::vector<Channel> cut;
    for (const Group& g : groups(graph))
      for (std::size_t c = odd; c < g.channels.size(); c += 2) cut.push_back(g.channels[c]);
    ASSERT_FALSE(cut.empty());
    Graph removed = expect_removed_is_zeroed(graph, cut, x, 1e-5);
    expect_gradients(removed, x);
  }
}

struct OneThread {
  OneThread() { scope->threads = 1; }
  ContextScope scope;
};

/// A projected LSTM beside a linear layer that its features are added to.
struct Residual : nn::Module {
  nn::LSTM lstm{{.input_size = kIn, .hidden_size = kCells, .proj_size = kFeatures}};
  nn::Linear beside{{.in = kIn, .out = kFeatures}};
  nn::Linear fc{{.in = kFeatures, .out = 3}};
  void members(nn::Members& m) override { m("lstm", lstm)("beside", beside)("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(add(lstm(x), beside(x))); }
};

// Features have no layer of their own that makes them, as W_hr is not what the record names.
TEST(RecurrentOptionChannels, CellsOfAProjectionAreCut) {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({2, 5, kIn});
  for (const bool bidirectional : {false, true}) {
    const Graph graph = graph_of(Projected(bidirectional), x);
    expect_law(graph, x);
    // What `before` gives, and of each layer its cells.
    std::vector<std::size_t> sizes;
    for (const Group& g : groups(graph)) sizes.push_back(g.channels.size());
    std::sort(sizes.begin(), sizes.end());
    EXPECT_EQ(sizes, (std::vector<std::size_t>{4, 6, 6}));
  }
}

TEST(RecurrentOptionChannels, FeaturesOfAProjectionGoWithWhatTheyAreAddedTo) {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({2, 5, kIn});
  const Graph graph = graph_of(Residual(), x);
  expect_law(graph, x);
  Graph small = graph.copy();
  channels(small, {.ratio = 0.5});
  const auto shape = [&](const char* name) { return small.value(small.find_value(name)).shape; };
  EXPECT_EQ(shape("beside.weight"), (Shape{2, 3}));
  EXPECT_EQ(shape("lstm.weight_hr_l0"), (Shape{2, 3}));
  EXPECT_EQ(shape("lstm.weight_hh_l0"), (Shape{12, 2}));
  EXPECT_EQ(shape("lstm.weight_ih_l0"), (Shape{12, 3}));
}

TEST(RecurrentOptionChannels, AProjectedLayerHasHalfOfItsCells) {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({2, 5, kIn});
  Graph small = graph_of(Projected(false), x);
  channels(small, {.ratio = 0.5});
  small.verify();
  const auto shape = [&](const char* name) { return small.value(small.find_value(name)).shape; };
  EXPECT_EQ(shape("lstm.weight_ih_l0"), (Shape{12, 2}));
  EXPECT_EQ(shape("lstm.weight_hh_l0"), (Shape{12, 4}));
  EXPECT_EQ(shape("lstm.weight_hr_l0"), (Shape{4, 3}));
  EXPECT_EQ(shape("lstm.weight_ih_l1"), (Shape{12, 4}));
  EXPECT_EQ(shape("fc.weight"), (Shape{3, 4}));
  EXPECT_EQ(small(x).shape(), (Shape{2, 5, 3}));
}

TEST(RecurrentOptionChannels, PeepholesGoWithTheirCells) {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({5, 2, kIn});
  const Graph graph = graph_of(WithOptions<LstmAttributes>({.clip = 2, .input_forget = true}), x);
  expect_law(graph, x);
  Graph small = graph.copy();
  channels(small, {.ratio = 0.5});
  EXPECT_EQ(small.value(small.find_value("peepholes")).shape, (Shape{1, 3 * kCells / 2}));
}

TEST(RecurrentOptionChannels, FunctionsThatAre0At0AreCut) {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({5, 2, kIn});
  expect_law(graph_of(WithOptions<LstmAttributes>({.activations = "HardSigmoid,Elu,Softsign"}), x),
             x);
  expect_law(graph_of(WithOptions<GruAttributes>({.activations = "HardSigmoid,ScaledTanh"}), x), x);
}

// A unit without weights has another state than 0 there: cutting it would not be zeroing it.
TEST(RecurrentOptionChannels, FunctionsThatAreNot0At0FixTheirUnits) {
  const OneThread one_thread;
  const Tensor x = Generator(5).normal({5, 2, kIn});
  for (const char* words : {"Sigmoid,Softplus,Tanh", "Sigmoid,Tanh,Sigmoid"})
    EXPECT_TRUE(groups(graph_of(WithOptions<LstmAttributes>({.activations = words}), x)).empty());
  EXPECT_TRUE(
      groups(graph_of(WithOptions<GruAttributes>({.activations = "Tanh,Sigmoid"}), x)).empty());
  EXPECT_TRUE(groups(graph_of(WithOptions<GruAttributes>(
                                  {.activations = "Sigmoid,Affine", .activation_beta = {0.5}}),
                              x))
                  .empty());
}

}  // namespace
}  // namespace pare::prune
