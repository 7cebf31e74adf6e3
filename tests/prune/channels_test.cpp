// Structured pruning: the law removed = zeroed on the topologies that break others.
#include "pare/prune/channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/activation.h"
#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/nn/pooling.h"
#include "pare/prune/masks.h"
#include "prune/law.h"

namespace pare::prune {
namespace {

using test::error_of;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

nn::Conv2d conv3(std::int64_t in, std::int64_t out, std::int64_t stride = 1,
                 std::int64_t groups = 1) {
  return nn::Conv2d{{.in = in,
                     .out = out,
                     .kernel = 3,
                     .stride = stride,
                     .padding = 1,
                     .groups = groups,
                     .bias = false}};
}

// Two residual blocks, the second with an option-A shortcut (stride-2 slice, padded channels).
struct Residual : nn::Module {
  nn::Conv2d conv1 = conv3(3, 8), conv2 = conv3(8, 8), conv3_ = conv3(8, 8),
             conv4 = conv3(8, 16, 2), conv5 = conv3(16, 16);
  nn::BatchNorm2d bn1{{.features = 8}}, bn2{{.features = 8}}, bn3{{.features = 8}},
      bn4{{.features = 16}}, bn5{{.features = 16}};
  nn::Linear fc{{.in = 16, .out = 5}};

  void members(nn::Members& m) override {
    m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("conv3", conv3_)("bn3", bn3);
    m("conv4", conv4)("bn4", bn4)("conv5", conv5)("bn5", bn5)("fc", fc);
  }
  Tensor forward(const Tensor& input) override {
    Tensor x = relu(bn1(conv1(input)));
    x = relu(bn3(conv3_(relu(bn2(conv2(x))))) + x);
    const Tensor y = bn5(conv5(relu(bn4(conv4(x)))));
    const Tensor shortcut =
        pad(slice(slice(x, 2, 0, 1 << 20, 2), 3, 0, 1 << 20, 2), {0, 4, 0, 0}, {0, 4, 0, 0});
    x = relu(y + shortcut);
    return fc(flatten(global_average_pool(x)));
  }
};

struct Concat : nn::Module {
  nn::Conv2d a = conv3(3, 4), b = conv3(3, 6), c = conv3(10, 8);
  nn::Linear fc{{.in = 8, .out = 3}};
  void members(nn::Members& m) override { m("a", a)("b", b)("c", c)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    const Tensor y = concat({relu(a(x)), sigmoid(b(x))}, 1);
    return fc(flatten(global_average_pool(relu(c(y)))));
  }
};

struct Depthwise : nn::Module {
  nn::Conv2d first = conv3(3, 6), depthwise = conv3(6, 6, 1, 6), grouped = conv3(6, 8, 1, 2);
  nn::Conv2d last{{.in = 8, .out = 5, .kernel = 1}};
  nn::Linear fc{{.in = 5, .out = 3}};
  void members(nn::Members& m) override {
    m("first", first)("depthwise", depthwise)("grouped", grouped)("last", last)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(global_average_pool(last(relu(grouped(relu6(depthwise(relu(first(x))))))))));
  }
};

struct Flatten : nn::Module {
  nn::Conv2d conv = conv3(1, 6);
  nn::MaxPool2d pool{{.kernel = 2}};
  nn::Linear fc1{{.in = 6 * 4 * 4, .out = 7}}, fc2{{.in = 7, .out = 4}};
  void members(nn::Members& m) override { m("conv", conv)("fc1", fc1)("fc2", fc2); }
  Tensor forward(const Tensor& x) override { return fc2(relu(fc1(flatten(pool(relu(conv(x))))))); }
};

// A slice of every other channel: what stays of it after a cut is no slice any more.
struct Irregular : nn::Module {
  nn::Conv2d conv = conv3(3, 8), next = conv3(4, 5);
  nn::Linear fc{{.in = 5, .out = 2}};
  void members(nn::Members& m) override { m("conv", conv)("next", next)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(global_average_pool(relu(next(slice(conv(x), 1, 0, 8, 2))))));
  }
};

TEST(Channels, RemovedIsZeroedInAResidualNet) { expect_law_on<Residual>({2, 3, 8, 8}); }
TEST(Channels, RemovedIsZeroedThroughConcat) { expect_law_on<Concat>({2, 3, 6, 6}); }
TEST(Channels, RemovedIsZeroedInDepthwiseAndGroups) { expect_law_on<Depthwise>({2, 3, 6, 6}); }
TEST(Channels, RemovedIsZeroedThroughFlatten) { expect_law_on<Flatten>({2, 1, 8, 8}); }
TEST(Channels, RemovedIsZeroedThroughAnIrregularSlice) {
  const Graph graph = random_graph<Irregular>({2, 3, 4, 4});
  std::vector<Channel> cut;
  // Channels 0, 2, 6 of conv; 0 and 2 are read by the slice as its 0 and 1.
  for (const Group& g : groups(graph))
    for (const Channel& c : g.channels)
      for (const Slice& s : c.slices)
        if (graph.value(s.value).name == "conv.weight" && s.axis == 0 &&
            (s.indices.front() == 2 || s.indices.front() == 6))
          cut.push_back(c);
  ASSERT_EQ(cut.size(), 2U);
  Graph zeroed = graph.copy();
  zero_channels(zeroed, cut);
  Graph removed = graph.copy();
  remove_channels(removed, cut);
  const Tensor x = Generator(6).normal({2, 3, 4, 4});
  EXPECT_LT(distance(removed(x), zeroed(x)), 1e-5);
}

// A concatenation of what can be cut with what cannot: the picture itself, a branch of one channel,
// a branch that a mean over channels freezes.
enum class Beside { picture, one_channel, frozen };
template <Beside kBeside, bool kSlice> struct Mixed : nn::Module {
  static constexpr std::int64_t kOther = kBeside == Beside::one_channel ? 1 : 3;
  static constexpr std::int64_t kJoined = kSlice ? 4 : 5 + kOther;
  nn::Conv2d conv = conv3(3, 5), other = conv3(3, kOther);
  nn::Conv2d depthwise = conv3(kJoined, kJoined, 1, kJoined);
  nn::Conv2d pointwise{{.in = kJoined, .out = 6, .kernel = 1}};
  nn::Linear fc{{.in = 6, .out = 3}};
  void members(nn::Members& m) override {
    m("conv", conv);
    if (kBeside != Beside::picture) m("other", other);
    m("depthwise", depthwise)("pointwise", pointwise)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor beside = kBeside == Beside::picture ? x : other(x);
    const Tensor before = kBeside == Beside::frozen ? mean(beside, {1}, true) : Tensor();
    // The slice begins with one channel that must stay, which shifts those that may go.
    Tensor y = kSlice ? slice(concat({beside, relu(conv(x))}, 1), 1, kOther - 1, kOther + 3)
                      : concat({relu(conv(x)), beside}, 1);
    y = relu(depthwise(y));
    if (before.defined()) y = y + before;
    return fc(flatten(global_average_pool(relu(pointwise(y)))));
  }
};

template <Beside kBeside, bool kSlice> void expect_mixed() {
  const Shape shape{2, 3, 6, 6};
  using Net = Mixed<kBeside, kSlice>;
  expect_law_on<Net>(shape);
  Graph graph = random_graph<Net>(shape);
  channels(graph, {.ratio = 0.4});
  graph.verify();
  EXPECT_EQ(graph.value(graph.find_value("conv.weight")).shape[0], 3);
  EXPECT_EQ(graph(Generator(1).normal(shape)).shape(), (Shape{2, 3}));
}

TEST(Channels, RemovedIsZeroedBesideThePicture) { expect_mixed<Beside::picture, false>(); }
TEST(Channels, RemovedIsZeroedBesideABranchOfOneChannel) {
  expect_mixed<Beside::one_channel, false>();
}
TEST(Channels, RemovedIsZeroedBesideAFrozenBranch) { expect_mixed<Beside::frozen, false>(); }
TEST(Channels, RemovedIsZeroedInASliceBesideThePicture) {
  expect_law_on<Mixed<Beside::picture, true>>({2, 3, 6, 6});
}
TEST(Channels, RemovedIsZeroedInASliceBesideABranchOfOneChannel) {
  expect_law_on<Mixed<Beside::one_channel, true>>({2, 3, 6, 6});
}
TEST(Channels, RemovedIsZeroedInASliceBesideAFrozenBranch) {
  expect_law_on<Mixed<Beside::frozen, true>>({2, 3, 6, 6});
}

// Features times a vector; a product of two activations.
struct TimesVector : nn::Module {
  nn::Conv2d conv = conv3(3, 6);
  nn::Parameter vector{Shape{6}};
  void members(nn::Members& m) override { m("conv", conv)("vector", vector); }
  Tensor forward(const Tensor& x) override {
    return matmul(flatten(global_average_pool(relu(conv(x)))), vector);
  }
  void reset(Generator& generator) override { vector.set(generator.normal({6})); }
};
struct Scores : nn::Module {
  nn::Linear query{{.in = 6, .out = 8}}, key{{.in = 6, .out = 8}};
  void members(nn::Members& m) override { m("query", query)("key", key); }
  Tensor forward(const Tensor& x) override {
    return matmul(query(x), transpose(key(x), {0, 2, 1}));
  }
};

TEST(Channels, RemovedIsZeroedBeforeAProductWithAVector) {
  expect_law_on<TimesVector>({2, 3, 6, 6});
}
TEST(Channels, ProductsOfActivationsAreNoLayers) {
  expect_law_on<Scores>({2, 4, 6});
  const auto found = groups(random_graph<Scores>({2, 4, 6}));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].producers, UnorderedElementsAre("query", "key"));
  EXPECT_FALSE(found[0].statistics);
}

// x / Σx over channels, of exp(conv) or relu(conv).
template <bool kExp> struct Normalized : nn::Module {
  nn::Conv2d conv = conv3(3, 6);
  nn::Linear fc{{.in = 6 * 16, .out = 3}};
  void members(nn::Members& m) override { m("conv", conv)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    const Tensor e = kExp ? exp(conv(x)) : relu(conv(x));
    return fc(flatten(e / (sum(e, {1}, true) + 0.1)));
  }
};
template <int kAxis> struct Soft : Normalized<true> {
  Tensor forward(const Tensor& x) override { return fc(flatten(softmax(conv(x), kAxis))); }
};

TEST(Channels, SumsOverWhatIsNotZeroAreStatistics) {
  const Shape shape{2, 3, 4, 4};
  const auto found = groups(random_graph<Normalized<true>>(shape));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].statistics);
  EXPECT_THAT(found[0].statistics_nodes, ElementsAre("sum"));
  Graph graph = random_graph<Normalized<true>>(shape);
  EXPECT_THAT(channels(graph).to_string(), HasSubstr("sum takes statistics over them"));
  // A sum of zeros is none.
  EXPECT_FALSE(groups(random_graph<Normalized<false>>(shape)).at(0).statistics);
  expect_law_on<Normalized<false>>(shape);
}

// Over the picture the logsumexp of a channel of zeros is log 16.
template <bool kLogarithms> struct Summed : Normalized<true> {
  Tensor forward(const Tensor& x) override {
    const Tensor y = conv(x);
    const Tensor e =
        kLogarithms ? logsumexp(y, {2, 3}, true) : norm(y, {.axes = {2, 3}, .keepdim = true});
    return fc(flatten(y / (sum(e, {1}, true) + 0.1)));
  }
};
TEST(Channels, ALogSumExpOfZerosCounts) {
  const Shape shape{2, 3, 4, 4};
  const auto found = groups(random_graph<Summed<true>>(shape));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].statistics_nodes, ElementsAre("sum"));
  EXPECT_FALSE(groups(random_graph<Summed<false>>(shape)).at(0).statistics);
  expect_law_on<Summed<false>>(shape);
}

TEST(Channels, SoftmaxIsAStatisticOverItsOwnAxisOnly) {
  const Shape shape{2, 3, 4, 4};
  EXPECT_TRUE(groups(random_graph<Soft<1>>(shape)).at(0).statistics);
  EXPECT_FALSE(groups(random_graph<Soft<3>>(shape)).at(0).statistics);
  expect_law_on<Soft<3>>(shape);
}

TEST(Channels, L1CountsWhatIsMaskedAsNothing) {
  Residual net;
  Generator generator(11);
  initialize(net, generator);
  ln_structured(net.conv2, "weight", 4, {.n = 2, .dim = 0});
  const Graph masked = trace(net, Generator(5).normal({1, 3, 8, 8})).copy();
  Graph graph = masked.copy();
  // Behind the mask anything may stand.
  const Tensor mask = graph.value(graph.find_value("conv2.weight_mask")).tensor;
  const NoGrad no_grad;
  Tensor& weight = graph.edit_value(graph.find_value("conv2.weight_orig")).tensor;
  weight.copy_from(weight + (mask * -1.0 + 1.0) * 100.0);
  channels(graph, {.ratio = 0.5, .exclude = {"conv1", "conv4", "conv5"}});
  const Graph::Value& kept = graph.value(graph.find_value("conv2.weight_mask"));
  EXPECT_EQ(kept.shape, (Shape{4, 8, 3, 3}));
  for (const float m : kept.tensor.to_vector<float>()) EXPECT_EQ(m, 1);
}

TEST(Channels, OfAnEarlierGraphAreRefused) {
  Graph graph = random_graph<Residual>({1, 3, 8, 8});
  const auto before = groups(graph);
  const auto channel_of = [&](const char* name, std::size_t k) {
    for (const Group& g : before)
      if (g.name == name) return g.channels.at(k);
    return Channel{};
  };
  // Independent of the numbers of the labels, which change with every cut.
  remove_channels(graph, {channel_of("conv4", 3)});
  EXPECT_THAT(error_of([&] { remove_channels(graph, {channel_of("conv4", 15)}); }),
              HasSubstr("expected slices of leaves of this graph"));
  EXPECT_THAT(error_of([&] {
                remove_channels(graph, {Channel{1, {}, {}}});
              }),
              HasSubstr("got one without slices"));
  Channel half = channel_of("conv2", 0);
  half.slices.pop_back();
  EXPECT_THAT(error_of([&] { remove_channels(graph, {half}); }),
              HasSubstr("that is coupled otherwise"));
  Channel renumbered = channel_of("conv2", 5);
  renumbered.label = 1;
  remove_channels(graph, {renumbered});
  EXPECT_EQ(graph.value(graph.find_value("conv2.weight")).shape, (Shape{7, 8, 3, 3}));
  EXPECT_EQ(graph.value(graph.find_value("conv4.weight")).shape, (Shape{15, 8, 3, 3}));
}

TEST(Channels, RefuseScoresThatAreNotFinite) {
  Graph graph = random_graph<Flatten>({1, 1, 8, 8});
  EXPECT_THAT(error_of([&] {
                channels(graph, {.criterion = [](const Graph&, const Group& g) {
                           return std::vector<double>(g.channels.size(), std::nan(""));
                         }});
              }),
              HasSubstr("finite values for conv, got nan"));
}

TEST(Channels, GroupsAreWhatIsCoupled) {
  const auto found = groups(random_graph<Residual>({1, 3, 8, 8}));
  std::vector<std::vector<std::string>> producers;
  for (const Group& g : found) producers.push_back(g.producers);
  // The trunk: conv1 and conv3 are added; the padded shortcut couples their 8 channels with the
  // middle 8 of conv5's 16, whose other 8 are a group of their own.
  EXPECT_THAT(producers, UnorderedElementsAre(UnorderedElementsAre("conv1", "conv3", "conv5"),
                                              ElementsAre("conv2"), ElementsAre("conv4"),
                                              ElementsAre("conv5")));
  for (const Group& g : found) {
    EXPECT_EQ(g.channels.size(), g.name == "conv4" ? 16U : 8U) << g.name;
    EXPECT_FALSE(g.statistics);
  }
}

TEST(Channels, CutsTheLeastImportantAndReports) {
  Graph graph = random_graph<Residual>({1, 3, 8, 8});
  const Tensor old = graph.value(graph.find_value("conv2.weight")).tensor;
  const ChannelsReport report = channels(graph, {.ratio = 0.5});
  EXPECT_EQ(graph.value(graph.find_value("conv2.weight")).shape, (Shape{4, 4, 3, 3}));
  EXPECT_EQ(graph.value(graph.find_value("bn5.running_var")).shape, (Shape{8}));
  EXPECT_LT(report.parameters_after, report.parameters_before / 3);
  ASSERT_EQ(report.kept.size(), 1U);
  EXPECT_EQ(report.kept[0].name, "fc");
  EXPECT_THAT(report.kept[0].reason, HasSubstr("output of the graph"));
  EXPECT_THAT(report.to_string(), HasSubstr("conv2: 8 → 4 channels"));
  bool replaced = false;
  for (const Replacement& r : report.replacements) replaced = replaced || r.old.same_as(old);
  EXPECT_TRUE(replaced);
  EXPECT_TRUE(old.impl()->retired);

  Graph rounded = random_graph<Residual>({1, 3, 8, 8});
  channels(rounded, {.ratio = 0.6, .round_to = 4, .exclude = {"conv4*"}});
  EXPECT_EQ(rounded.value(rounded.find_value("conv2.weight")).shape, (Shape{4, 4, 3, 3}));
  EXPECT_EQ(rounded.value(rounded.find_value("conv4.weight")).shape, (Shape{16, 4, 3, 3}));

  Graph global = random_graph<Residual>({1, 3, 8, 8});
  const auto counts = channels(global, {.ratio = 0.5, .global = true});
  std::int64_t gone = 0;
  for (const auto& line : counts.groups) gone += line.before - line.after;
  EXPECT_NEAR(static_cast<double>(gone), 20, 4);
}

TEST(Channels, L1TakesTheSmallestSlices) {
  Graph graph = random_graph<Flatten>({1, 1, 8, 8});
  for (const Group& g : groups(graph)) {
    if (g.name != "fc1") continue;
    const auto importance = L1{}(graph, g);
    const auto in = graph.value(graph.find_value("fc1.weight")).tensor.to_vector<float>();
    const auto next = graph.value(graph.find_value("fc2.weight")).tensor.to_vector<float>();
    for (std::size_t c = 0; c < 7; ++c) {
      double expected = 0;
      for (std::size_t k = 0; k < 96; ++k)
        expected += std::fabs(static_cast<double>(in[c * 96 + k]));
      for (std::size_t o = 0; o < 4; ++o)
        expected += std::fabs(static_cast<double>(next[o * 7 + c]));
      EXPECT_NEAR(importance[c], expected, 1e-4);
    }
    return;
  }
  FAIL() << "no group fc1";
}

TEST(Channels, RefuseBadOptionsAndLeaveTheGraph) {
  Graph graph = random_graph<Flatten>({1, 1, 8, 8});
  const std::size_t bytes = graph.bytes();
  EXPECT_THAT(error_of([&] { channels(graph, {.ratio = 1}); }), HasSubstr("[0, 1), got 1"));
  EXPECT_THAT(error_of([&] { channels(graph, {.round_to = 0}); }), HasSubstr("at least 1, got 0"));
  EXPECT_THAT(error_of([&] { channels(graph, {.exclude = {"cnov"}}); }),
              HasSubstr("the layers are conv, fc1, fc2), got \"cnov\""));
  EXPECT_THAT(error_of([&] {
                channels(graph, {.criterion = [](const Graph&, const Group&) {
                           return std::vector<double>{1};
                         }});
              }),
              HasSubstr("expected a criterion that gives"));
  std::vector<Channel> all;
  for (const Group& g : groups(graph))
    if (g.name == "conv") all = g.channels;
  EXPECT_THAT(error_of([&] { remove_channels(graph, all); }),
              HasSubstr("expected at least one channel to stay"));
  EXPECT_EQ(graph.bytes(), bytes);
  graph.verify();
}

}  // namespace
}  // namespace pare::prune
