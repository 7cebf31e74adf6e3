// Pruning through attention and the normalizations of a sample: removed = zeroed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/models/gpt.h"
#include "pare/nn/attention.h"
#include "pare/nn/conv.h"
#include "pare/nn/feature_norm.h"
#include "pare/nn/linear.h"
#include "pare/prune/channels.h"
#include "prune/law.h"

namespace pare::prune {
namespace {

Graph traced(nn::Module& net, const Tensor& example) {
  Generator generator(11);
  initialize(net, generator);
  for (const auto& named : net.state()) {
    Tensor t = named.tensor;
    if (t.rank() == 1) t.copy_from(generator.uniform(t.shape(), 0.2F, 1.0F));
  }
  return trace(net, example).copy();
}

/// Cuts every other channel of the groups that `chosen` picks, zeroes them instead, and compares;
/// returns how many were cut.
std::size_t expect_law(const Graph& graph, const Tensor& x,
                       const std::function<bool(const Group&)>& chosen) {
  std::vector<Channel> cut;
  for (const Group& g : groups(graph)) {
    if (!chosen(g)) continue;
    for (std::size_t c = 0; c + 1 < g.channels.size(); c += 2) cut.push_back(g.channels[c]);
  }
  if (cut.empty()) return 0;
  expect_removed_is_zeroed(graph, cut, x);
  return cut.size();
}

// Attention with layers of its own for query, key and value.
struct Attention : nn::Module {
  Attention(std::int64_t heads_, std::int64_t key_heads_) : heads(heads_), key_heads(key_heads_) {}
  std::int64_t heads, key_heads;
  nn::Linear q{{.in = 6, .out = heads * 4}}, k{{.in = 6, .out = key_heads * 4}},
      v{{.in = 6, .out = key_heads * 4}}, o{{.in = heads * 4, .out = 5}};
  void members(nn::Members& m) override { m("q", q)("k", k)("v", v)("o", o); }
  Tensor forward(const Tensor& x) override {
    const Tensor y = scaled_dot_product_attention(
        reshape(q(x), {0, 0, heads, 4}), reshape(k(x), {0, 0, key_heads, 4}),
        reshape(v(x), {0, 0, key_heads, 4}), {},
        {.causal = true, .grouped = heads != key_heads, .length_first = true});
    return o(reshape(y, {0, 0, heads * 4}));
  }
};

TEST(PruneAttention, HeadsOrWidthsGoTogether) {
  const Tensor x = Generator(5).normal({2, 7, 6});
  for (const std::int64_t key_heads : {4, 2}) {
    Attention net(4, key_heads);
    const Graph graph = traced(net, x);
    std::size_t cut = 0;
    for (const std::string& name : {std::string("q"), std::string("v")})
      cut += expect_law(graph, x, [&](const Group& g) {
        return !g.statistics && g.name.find(name) != std::string::npos;
      });
    EXPECT_GT(cut, 0U) << key_heads << " heads of keys";
  }
}

// Groups of channels go as a whole; an instance goes alone.
struct Normalized : nn::Module {
  nn::Conv2d a{{.in = 3, .out = 8, .kernel = 3, .padding = 1}},
      b{{.in = 8, .out = 6, .kernel = 3, .padding = 1}}, c{{.in = 6, .out = 3, .kernel = 1}};
  nn::GroupNorm groups{{.groups = 4, .channels = 8}};
  nn::InstanceNorm2d instance{{.features = 6, .affine = true}};
  void members(nn::Members& m) override {
    m("a", a)("groups", groups)("b", b)("instance", instance)("c", c);
  }
  Tensor forward(const Tensor& x) override { return c(relu(instance(b(relu(groups(a(x))))))); }
};

TEST(PruneNormalization, WholeGroupsAndSingleInstances) {
  Normalized net;
  const Tensor x = Generator(6).normal({2, 3, 5, 4});
  const Graph graph = traced(net, x);
  std::vector<std::size_t> sizes;
  for (const Group& g : groups(graph)) {
    EXPECT_FALSE(g.statistics) << g.name;
    sizes.push_back(g.channels.size());
  }
  EXPECT_THAT(sizes, ::testing::UnorderedElementsAre(4U, 6U));
  EXPECT_EQ(expect_law(graph, x, [](const Group&) { return true; }), 5U);
}

TEST(PruneNormalization, LayerNormIsNamed) {
  models::GPT net({.vocab_size = 7, .block_size = 5, .n_layer = 1, .n_head = 2, .n_embd = 8});
  const Tensor tokens =
      Tensor::from(std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 0, 1, 2, 3}, {2, 5});
  const Graph graph = traced(net, tokens);
  bool found = false;
  std::size_t cut = 0;
  for (const Group& g : groups(graph))
    for (const std::string& node : g.statistics_nodes)
      found = found || node.find("ln_") != std::string::npos ||
              node.find("layer_norm") != std::string::npos;
  EXPECT_TRUE(found);
  // What lies between the layers of the MLP meets no statistics.
  cut = expect_law(graph, tokens, [](const Group& g) {
    return !g.statistics && g.name.find("c_fc") != std::string::npos;
  });
  EXPECT_GT(cut, 0U);
}

}  // namespace
}  // namespace pare::prune
