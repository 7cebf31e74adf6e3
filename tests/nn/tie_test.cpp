// Ties: two slots, one leaf, through copies, checkpoints, traces and optimizers; freezing; counts.
#include "pare/nn/tie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/io/checkpoint.h"
#include "pare/nn/container.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/optim/sgd.h"
#include "temporary_folder.h"

namespace pare::nn {
namespace {

using test::expect_error;
using testing::ElementsAre;

struct Net : Module {
  Linear encoder{{.in = 3, .out = 3}};
  BatchNorm1d norm{{.features = 3}};
  Linear decoder{{.in = 3, .out = 3, .bias = false}};
  void members(Members& m) override { m("encoder", encoder)("norm", norm)("decoder", decoder); }
  Tensor forward(const Tensor& x) override { return decoder(tanh(norm(encoder(x)))); }
};

struct Outer : Module {
  Net net;
  Linear head{{.in = 3, .out = 2}};
  void members(Members& m) override { m("net", net)("head", head); }
  Tensor forward(const Tensor& x) override { return head(net(x)); }
};

void start(Module& module, std::uint64_t seed = 1) {
  Generator generator(seed);
  initialize(module, generator);
}

std::vector<std::string> names_of(const std::vector<NamedTensor>& list) {
  std::vector<std::string> result;
  for (const auto& entry : list) result.push_back(entry.name);
  return result;
}

bool tied(Net& net) { return net.encoder.weight.value().same_as(net.decoder.weight.value()); }

TEST(Tie, TwoSlotsHaveOneLeafOneGradientOneEntry) {
  Net net;
  start(net);
  const Tensor old = net.decoder.weight.value();
  const std::vector<float> value = net.encoder.weight.value().to_vector<float>();
  const std::vector<Replacement> edit = tie(net, "decoder.weight", "encoder.weight");
  ASSERT_EQ(edit.size(), 1U);
  EXPECT_TRUE(edit[0].old.same_as(old));
  EXPECT_TRUE(edit[0].now.same_as(net.encoder.weight.value()));
  EXPECT_TRUE(tied(net));
  EXPECT_EQ(net.decoder.weight.value().to_vector<float>(), value);
  EXPECT_THAT(names_of(net.named_parameters()),
              ElementsAre("encoder.weight", "encoder.bias", "norm.weight", "norm.bias"));
  EXPECT_EQ(names_of(net.state()).size(), 7U);
  EXPECT_TRUE(tie(net, "decoder.weight", "encoder.weight").empty());

  // The gradient is the sum of what the two would have.
  Net apart = net;
  tie(apart, "decoder.weight", "encoder.weight");
  Net free;
  start(free);
  free.decoder.weight.set(free.encoder.weight);
  const Tensor x = Tensor::from({1, -2, 3, 0.5, 2, -1}, {2, 3});
  sum(net(x)).backward();
  sum(free(x)).backward();
  const auto both = net.encoder.weight.value().grad().to_vector<float>();
  const auto a = free.encoder.weight.value().grad().to_vector<float>();
  const auto b = free.decoder.weight.value().grad().to_vector<float>();
  for (std::size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], a[i] + b[i], 1e-6);
}

TEST(Tie, TwoValuesInAFileAreOneTooMany) {
  const test::TemporaryFolder folder;
  Net net;
  start(net);
  tie(net, "decoder.weight", "encoder.weight");
  const std::string path = folder.path("net.safetensors");
  std::vector<NamedTensor> state = net.state();
  io::save_tensors(path, state);
  EXPECT_TRUE(io::load(net, path).differing.empty());
  const std::vector<float> before = net.encoder.weight.value().to_vector<float>();
  for (NamedTensor& entry : state)
    if (entry.name == "decoder.weight") entry.tensor = Tensor::full({3, 3}, 7);
  io::save_tensors(path, state);
  expect_error(ErrorCode::invalid_argument, {path, "'encoder.weight' and 'decoder.weight'"},
               [&] { io::load(net, path); });
  EXPECT_EQ(net.encoder.weight.value().to_vector<float>(), before);
  const io::LoadReport report = io::load(net, path, {.strict = false});
  EXPECT_THAT(report.differing, ElementsAre(std::pair("encoder.weight", "decoder.weight")));
  EXPECT_EQ(net.encoder.weight.value().to_vector<float>(), std::vector<float>(9, 7.0F));
}

TEST(Tie, SurvivesCopiesOfItAndOfWhatHoldsIt) {
  Outer outer;
  start(outer);
  tie(outer.net, "decoder.weight", "encoder.weight");
  Outer copy = outer;
  EXPECT_EQ(copy.parameters().size(), 6U);
  EXPECT_TRUE(tied(copy.net));
  EXPECT_FALSE(copy.net.encoder.weight.value().same_as(outer.net.encoder.weight.value()));
  Outer second = copy;
  second(Tensor::ones({2, 3}));
  EXPECT_TRUE(tied(second.net));
  Outer moved = std::move(second);
  EXPECT_TRUE(tied(moved.net));
  // Assignment goes into the tensors that are there.
  Outer other;
  start(other, 2);
  const Tensor leaf = other.net.encoder.weight.value();
  other = copy;
  EXPECT_EQ(other.parameters().size(), 6U);
  EXPECT_TRUE(tied(other.net));
  EXPECT_TRUE(other.net.encoder.weight.value().same_as(leaf));
  EXPECT_EQ(leaf.to_vector<float>(), copy.net.encoder.weight.value().to_vector<float>());
  // Inside a container.
  Sequential sequence{Net(outer.net)};
  EXPECT_EQ(sequence.parameters().size(), 4U);
  const Sequential again = sequence;
  EXPECT_TRUE(tied((*again.entries().begin()).second.as<Net>()) ||
              Sequential(again).parameters().size() == 4U);
}

TEST(Tie, BeforeInitialize) {
  Net net;
  EXPECT_TRUE(tie(net, "decoder.weight", "encoder.weight").empty());
  start(net);
  EXPECT_TRUE(tied(net));
  EXPECT_EQ(net.parameters().size(), 4U);
}

TEST(Tie, Chains) {
  struct Three : Module {
    Parameter a{{2}}, b{{2}}, c{{2}};
    void members(Members& m) override { m("a", a)("b", b)("c", c); }
    void reset(Generator& g) override {
      for (Parameter* p : {&a, &b, &c}) p->set(g.uniform({2}));
    }
  } net;
  start(net);
  tie(net, "a", "b");
  tie(net, "b", "c");
  EXPECT_TRUE(net.a.value().same_as(net.c.value()));
  EXPECT_TRUE(net.b.value().same_as(net.c.value()));
  Three copy = net;
  EXPECT_EQ(copy.parameters().size(), 1U);
}

TEST(Tie, SavesLoadsTracesAndTrains) {
  const test::TemporaryFolder folder;
  Net net;
  start(net);
  tie(net, "decoder.weight", "encoder.weight");
  io::save(net, folder.path("net"));
  Net loaded;
  start(loaded, 5);
  tie(loaded, "decoder.weight", "encoder.weight");
  io::load(loaded, folder.path("net"));
  EXPECT_TRUE(tied(loaded));
  EXPECT_EQ(loaded.decoder.weight.value().to_vector<float>(),
            net.encoder.weight.value().to_vector<float>());

  const Tensor x = Tensor::from({1, -2, 3, 0.5, 2, -1}, {2, 3});
  Graph graph = trace(net, x);
  EXPECT_EQ(graph.parameters().size(), 4U);
  EXPECT_EQ(graph(x).to_vector<float>(), net(x).to_vector<float>());
  Graph copy = graph.copy();
  EXPECT_EQ(copy.parameters().size(), 4U);

  optim::SGD stale(loaded.parameters(), {.lr = 0.1});
  Net untied;
  start(untied);
  optim::SGD sgd(untied.parameters(), {.lr = 0.1});
  const auto edit = tie(untied, "decoder.weight", "encoder.weight");
  sum(untied(x)).backward();
  expect_error(ErrorCode::invalid_state, {"rebuild"}, [&] { sgd.step(); });
  sgd.rebuild(edit);
  EXPECT_EQ(sgd.parameters().size(), 4U);
  sgd.step();
  EXPECT_TRUE(tied(untied));
}

TEST(Tie, AFileWithOneOfTheNamesIsEnough) {
  const test::TemporaryFolder folder;
  Net net;
  start(net);
  tie(net, "decoder.weight", "encoder.weight");
  std::vector<NamedTensor> tensors;
  for (const auto& named : net.state())
    if (named.name != "decoder.weight") tensors.push_back(named);
  io::save_tensors(folder.path("net"), tensors);
  Net loaded;
  start(loaded, 5);
  expect_error(ErrorCode::invalid_argument, {"without [decoder.weight]"},
               [&] { io::load(loaded, folder.path("net")); });
  tie(loaded, "decoder.weight", "encoder.weight");
  io::load(loaded, folder.path("net"));
  EXPECT_EQ(loaded.decoder.weight.value().to_vector<float>(),
            net.encoder.weight.value().to_vector<float>());
}

TEST(Tie, MistakesAreNamed) {
  Net net;
  start(net);
  expect_error(ErrorCode::invalid_argument, {"tie", "name of a parameter", "'decoder.wait'"},
               [&] { tie(net, "decoder.wait", "encoder.weight"); });
  expect_error(ErrorCode::invalid_argument, {"two parameters", "twice"},
               [&] { tie(net, "encoder.weight", "encoder.weight"); });
  expect_error(ErrorCode::shape_mismatch, {"'encoder.bias'", "[3, 3]", "[3]"},
               [&] { tie(net, "encoder.bias", "encoder.weight"); });
}

TEST(Matches, StarsAndQuestionMarks) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*.bias", "layer1.0.bias"));
  EXPECT_TRUE(matches("layer?.*.weight", "layer1.0.conv.weight"));
  EXPECT_TRUE(matches("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(matches("a*b*c", "aXbYbZ"));
  EXPECT_FALSE(matches("layer", "layer1"));
  EXPECT_FALSE(matches("?", ""));
}

TEST(Freeze, ByNamePatternOrPart) {
  Net net;
  start(net);
  EXPECT_EQ(freeze(net, "encoder"), 2);
  EXPECT_THAT(names_of(net.named_parameters()),
              ElementsAre("norm.weight", "norm.bias", "decoder.weight"));
  sum(net(Tensor::ones({2, 3}))).backward();
  EXPECT_FALSE(net.encoder.weight.value().grad().defined());
  EXPECT_TRUE(net.decoder.weight.value().grad().defined());
  EXPECT_EQ(freeze(net, "*.weight"), 3);
  EXPECT_THAT(names_of(net.named_parameters()), ElementsAre("norm.bias"));
  EXPECT_EQ(unfreeze(net), 5);
  EXPECT_EQ(net.parameters().size(), 5U);
  expect_error(ErrorCode::invalid_argument, {"freeze", "'nothing'"},
               [&] { freeze(net, "nothing"); });
}

TEST(Freeze, NormsKeepTheirStatistics) {
  Net net;
  start(net);
  ContextScope scope;
  scope->training = true;
  const auto statistics = [&] { return net.state()[4].tensor.to_vector<float>(); };
  const Tensor x = Tensor::from({1, -2, 3, 0.5, 2, -1}, {2, 3});
  ASSERT_EQ(net.state()[4].name, "norm.running_mean");
  const auto before = statistics();
  freeze(net, "norm.*");
  net(x);
  EXPECT_EQ(statistics(), before);
  net.eval();
  net.train();  // thaws what is not frozen
  net(x);
  EXPECT_EQ(statistics(), before);
  unfreeze(net, "norm");
  net(x);
  EXPECT_NE(statistics(), before);
  const auto after = statistics();
  freeze(net, "norm.bias");  // its scale is still trained
  net(x);
  EXPECT_NE(statistics(), after);
}

TEST(Freeze, TiedOnesTogether) {
  Net net;
  start(net);
  tie(net, "decoder.weight", "encoder.weight");
  freeze(net, "decoder.*");
  EXPECT_THAT(names_of(net.named_parameters()),
              ElementsAre("encoder.bias", "norm.weight", "norm.bias"));
  unfreeze(net, "encoder.weight");
  EXPECT_EQ(net.parameters().size(), 4U);
  sum(net(Tensor::ones({2, 3}))).backward();
  EXPECT_TRUE(net.decoder.weight.value().grad().defined());
}

TEST(Freeze, AGraphsLeaves) {
  Net net;
  start(net);
  Graph graph = trace(net, Tensor::ones({2, 3})).copy();
  const std::size_t all = graph.parameters().size();
  EXPECT_EQ(freeze(graph, "encoder.*"), 2);
  EXPECT_EQ(graph.parameters().size(), all - 2);
  optim::SGD sgd(graph.parameters());
  EXPECT_EQ(unfreeze(graph, "encoder.weight"), 1);
  EXPECT_EQ(graph.parameters().size(), all - 1);
  graph.verify();
}

TEST(CountParameters, TiedOnesOnce) {
  Net net;
  start(net);
  const ParameterCount all = count_parameters(net);
  EXPECT_EQ(all.trainable, 9 + 3 + 3 + 3 + 9);
  EXPECT_EQ(all.frozen, 0);
  EXPECT_EQ(all.buffers, 6);
  tie(net, "decoder.weight", "encoder.weight");
  freeze(net, "norm");
  const ParameterCount now = count_parameters(net);
  EXPECT_EQ(now.trainable, 12);
  EXPECT_EQ(now.frozen, 6);
  EXPECT_EQ(now.total(), 18);
}

}  // namespace
}  // namespace pare::nn
