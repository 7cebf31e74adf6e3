// The recurrent classifiers: names, shapes, padding, tracing, plans and learning.
#include "pare/models/char_rnn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/optim/adam.h"
#include "pare/runtime/compile.h"

namespace pare {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class Net> Net made(Net net) {
  Generator generator(3);
  initialize(net, generator);
  return net;
}
const models::CharRnnOptions kOptions{.vocabulary = 7, .classes = 3, .embedding = 5, .hidden = 6};

Tensor words(const std::vector<std::int64_t>& characters, std::int64_t rows) {
  return Tensor::from(characters, {rows, static_cast<std::int64_t>(characters.size()) / rows});
}

std::vector<std::string> names_of(nn::Module& net) {
  std::vector<std::string> names;
  for (const auto& p : net.named_parameters()) names.push_back(p.name);
  return names;
}

TEST(CharRnn, ParametersHavePyTorchsNames) {
  models::CharLSTM net = made(models::CharLSTM(kOptions));
  EXPECT_THAT(names_of(net),
              ElementsAre("embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0",
                          "lstm.bias_ih_l0", "lstm.bias_hh_l0", "fc.weight", "fc.bias"));
  models::SequenceGRU gru =
      made(models::SequenceGRU({.channels = 2, .classes = 3, .hidden = 4, .bidirectional = true}));
  EXPECT_THAT(names_of(gru), ElementsAre("gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_ih_l0",
                                         "gru.bias_hh_l0", "gru.weight_ih_l0_reverse",
                                         "gru.weight_hh_l0_reverse", "gru.bias_ih_l0_reverse",
                                         "gru.bias_hh_l0_reverse", "fc.weight", "fc.bias"));
}

template <class Net> void expect_padding_counts_for_nothing(Net net) {
  const NoGrad no_grad;
  const Tensor both = net(words({1, 2, 3, 4, 5, 6, 1, 0}, 2));
  EXPECT_EQ(both.shape(), (Shape{2, 3}));
  const Tensor alone = net(words({5, 6, 1}, 1));
  const auto a = slice(both, 0, 1, 2).to_vector<float>();
  const auto b = alone.to_vector<float>();
  for (std::size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5F);
}

TEST(CharRnn, PaddingCountsForNothing) {
  models::CharRnnOptions deep = kOptions;
  deep.layers = 2;
  deep.bidirectional = true;
  expect_padding_counts_for_nothing(made(models::CharLSTM(kOptions)));
  expect_padding_counts_for_nothing(made(models::CharLSTM(deep)));
  expect_padding_counts_for_nothing(made(models::CharGRU(kOptions)));
  expect_padding_counts_for_nothing(made(models::CharGRU(deep)));
}

TEST(CharRnn, GraphAndPlanAreTheModuleAtAnyBatch) {
  ContextScope scope;
  scope->threads = 1;
  models::CharRnnOptions deep = kOptions;
  deep.layers = 2;
  deep.bidirectional = true;
  models::CharLSTM net = made(models::CharLSTM(deep));
  Graph graph = trace(net, words({1, 2, 3, 4, 0, 0}, 2));
  const Plan plan = compile(graph);
  const Tensor x = words({3, 1, 2, 6, 0, 0, 1, 1, 0, 2, 3, 0}, 4);
  const NoGrad no_grad;
  const auto expected = net(x).to_vector<float>();
  EXPECT_EQ(graph(x).to_vector<float>(), expected);
  const auto planned = plan.run(x).to_vector<float>();
  ASSERT_EQ(planned.size(), expected.size());
  for (std::size_t i = 0; i < planned.size(); ++i) EXPECT_NEAR(planned[i], expected[i], 1e-5F);
}

TEST(CharRnn, SeriesOfSeveralLengthsAreLearnt) {
  ContextScope scope;
  scope->threads = 1;
  // The sign of the first value, which the noise after it hides.
  Generator g(4);
  const std::int64_t count = 24;
  Tensor x = g.normal({count, 6, 1}, 0, 0.3F);
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> lengths;
  for (std::int64_t n = 0; n < count; ++n) {
    labels.push_back(n % 2);
    lengths.push_back(2 + n % 5);
    x.mutable_data<float>()[n * 6] = n % 2 ? 1.0F : -1.0F;
  }
  const Tensor y = Tensor::from(labels, {count});
  models::SequenceGRU net = made(models::SequenceGRU({.channels = 1, .classes = 2, .hidden = 8}));
  optim::Adam adam(net.parameters(), {.lr = 0.02});
  double loss = 0;
  for (int step = 0; step < 80; ++step) {
    adam.zero_grad();
    const Tensor l = cross_entropy(net.run({x, Tensor::from(lengths, {count})})[0], y);
    l.backward();
    adam.step();
    loss = l.item();
  }
  EXPECT_LT(loss, 0.1);
}

TEST(CharRnn, BadInput) {
  models::CharLSTM net = made(models::CharLSTM(kOptions));
  EXPECT_THAT(error_of([&] {
                net(words({1, 2}, 1).to(DType::f32));
              }),
              HasSubstr("embedding: expected i64 or i32 indices, got f32"));
  EXPECT_THAT(error_of([&] { net(Tensor::from(std::vector<std::int64_t>{1}, {1})); }),
              HasSubstr("CharLSTM: expected characters [N, T], got [1]"));
  EXPECT_THAT(error_of([&] { net(words({7}, 1)); }),
              HasSubstr("embedding: expected indices from 0 to 6, got 7"));
  EXPECT_THAT(error_of([] { models::CharGRU bad({.vocabulary = 3, .classes = 0}); }),
              HasSubstr("Linear: expected in and out of at least 1"));
  models::SequenceGRU gru = made(models::SequenceGRU({.channels = 1, .classes = 2}));
  EXPECT_THAT(error_of([&] { gru.run({}); }),
              HasSubstr("SequenceGRU: expected x, or x and lengths, got 0 inputs"));
}

}  // namespace
}  // namespace pare
