// A small GPT.
#include "pare/models/gpt.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/defined.h"
#include "pare/core/ops/attention.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/init.h"

namespace pare::models {
namespace {

const GPTOptions& checked(const GPTOptions& o) {
  PARE_CHECK(o.vocab_size > 0 && o.block_size > 0 && o.n_layer > 0 && o.n_head > 0 && o.n_embd > 0,
             invalid_argument, "GPT",
             "expected sizes of at least 1, got vocab_size = {}, block_size = {}, n_layer = {}, "
             "n_head = {}, n_embd = {}",
             o.vocab_size, o.block_size, o.n_layer, o.n_head, o.n_embd);
  PARE_CHECK(o.n_embd % o.n_head == 0, invalid_argument, "GPT",
             "expected n_embd to be a multiple of n_head, got {} and {}", o.n_embd, o.n_head);
  return o;
}

nn::LayerNormOptions norm_of(const GPTOptions& o) { return {.shape = {o.n_embd}, .bias = o.bias}; }

}  // namespace

GPTAttention::GPTAttention(const GPTOptions& o)
    : c_attn({.in = o.n_embd, .out = 3 * o.n_embd, .bias = o.bias}),
      c_proj({.in = o.n_embd, .out = o.n_embd, .bias = o.bias}),
      resid_dropout({.p = o.dropout}),
      heads_(o.n_head),
      width_(o.n_embd),
      dropout_(o.dropout) {
  set_mode(true);
}
void GPTAttention::members(nn::Members& m) {
  m("c_attn", c_attn)("c_proj", c_proj)("resid_dropout", resid_dropout);
}
void GPTAttention::set_mode(bool train) {
  attention_ = {
      &kScaledDotProductAttention,
      Attributes::of(AttentionAttributes{.causal = true, .dropout = dropout_, .frozen = !train})};
}
Tensor GPTAttention::forward(const Tensor& x) {
  const Tensor heads = reshape(c_attn(x), {0, 0, 3, heads_, width_ / heads_});
  const Tensor y = apply(attention_, detail::Borrowed(heads));
  return resid_dropout(c_proj(reshape(y, {0, 0, width_})));
}
std::string GPTAttention::kind() const { return "CausalSelfAttention"; }

GPTMLP::GPTMLP(const GPTOptions& o)
    : c_fc({.in = o.n_embd, .out = 4 * o.n_embd, .bias = o.bias}),
      c_proj({.in = 4 * o.n_embd, .out = o.n_embd, .bias = o.bias}),
      dropout({.p = o.dropout}) {}
void GPTMLP::members(nn::Members& m) { m("c_fc", c_fc)("c_proj", c_proj)("dropout", dropout); }
Tensor GPTMLP::forward(const Tensor& x) { return dropout(c_proj(gelu(c_fc(x)))); }
std::string GPTMLP::kind() const { return "MLP"; }

GPTBlock::GPTBlock(const GPTOptions& o) : ln_1(norm_of(o)), attn(o), ln_2(norm_of(o)), mlp(o) {}
void GPTBlock::members(nn::Members& m) { m("ln_1", ln_1)("attn", attn)("ln_2", ln_2)("mlp", mlp); }
Tensor GPTBlock::forward(const Tensor& x) {
  const Tensor y = x + attn(ln_1(x));
  return y + mlp(ln_2(y));
}
std::string GPTBlock::kind() const { return "Block"; }

GPTTransformer::GPTTransformer(const GPTOptions& o)
    : wte({.num_embeddings = o.vocab_size, .embedding_dim = o.n_embd}),
      wpe({.num_embeddings = o.block_size, .embedding_dim = o.n_embd}),
      drop({.p = o.dropout}),
      ln_f(norm_of(o)) {
  for (std::int64_t i = 0; i < o.n_layer; ++i) h.add(GPTBlock(o));
}
void GPTTransformer::members(nn::Members& m) {
  m("wte", wte)("wpe", wpe)("drop", drop)("h", h)("ln_f", ln_f);
}
Tensor GPTTransformer::forward(const Tensor& tokens) {
  require_defined(tokens, "GPT");
  PARE_CHECK(tokens.rank() == 2, shape_mismatch, "GPT", "expected tokens of shape [N, T], got {}",
             tokens.shape());
  const std::int64_t longest = wpe.weight.shape()[0];
  PARE_CHECK(tokens.dim(1) <= longest, shape_mismatch, "GPT", "expected at most {} tokens, got {}",
             longest, tokens.shape());
  const Tensor table = wpe.weight;
  const Tensor places = tokens.dim(1) == longest ? table : slice(table, 0, 0, tokens.dim(1));
  return ln_f(h(drop(wte(tokens) + places)));
}
std::string GPTTransformer::kind() const { return "Transformer"; }

GPT::GPT(GPTOptions options) : transformer(checked(options)), options_(options) {
  if (!options.tie_weights) lm_head = nn::Parameter({options.vocab_size, options.n_embd});
}

void GPT::members(nn::Members& m) {
  m("transformer", transformer);
  m("lm_head.weight", options_.tie_weights ? transformer.wte.weight : lm_head);
}

Tensor GPT::forward(const Tensor& tokens) {
  const Tensor x = transformer(tokens);
  return linear(x, options_.tie_weights ? transformer.wte.weight : lm_head);
}

void GPT::reset(Generator& generator) {
  // The sum of what 2 · n_layer parts add keeps the deviation of one.
  const double added = 0.02 / std::sqrt(2.0 * static_cast<double>(options_.n_layer));
  for_each_module([&](const std::string& name, Module& module) {
    if (auto* table = dynamic_cast<nn::Embedding*>(&module))
      table->weight.set(nn::init::normal(table->weight.shape(), generator, {.deviation = 0.02}));
    auto* linear = dynamic_cast<nn::Linear*>(&module);
    if (!linear) return;
    const double deviation = name.ends_with("c_proj") ? added : 0.02;
    linear->weight.set(
        nn::init::normal(linear->weight.shape(), generator, {.deviation = deviation}));
    if (linear->bias.defined()) linear->bias.set(nn::init::zeros(linear->bias.shape()));
  });
  if (lm_head.defined())
    lm_head.set(nn::init::normal(lm_head.shape(), generator, {.deviation = 0.02}));
}

std::string GPT::kind() const { return "GPT"; }

namespace {

/// One of the scores' indices, as the options say.
std::int64_t draw(const float* scores, std::int64_t count, Generator& generator,
                  const GenerateOptions& options) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
  const std::int64_t choices = options.top_k > 0 ? std::min(options.top_k, count) : count;
  std::partial_sort(order.begin(), order.begin() + choices, order.end(),
                    [&](std::int64_t a, std::int64_t b) {
                      return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
                    });
  if (options.temperature == 0) return order[0];
  order.resize(static_cast<std::size_t>(choices));
  std::vector<double> sums;
  double total = 0;
  for (const std::int64_t i : order) {
    total += std::exp(static_cast<double>(scores[i] - scores[order[0]]) / options.temperature);
    sums.push_back(total);
  }
  const double at = static_cast<double>(generator.uniform()) * total;
  const auto place = std::upper_bound(sums.begin(), sums.end(), at);
  return order[static_cast<std::size_t>(
      std::min<std::ptrdiff_t>(place - sums.begin(), std::ssize(sums) - 1))];
}

}  // namespace

std::vector<std::int64_t> GPT::generate(const std::vector<std::int64_t>& tokens,
                                        Generator& generator, const GenerateOptions& options) {
  PARE_CHECK(!tokens.empty(), shape_mismatch, "GPT::generate", "expected a token to begin with");
  PARE_CHECK(options.count >= 0 && options.temperature >= 0 && options.top_k >= 0, invalid_argument,
             "GPT::generate",
             "expected options of at least 0, got count = {}, temperature = {}, top_k = {}",
             options.count, options.temperature, options.top_k);
  const NoGrad no_grad;
  context().training = false;
  std::vector<std::int64_t> all = tokens;
  for (std::int64_t i = 0; i < options.count; ++i) {
    const auto length = std::min(std::ssize(all), static_cast<std::ptrdiff_t>(options_.block_size));
    const std::vector<std::int64_t> window(all.end() - length, all.end());
    const Tensor scores = (*this)(Tensor::from(window, {1, length}));
    const float* last = scores.data<float>() + (length - 1) * options_.vocab_size;
    all.push_back(draw(last, options_.vocab_size, generator, options));
  }
  return all;
}

}  // namespace pare::models
