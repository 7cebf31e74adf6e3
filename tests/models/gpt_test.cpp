// The GPT and the transformer classifier against PyTorch, with weights that both sides compute.
#include "pare/models/gpt.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>

#include "expect_error.h"
#include "golden_noise.h"
#include "models/golden_gpt.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/models/transformer_classifier.h"
#include "pare/optim/adam.h"

namespace pare::models {
namespace {

using test::error_of;
using test::noise;
using ::testing::HasSubstr;
namespace golden = test::golden;

std::vector<std::string> fill(nn::Module& net) {
  Generator generator(0);
  initialize(net, generator);
  const NoGrad scope;
  std::map<std::string, Tensor> state;
  for (auto& [name, tensor, trainable] : net.state()) state.emplace(name, tensor);
  std::vector<std::string> names;
  std::uint32_t number = 1;
  for (auto& [name, tensor] : state) {
    names.push_back(name);
    Tensor values = noise(number++, tensor.shape());
    const bool norm =
        name.find("norm") != std::string::npos || name.find("ln_") != std::string::npos;
    if (tensor.rank() > 1) {
      const auto fan = static_cast<double>(tensor.elements() / tensor.dim(0));
      values = values * static_cast<double>(static_cast<float>(4 / std::sqrt(fan)));
    } else if (norm && name.ends_with("weight")) {
      values = values + 1.0;
    }
    tensor.copy_from(values);
  }
  return names;
}

void expect_near(const Tensor& found, const std::vector<float>& expected) {
  ASSERT_TRUE(found.defined());
  const std::vector<float> values = found.to_vector<float>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected[i], 2e-5F * std::max(1.0F, std::fabs(expected[i]))) << i;
}

Tensor tokens(std::int64_t shift = 0, std::int64_t batch = 2) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < 5 * batch; ++i) values.push_back((i * 7 % 11 + shift) % 11);
  return Tensor::from(values, {batch, 5});
}

GPTOptions small() {
  return {.vocab_size = 11, .block_size = 6, .n_layer = 2, .n_head = 2, .n_embd = 8};
}

void expect_pytorchs(GPT net, const std::vector<std::string>& state,
                     const std::vector<float>& logits, const std::vector<float>& of_table,
                     const std::vector<float>& of_attention) {
  EXPECT_EQ(fill(net), state);
  const Tensor y = net(tokens());
  expect_near(y, logits);
  cross_entropy(reshape(y, {-1, 11}), reshape(tokens(1), {-1})).backward();
  expect_near(net.transformer.wte.weight.value().grad(), of_table);
  const auto& block = net.transformer.h[0].as<GPTBlock>();
  expect_near(block.attn.c_attn.weight.value().grad(), of_attention);
}

TEST(GPT, IsPyTorchs) {
  GPTOptions options = small();
  options.tie_weights = false;
  expect_pytorchs(GPT(options), golden::gpt_state, golden::gpt_logits, golden::gpt_wte_gradient,
                  golden::gpt_attn_gradient);
  options.tie_weights = true;
  options.bias = false;
  expect_pytorchs(GPT(options), golden::gpt_tied_state, golden::gpt_tied_logits,
                  golden::gpt_tied_wte_gradient, golden::gpt_tied_attn_gradient);
}

TEST(GPT, TiedWeightsStayTiedInCopies) {
  GPT net(small());
  fill(net);
  EXPECT_EQ(net.parameters().size(), net.state().size() - 1);
  GPT copy = net;
  for (auto& p : copy.named_parameters()) {
    EXPECT_NE(p.name, "lm_head.weight");
    if (p.name == "transformer.wte.weight") p.tensor.fill(0);
  }
  const NoGrad scope;
  EXPECT_EQ(max(abs(copy(tokens()))).item(), 0);
  EXPECT_GT(max(abs(net(tokens()))).item(), 0);
}

TEST(GPT, TracedIsEagerForAnyBatch) {
  GPT net(small());
  fill(net);
  Graph graph = trace(net, tokens());
  EXPECT_TRUE(graph.value(graph.outputs()[0]).shape.symbolic(0));
  const NoGrad scope;
  for (const std::int64_t batch : {1, 2, 5})
    EXPECT_EQ(graph(tokens(0, batch)).to_vector<float>(), net(tokens(0, batch)).to_vector<float>());
}

TEST(GPT, StartsAsGPT2) {
  GPT net({.vocab_size = 65, .n_embd = 64});
  Generator generator(1);
  initialize(net, generator);
  const auto deviation = [](const Tensor& t) { return stddev(t).item(); };
  const auto& block = net.transformer.h[0].as<GPTBlock>();
  EXPECT_NEAR(deviation(block.mlp.c_fc.weight), 0.02, 0.001);
  EXPECT_NEAR(deviation(block.mlp.c_proj.weight), 0.02 / std::sqrt(8.0), 0.0005);
  EXPECT_NEAR(deviation(net.transformer.wte.weight), 0.02, 0.001);
  EXPECT_EQ(max(abs(block.mlp.c_fc.bias)).item(), 0);
}

TEST(GPT, LearnsAndGenerates) {
  GPT net({.vocab_size = 4, .block_size = 8, .n_layer = 1, .n_head = 2, .n_embd = 16});
  Generator generator(2);
  initialize(net, generator);
  // 0 1 2 3 0 1 2 3 …
  std::vector<std::int64_t> text;
  for (std::int64_t i = 0; i < 9; ++i) text.push_back(i % 4);
  const Tensor x = Tensor::from(std::vector<std::int64_t>(text.begin(), text.end() - 1), {1, 8});
  const Tensor y = Tensor::from(std::vector<std::int64_t>(text.begin() + 1, text.end()), {8});
  optim::Adam optimizer(net.parameters(), {.lr = 0.02});
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    cross_entropy(reshape(net(x), {-1, 4}), y).backward();
    optimizer.step();
  }
  const std::vector<std::int64_t> likeliest =
      net.generate({0, 1}, generator, {.count = 6, .temperature = 0});
  ASSERT_EQ(likeliest.size(), 8U);
  for (std::size_t i = 0; i < likeliest.size(); ++i)
    EXPECT_EQ(likeliest[i], static_cast<std::int64_t>(i % 4)) << i;
  EXPECT_EQ(net.generate({0, 1}, generator, {.count = 6, .top_k = 1}), likeliest);
  // Hot: anything comes; the same generator, the same text.
  Generator a(5);
  Generator b(5);
  const auto hot = net.generate({0}, a, {.count = 40, .temperature = 100});
  EXPECT_EQ(net.generate({0}, b, {.count = 40, .temperature = 100}), hot);
  int kinds[4] = {};
  for (const std::int64_t t : hot) ++kinds[t];
  for (const int k : kinds) EXPECT_GT(k, 3);
}

TEST(TransformerClassifier, IsPyTorchs) {
  TransformerClassifierOptions options{.vocab_size = 11,
                                       .classes = 3,
                                       .max_length = 6,
                                       .d_model = 8,
                                       .nhead = 2,
                                       .dim_feedforward = 12};
  TransformerClassifier plain(options);
  EXPECT_EQ(fill(plain), golden::classifier_state);
  const NoGrad scope;
  expect_near(plain(tokens()), golden::classifier_logits);
  options.padding = 0;
  TransformerClassifier padded(options);
  fill(padded);
  Tensor x = tokens();
  x.mutable_data<std::int64_t>()[8] = x.mutable_data<std::int64_t>()[9] = 0;
  expect_near(padded(x), golden::classifier_padded_logits);
  Graph graph = trace(padded, x);
  for (const std::int64_t batch : {1, 4})
    EXPECT_EQ(graph(tokens(0, batch)).to_vector<float>(),
              padded(tokens(0, batch)).to_vector<float>());
  // Of padding alone: the bias.
  const Tensor nothing = padded(Tensor::zeros({1, 3}, DType::i64));
  EXPECT_EQ(nothing.to_vector<float>(), padded.fc.bias.value().to_vector<float>());
}

TEST(GPT, BadInput) {
  EXPECT_THAT(error_of([] { GPT({.block_size = 6}); }),
              HasSubstr("GPT: expected sizes of at least 1, got vocab_size = 0"));
  EXPECT_THAT(error_of([] { GPT({.vocab_size = 5, .n_head = 3, .n_embd = 8}); }),
              HasSubstr("GPT: expected n_embd to be a multiple of n_head, got 8 and 3"));
  GPT net(small());
  fill(net);
  Generator g(1);
  EXPECT_THAT(error_of([&] { net(Tensor::zeros({5}, DType::i64)); }),
              HasSubstr("GPT: expected tokens of shape [N, T], got [5]"));
  EXPECT_THAT(error_of([&] {
                net(Tensor::zeros({1, 7}, DType::i64));
              }),
              HasSubstr("GPT: expected at most 6 tokens, got [1, 7]"));
  EXPECT_THAT(error_of([&] { net.generate({}, g); }),
              HasSubstr("GPT::generate: expected a token to begin with"));
  EXPECT_THAT(
      error_of([&] { net.generate({1}, g, {.temperature = -1}); }),
      HasSubstr(
          "GPT::generate: expected options of at least 0, got count = 100, temperature = -1"));
  EXPECT_THAT(
      error_of([] { TransformerClassifier({.vocab_size = 3}); }),
      HasSubstr(
          "TransformerClassifier: expected sizes of at least 1, got vocab_size = 3, classes = 0"));
  TransformerClassifier classifier({.vocab_size = 3, .classes = 2, .max_length = 4});
  EXPECT_THAT(
      error_of([&] {
        classifier(Tensor::zeros({1, 5}, DType::i64));
      }),
      HasSubstr(
          "TransformerClassifier: expected tokens of shape [N, T] with T from 1 to 4, got [1, 5]"));
}

}  // namespace
}  // namespace pare::models
