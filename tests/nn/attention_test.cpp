// Attention, transformer and normalization layers against PyTorch's; traced as eager; bad input.
#include "pare/nn/attention.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "expect_error.h"
#include "golden_noise.h"
#include "nn/golden_attention.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/feature_norm.h"
#include "pare/nn/normalization.h"
#include "pare/nn/transformer.h"

namespace pare::nn {
namespace {

using test::error_of;
using test::noise;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Values by name, as make_attention.py's; returns the names, sorted.
std::vector<std::string> fill(Module& net) {
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
    if (tensor.rank() > 1) {
      const auto fan = static_cast<double>(tensor.elements() / tensor.dim(0));
      values = values * static_cast<double>(static_cast<float>(4 / std::sqrt(fan)));
    } else if (name.ends_with("running_var") || name == "weight" ||
               (name.find("norm") != std::string::npos && name.ends_with("weight"))) {
      values = values + 1.0;
    }
    tensor.copy_from(values);
  }
  return names;
}

const test::LayerGolden& golden(const std::string& name) {
  static const std::vector<test::LayerGolden> all = test::layer_goldens();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& g) { return g.name == name; });
  if (found == all.end()) throw std::runtime_error("no golden values of " + name);
  return *found;
}

void expect_outputs(const std::string& name, const Tensors& outputs) {
  const std::vector<float>& expected = golden(name).outputs;
  std::vector<float> found;
  for (const Tensor& t : outputs) {
    const auto part = t.to_vector<float>();
    found.insert(found.end(), part.begin(), part.end());
  }
  ASSERT_EQ(found.size(), expected.size()) << name;
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], expected[i], 2e-5F * std::max(1.0F, std::fabs(expected[i])))
        << name << " at " << i;
}

/// The layer has PyTorch's names and gives its results.
template <class Layer, class Run>
void expect_golden(const std::string& name, Layer layer, Run run) {
  EXPECT_EQ(fill(layer), golden(name).state) << name;
  const NoGrad scope;
  expect_outputs(name, run(layer));
}

const Shape kX{5, 2, 8};
Tensor x() { return noise(1000, kX) * 2.0; }
Tensor y() { return noise(1001, {6, 2, 8}) * 2.0; }
Tensor swapped(const Tensor& t) { return transpose(t, {1, 0, 2}); }
Tensor first_sample(const Tensor& t) { return reshape(slice(t, 1, 0, 1), {t.dim(0), t.dim(2)}); }
Tensor bools(const std::vector<float>& values, const Shape& shape) {
  return Tensor::from(values, shape).to(DType::boolean);
}
Tensor padding() { return bools({0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1}, {2, 6}); }
Tensor hidden() {
  Tensor mask = greater(noise(1004, {5, 6}), 0.2);
  for (std::int64_t i = 0; i < 5; ++i) mask.mutable_data<bool>()[i * 6] = false;
  return mask;
}
Tensor later() {
  Tensor mask = Tensor::zeros({5, 5}, DType::boolean);
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t j = i + 1; j < 5; ++j) mask.mutable_data<bool>()[i * 5 + j] = true;
  return mask;
}

Tensors with_weights(MultiheadAttention& m, const MultiheadAttention::Sequences& s,
                     const AttentionMasks& masks = {}, bool averaged = true) {
  const auto [result, weights] = m.attend_with_weights(s, masks, averaged);
  const Tensor fused = m.attend(s, masks);
  const auto a = result.to_vector<float>();
  const auto b = fused.to_vector<float>();
  EXPECT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5F) << i;
  return {fused, weights};
}

TEST(Attention, IsPyTorchs) {
  using Mha = MultiheadAttention;
  const auto self = [](Mha& m) { return with_weights(m, {x(), x(), x()}); };
  const auto one = [](Mha& m) {
    const Tensor t = x();
    return with_weights(m, {t, t, t});
  };
  expect_golden("self", Mha({.embed_dim = 8, .num_heads = 2}), self);
  expect_golden("self", Mha({.embed_dim = 8, .num_heads = 2}), one);
  expect_golden("self, no bias", Mha({.embed_dim = 8, .num_heads = 2, .bias = false}), one);
  expect_golden("cross", Mha({.embed_dim = 8, .num_heads = 2}), [](Mha& m) {
    const Tensor t = y();
    return with_weights(m, {x(), t, t}, {.key_padding_mask = padding(), .attn_mask = hidden()});
  });
  expect_golden("widths", Mha({.embed_dim = 8, .num_heads = 2, .kdim = 5, .vdim = 3}), [](Mha& m) {
    const Tensor k = noise(1002, {6, 2, 5}) * 2.0;
    const Tensor v = noise(1003, {6, 2, 3}) * 2.0;
    return with_weights(m, {x(), k, v}, {.attn_mask = noise(1005, {4, 5, 6})}, false);
  });
  const MultiheadAttentionOptions more{
      .embed_dim = 8, .num_heads = 2, .add_bias_kv = true, .add_zero_attn = true};
  expect_golden("more keys", Mha(more), [](Mha& m) {
    return with_weights(m, {x(), y(), y()}, {.key_padding_mask = padding(), .attn_mask = hidden()},
                        false);
  });
  expect_golden("batch first", Mha({.embed_dim = 8, .num_heads = 2, .batch_first = true}),
                [](Mha& m) {
                  return with_weights(m, {swapped(x()), swapped(y()), swapped(y())});
                });
  expect_golden("single", Mha({.embed_dim = 8, .num_heads = 2}), [](Mha& m) {
    const Tensor t = first_sample(y());
    return with_weights(m, {first_sample(x()), t, t},
                        {.key_padding_mask = reshape(slice(padding(), 0, 0, 1), {6})});
  });
  expect_golden("causal", Mha({.embed_dim = 8, .num_heads = 2}), [](Mha& m) {
    return with_weights(m, {x(), x(), x()}, {.is_causal = true});
  });
  expect_golden("causal", Mha({.embed_dim = 8, .num_heads = 2}), [](Mha& m) {
    return with_weights(m, {x(), x(), x()}, {.attn_mask = later()});
  });
}

TEST(Attention, MasksOfBoolAndFloatsGoTogether) {
  MultiheadAttention m({.embed_dim = 8, .num_heads = 2});
  fill(m);
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor floats = where(hidden(), Tensor::scalar(-infinity), Tensor::scalar(0));
  const NoGrad scope;
  const Tensor expected =
      m.attend({x(), y(), y()}, {.key_padding_mask = padding(), .attn_mask = hidden()});
  EXPECT_EQ(m.run({x(), y(), y(), padding(), floats})[0].to_vector<float>(),
            expected.to_vector<float>());
  EXPECT_EQ(m.run({x(), y(), y(), padding(), hidden()})[0].to_vector<float>(),
            expected.to_vector<float>());
}

TEST(Transformer, LayersArePyTorchs) {
  for (const bool first : {false, true})
    for (const bool gelu : {false, true}) {
      const TransformerLayerOptions options{
          .d_model = 8,
          .nhead = 2,
          .dim_feedforward = 12,
          .activation = gelu ? TransformerActivation::gelu : TransformerActivation::relu,
          .batch_first = first,
          .norm_first = first};
      const std::string label =
          std::string(gelu ? "gelu" : "relu") + ", " + (first ? "first" : "last");
      const auto order = [&](const Tensor& t) { return first ? swapped(t) : t; };
      expect_golden("encoder layer, " + label, TransformerEncoderLayer(options),
                    [&](TransformerEncoderLayer& m) {
                      return m.run({order(x()), slice(padding(), 1, 0, 5), later()});
                    });
      expect_golden("decoder layer, " + label, TransformerDecoderLayer(options),
                    [&](TransformerDecoderLayer& m) {
                      return m.run({order(x()), order(y()), Tensor(), later(), padding()});
                    });
    }
}

TEST(Transformer, StacksArePyTorchs) {
  TransformerLayerOptions options{.d_model = 8, .nhead = 2, .dim_feedforward = 12, .bias = false};
  expect_golden("encoder", TransformerEncoder(TransformerEncoderLayer(options), 2),
                [](TransformerEncoder& m) { return Tensors{m(x())}; });
  options.bias = true;
  options.norm_first = true;
  const LayerNorm norm({.shape = {8}});
  expect_golden("encoder, norm", TransformerEncoder(TransformerEncoderLayer(options), 2, norm),
                [](TransformerEncoder& m) { return Tensors{m.encode(x(), {.is_causal = true})}; });
  expect_golden("decoder, norm", TransformerDecoder(TransformerDecoderLayer(options), 2, norm),
                [](TransformerDecoder& m) {
                  return Tensors{m.decode(x(), y(), {.target = {.attn_mask = later()}})};
                });
}

TEST(FeatureNorm, LayersArePyTorchs) {
  const Tensor p = noise(1006, {2, 4, 3, 5}) * 3.0;
  const auto plain = [&](auto& m) { return Tensors{m(p)}; };
  expect_golden("LayerNorm", LayerNorm({.shape = {3, 5}}), plain);
  expect_golden("LayerNorm, no bias", LayerNorm({.shape = {5}, .bias = false}), plain);
  expect_golden("LayerNorm, plain", LayerNorm({.shape = {5}, .eps = 0.1, .affine = false}), plain);
  expect_golden("RMSNorm", RMSNorm({.shape = {5}}), plain);
  expect_golden("RMSNorm, plain", RMSNorm({.shape = {3, 5}, .eps = 0.1, .affine = false}), plain);
  expect_golden("GroupNorm", GroupNorm({.groups = 2, .channels = 4}), plain);
  expect_golden("GroupNorm, plain", GroupNorm({.groups = 4, .channels = 4, .affine = false}),
                plain);
  const Tensor single = reshape(slice(p, 0, 0, 1), {4, 3, 5});
  expect_golden("InstanceNorm2d", InstanceNorm2d({.features = 4}), [&](auto& m) {
    return Tensors{m(p), m(single)};
  });
  expect_golden("InstanceNorm1d, affine", InstanceNorm1d({.features = 4, .affine = true}),
                [&](auto& m) {
                  return Tensors{m(reshape(p, {2, 4, 15})), m(reshape(single, {4, 15}))};
                });
  const auto moved = [](auto& m, const Tensor& input) {
    ContextScope scope;
    scope->training = true;
    const Tensor first = m(input);
    m.eval();
    return Tensors{first, m.running_mean.value().clone(), m.running_var.value().clone(), m(input)};
  };
  expect_golden(
      "InstanceNorm2d, tracked",
      InstanceNorm2d({.features = 4, .momentum = 0.3, .affine = true, .track_running_stats = true}),
      [&](auto& m) { return moved(m, p); });
  const Tensor deep = reshape(p, {2, 4, 1, 3, 5});
  expect_golden("InstanceNorm3d", InstanceNorm3d({.features = 4}),
                [&](auto& m) { return Tensors{m(deep)}; });
  expect_golden("BatchNorm3d", BatchNorm3d({.features = 4, .momentum = 0.3}),
                [&](auto& m) { return moved(m, deep); });
  expect_golden("LocalResponseNorm", LocalResponseNorm({.size = 3, .alpha = 0.5, .k = 2}), plain);
}

void expect_same(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(a[i].to_vector<float>(), b[i].to_vector<float>());
}

/// A trace for batches of any size (axis 0) gives what the module gives, forwards and backwards.
void expect_traced(Module& net, const Tensors& small, const Tensors& large) {
  Generator generator(1);
  initialize(net, generator);
  Graph graph = trace(net, small);
  graph.verify();
  EXPECT_TRUE(graph.value(graph.outputs()[0]).shape.symbolic(0));
  for (const Tensors& inputs : {small, large}) {
    expect_same(graph.run(inputs), net.run(inputs));
    std::vector<std::vector<float>> gradients;
    for (Module* m : {&net, static_cast<Module*>(&graph)}) {
      net.zero_grad();
      sum(square(m->run(inputs)[0])).backward();
      for (const auto& p : net.named_parameters())
        gradients.push_back(p.tensor.grad().defined() ? p.tensor.grad().to_vector<float>()
                                                      : std::vector<float>{});
    }
    const std::size_t half = gradients.size() / 2;
    for (std::size_t i = 0; i < half; ++i) EXPECT_EQ(gradients[i], gradients[half + i]);
  }
}

TEST(Transformer, TracedIsEagerForAnyBatch) {
  const TransformerLayerOptions options{
      .d_model = 8, .nhead = 2, .dim_feedforward = 12, .batch_first = true};
  TransformerEncoder encoder(TransformerEncoderLayer(options), 2, LayerNorm({.shape = {8}}));
  Generator g(2);
  const auto masked = [&](std::int64_t n) {
    return Tensors{g.normal({n, 5, 8}), greater(g.uniform({n, 5}), 0.8)};
  };
  expect_traced(encoder, {g.normal({2, 5, 8})}, {g.normal({7, 5, 8})});
  expect_traced(encoder, masked(2), masked(7));
  TransformerDecoderLayer decoder(options);
  const auto sequences = [&](std::int64_t n) {
    return Tensors{g.normal({n, 5, 8}), g.normal({n, 3, 8})};
  };
  expect_traced(decoder, sequences(2), sequences(7));
  MultiheadAttention more({.embed_dim = 8,
                           .num_heads = 2,
                           .add_bias_kv = true,
                           .add_zero_attn = true,
                           .batch_first = true});
  const auto three = [&](std::int64_t n) {
    const Tensor t = g.normal({n, 4, 8});
    return Tensors{g.normal({n, 5, 8}), t, g.normal({n, 4, 8})};
  };
  expect_traced(more, three(2), three(7));
}

TEST(Transformer, EvalSwitchesDropoutOff) {
  TransformerEncoderLayer layer({.d_model = 8, .nhead = 2, .dim_feedforward = 12, .dropout = 0.5});
  fill(layer);
  const NoGrad no_grad;
  const std::vector<float> expected = layer(x()).to_vector<float>();
  ContextScope scope;
  scope->training = true;
  Generator generator(3);
  scope->generator = &generator;
  EXPECT_NE(layer(x()).to_vector<float>(), expected);
  layer.eval();
  EXPECT_EQ(layer(x()).to_vector<float>(), expected);
  layer.train();
  EXPECT_NE(layer(x()).to_vector<float>(), expected);
}

TEST(Attention, StartsWithPyTorchsValues) {
  MultiheadAttention m({.embed_dim = 64, .num_heads = 2, .add_bias_kv = true});
  Generator generator(1);
  initialize(m, generator);
  // Xavier's: uniform in ±√(6 / (64 + 192)).
  const double bound = std::sqrt(6.0 / 256);
  EXPECT_NEAR(max(m.in_proj_weight).item(), bound, bound * 0.01);
  EXPECT_NEAR(min(m.in_proj_weight).item(), -bound, bound * 0.01);
  EXPECT_EQ(max(abs(m.in_proj_bias)).item(), 0);
  EXPECT_EQ(max(abs(m.out_proj.bias)).item(), 0);
  EXPECT_NEAR(max(m.out_proj.weight).item(), 0.125, 0.001);
  EXPECT_GT(max(abs(m.bias_k)).item(), 0);
}

TEST(Attention, CopiesAreDeepAndSeparate) {
  TransformerEncoder net(TransformerEncoderLayer({.d_model = 8, .nhead = 2, .dim_feedforward = 12}),
                         2);
  fill(net);
  TransformerEncoder copy = net;
  const NoGrad scope;
  const std::vector<float> before = net(x()).to_vector<float>();
  for (auto& p : copy.named_parameters()) p.tensor.fill(0.5);
  EXPECT_EQ(net(x()).to_vector<float>(), before);
  EXPECT_NE(copy(x()).to_vector<float>(), before);
  copy = net;
  EXPECT_EQ(copy(x()).to_vector<float>(), before);
}

TEST(Attention, BadInput) {
  const auto made = [](const MultiheadAttentionOptions& options) {
    return error_of([&] { MultiheadAttention m(options); });
  };
  EXPECT_THAT(made({.embed_dim = 8, .num_heads = 3}),
              HasSubstr("MultiheadAttention: expected embed_dim and num_heads of at least 1, the "
                        "first a multiple of the second, got embed_dim = 8, num_heads = 3"));
  EXPECT_THAT(made({.embed_dim = 8}), HasSubstr("num_heads = 0"));
  EXPECT_THAT(made({.embed_dim = 8, .num_heads = 2, .dropout = 2}),
              HasSubstr("MultiheadAttention: expected dropout from 0 to 1, got 2"));
  EXPECT_THAT(made({.embed_dim = 8, .num_heads = 2, .kdim = -1}),
              HasSubstr("MultiheadAttention: expected kdim and vdim of at least 0, got -1 and 0"));
  MultiheadAttention m({.embed_dim = 8, .num_heads = 2});
  fill(m);
  const NoGrad scope;
  EXPECT_THAT(
      error_of([&] { m(Tensor::zeros({8})); }),
      HasSubstr(
          "MultiheadAttention: expected query, key and value of rank 3, or 2 for a single sample"));
  EXPECT_THAT(error_of([&] {
                m(Tensor::zeros({5, 2, 6}));
              }),
              HasSubstr("MultiheadAttention: expected widths 8, 8 and 8, got [5, 2, 6]"));
  EXPECT_THAT(error_of([&] {
                m.run({x(), y()});
              }),
              HasSubstr("MultiheadAttention: expected query, key and value, then perhaps two "
                        "masks, got 2 inputs"));
  EXPECT_THAT(
      error_of([&] {
        m.attend({x(), y(), y()}, {.key_padding_mask = slice(padding(), 1, 0, 5)});
      }),
      HasSubstr(
          "MultiheadAttention: expected a key_padding_mask of 6 keys for each sample, got [2, 5]"));
  EXPECT_THAT(error_of([&] {
                m.attend({x(), y(), y()}, {.attn_mask = later()});
              }),
              HasSubstr("MultiheadAttention: expected an attn_mask of shape [5, 6] or [N · 2, 5, "
                        "6], got [5, 5]"));
  const TransformerLayerOptions options{.d_model = 8, .nhead = 2};
  EXPECT_THAT(error_of([&] { TransformerEncoder(TransformerEncoderLayer(options), 0); }),
              HasSubstr("TransformerEncoder: expected at least one layer, got 0"));
  TransformerEncoderLayer encoder(options);
  EXPECT_THAT(
      error_of([&] { encoder.run({}); }),
      HasSubstr("TransformerEncoderLayer: expected a sequence, then perhaps two masks, got 0"));
  TransformerDecoderLayer decoder(options);
  EXPECT_THAT(
      error_of([&] { decoder.run({x()}); }),
      HasSubstr("TransformerDecoderLayer: expected two sequences, then perhaps four masks, got 1"));
}

TEST(FeatureNorm, BadInput) {
  EXPECT_THAT(error_of([] { LayerNorm({}); }),
              HasSubstr("LayerNorm: expected a shape of one axis or more, got none"));
  EXPECT_THAT(error_of([] {
                RMSNorm({.shape = {3, 0}});
              }),
              HasSubstr("RMSNorm: expected sizes of at least 1, got 0"));
  EXPECT_THAT(error_of([] { LayerNorm({.shape = {3}, .eps = -1}); }),
              HasSubstr("LayerNorm: expected eps of at least 0, got -1"));
  EXPECT_THAT(error_of([] { LayerNorm({.shape = std::vector<std::int64_t>(9, 1)}); }),
              HasSubstr("LayerNorm: expected at most 8 axes, got 9"));
  LayerNorm plain({.shape = {3}, .affine = false});
  EXPECT_THAT(error_of([&] {
                plain(Tensor::zeros({2, 4}));
              }),
              HasSubstr("LayerNorm: expected an input of shape [..., 3], got [2, 4]"));
  RMSNorm deep({.shape = {2, 3}, .affine = false});
  EXPECT_THAT(error_of([&] { deep(Tensor::zeros({3})); }),
              HasSubstr("RMSNorm: expected an input of shape [..., 2, 3], got [3]"));
  EXPECT_THAT(error_of([] { GroupNorm({.groups = 3, .channels = 4}); }),
              HasSubstr("GroupNorm: expected groups of at least 1 that divide channels, got groups "
                        "= 3, channels = 4"));
  EXPECT_THAT(error_of([] { GroupNorm({.groups = 2, .channels = 4, .eps = -1}); }),
              HasSubstr("GroupNorm: expected eps of at least 0, got -1"));
  EXPECT_THAT(error_of([] { InstanceNorm2d({}); }),
              HasSubstr("expected features of at least 1, got 0"));
  EXPECT_THAT(error_of([] { InstanceNorm1d({.features = 2, .eps = -1}); }),
              HasSubstr("InstanceNorm1d: expected eps of at least 0, got -1"));
  InstanceNorm2d instance({.features = 3});
  EXPECT_THAT(error_of([&] {
                instance(Tensor::zeros({2, 3}));
              }),
              HasSubstr("InstanceNorm2d: expected an input of rank 3 or 4, got shape [2, 3]"));
  EXPECT_THAT(error_of([&] {
                instance(Tensor::zeros({2, 4, 2, 2}));
              }),
              HasSubstr("InstanceNorm2d: expected 3 channels, got an input of shape [2, 4, 2, 2]"));
  EXPECT_THAT(error_of([] { LocalResponseNorm({}); }),
              HasSubstr("LocalResponseNorm: expected a size of at least 1, got 0"));
  BatchNorm3d batch({.features = 3});
  EXPECT_THAT(error_of([&] {
                batch(Tensor::zeros({2, 3, 4, 4}));
              }),
              HasSubstr("BatchNorm3d: expected an input of rank 5, got shape [2, 3, 4, 4]"));
}

}  // namespace
}  // namespace pare::nn
