// Samples of attention and of layer, rms, group, instance and local response normalization.
#include "core/samples.h"
#include "pare/core/ops/attention.h"
#include "pare/core/ops/feature_norm.h"

namespace pare::test {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::channels_last;

void add_row_norms(Samples& samples, Generator& g) {
  const auto add = [&](const char* name, const Shape& shape, std::int64_t axis) {
    Shape rows;
    for (int a = shape.rank() + static_cast<int>(axis); a < shape.rank(); ++a)
      rows.append(shape, a);
    const Tensor x = g.normal(shape, 0.5F, 2);
    const Tensor weight = g.uniform(rows, 0.5F, 2);
    const Call layer{&kLayerNorm, Attributes::of(LayerNormAttributes{.axis = axis})};
    samples.push_back({name, layer, {x, weight, g.normal(rows)}});
    samples.push_back({name, layer, {x, weight}});
    samples.push_back({name, layer, {x, Tensor(), g.normal(rows)}});
    samples.push_back({name, layer, {x}});
    const Call rms{&kRmsNorm, Attributes::of(RmsNormAttributes{.axis = axis, .epsilon = 0.01})};
    samples.push_back({name, rms, {x, weight}});
    samples.push_back({name, rms, {x}});
  };
  add("rows", {4, 6}, -1);
  add("one row", {9}, -1);
  add("long rows", {2, 3, 41}, -1);
  add("two axes", {2, 3, 4, 5}, -2);
  add("all axes", {3, 5}, -2);
  add("no rows", {0, 3, 5}, -1);
  add("empty rows", {2, 3, 0}, -1);
  const Tensor x = g.normal({3, 8});
  const Tensor weight = g.uniform({8}, 0.5F, 2);
  for (const DType dtype : {DType::f64, DType::f16, DType::bf16}) {
    samples.push_back({"type",
                       {&kLayerNorm, Attributes::of(LayerNormAttributes{})},
                       {x.to(dtype), weight.to(dtype), weight.to(dtype)}});
    samples.push_back({"type",
                       {&kRmsNorm, Attributes::of(RmsNormAttributes{})},
                       {x.to(dtype), weight.to(dtype)}});
  }
  samples.push_back({"weights of f32",
                     {&kLayerNorm, Attributes::of(LayerNormAttributes{})},
                     {x.to(DType::bf16), weight, weight}});
}

void add_sample_norms(Samples& samples, Generator& g) {
  const auto groups = [&](const char* name, const Shape& shape, std::int64_t count, bool last) {
    Tensor x = g.normal(shape, 1, 2);
    if (last) x = x.to(kLast);
    const Shape channels{shape[1]};
    const Call call{&kGroupNorm,
                    Attributes::of(GroupNormAttributes{.groups = count, .epsilon = 1e-3})};
    const Tensor weight = g.uniform(channels, 0.5F, 2);
    for (const Tensors& inputs :
         {Tensors{x, weight, g.normal(channels)}, Tensors{x, weight}, Tensors{x}})
      samples.push_back({.name = name,
                         .call = call,
                         .inputs = inputs,
                         .gradient_tolerance = shape[1] > 64 ? 8e-3 : 2e-3});
  };
  for (const bool last : {false, true}) {
    groups("three groups", {2, 6, 3, 2}, 3, last);
    groups("one group", {2, 4, 5}, 1, last);
    groups("a group each", {2, 3, 2, 2, 3}, 3, last);
    groups("many channels", {1, 72, 2, 3}, 4, last);
    groups("no samples", {0, 4, 2, 2}, 2, last);
    groups("no pixels", {2, 4, 0, 2}, 2, last);
  }
  groups("no axes of pixels", {3, 8}, 2, false);

  const auto instances = [&](const char* name, const Shape& shape, bool last,
                             const InstanceNormAttributes& attributes, bool running,
                             bool training) {
    Tensor x = g.normal(shape, 1, 2);
    if (last) x = x.to(kLast);
    const Shape channels{shape[1]};
    Sample s{.name = name,
             .call = {&kInstanceNorm, Attributes::of(attributes)},
             .inputs = {x, g.uniform(channels, 0.5F, 2), g.normal(channels)},
             .training = training,
             .differentiate = {0, 1, 2}};
    if (running) {
      s.inputs.push_back(g.normal(channels));
      s.inputs.push_back(g.uniform(channels, 0.5F, 3));
    }
    samples.push_back(s);
    s.inputs[1] = s.inputs[2] = Tensor();
    s.differentiate = {0};
    samples.push_back(s);
  };
  for (const bool last : {false, true})
    for (const bool training : {false, true}) {
      instances("own statistics", {2, 3, 2, 4}, last, {.epsilon = 1e-3}, false, training);
      instances("running statistics", {2, 3, 2, 4}, last, {.epsilon = 1e-3}, true, training);
      instances("frozen", {2, 3, 5}, last, {.frozen = true}, true, training);
      instances("many channels", {1, 70, 2, 3}, last, {.epsilon = 1e-2}, false, training);
    }
  instances("five axes", {2, 2, 2, 2, 2}, true, {}, false, false);
  instances("no samples", {0, 3, 2, 2}, false, {}, false, false);
  instances("no pixels", {2, 3, 0, 2}, true, {}, true, false);
}

void add_local_response_norm(Samples& samples, Generator& g) {
  const auto add = [&](const char* name, const Tensor& x,
                       const LocalResponseNormAttributes& attributes) {
    samples.push_back({name, {&kLocalResponseNorm, Attributes::of(attributes)}, {x}});
  };
  for (const Shape& shape : {Shape{2, 7, 3}, Shape{1, 5, 3, 4}, Shape{1, 3, 2, 2, 2}}) {
    const Tensor x = g.normal(shape, 0, 2);
    add("odd", x, {.size = 5, .alpha = 1, .k = 2});
    add("even, channels last", x.to(kLast), {.size = 4, .alpha = 1, .beta = 0.5});
    add("more than there are", x, {.size = 11, .alpha = 2});
  }
  add("many pixels", g.normal({1, 3, 10, 13}), {.size = 3, .alpha = 1});
  add("one", g.normal({2, 3, 4}), {.size = 1, .alpha = 1});
  add("no samples", g.normal({0, 3, 4}), {});
  add("no pixels", g.normal({2, 3, 0}), {});
  add("no channels", g.normal({2, 0, 3}), {});
  add("f64", g.normal({1, 4, 3}).to(DType::f64), {.size = 3, .alpha = 1});
  add("bf16", g.normal({1, 4, 3}).to(DType::bf16), {.size = 3, .alpha = 1});
}

Tensor seen(Generator& g, const Shape& shape) {
  Tensor mask = Tensor::empty(shape, DType::boolean);
  for (std::int64_t i = 0; i < mask.elements(); ++i)
    mask.mutable_data<bool>()[i] = g.uniform() > 0.3F;
  return mask;
}

}  // namespace

void add_feature_norm_samples(Samples& samples, Generator& generator) {
  add_row_norms(samples, generator);
  add_sample_norms(samples, generator);
  add_local_response_norm(samples, generator);
}

void add_attention_samples(Samples& samples, Generator& g) {
  struct Sizes {
    Shape query, key;
    std::int64_t width;  // of the values
  };
  const auto add = [&](const char* name, const Sizes& sizes, const AttentionAttributes& attributes,
                       const Tensor& mask = {}, bool training = false) {
    Shape value = sizes.key;
    value.set(value.rank() - 1, sizes.width);
    Sample s{.name = name,
             .call = {&kScaledDotProductAttention, Attributes::of(attributes)},
             .inputs = {g.normal(sizes.query), g.normal(sizes.key), g.normal(value)},
             .training = training};
    if (mask.defined()) s.inputs.push_back(mask);
    samples.push_back(s);
  };
  const Sizes square{{2, 2, 5, 4}, {2, 2, 5, 4}, 4};
  add("all seen", square, {});
  add("causal", square, {.causal = true});
  add("values of another width", {{1, 2, 3, 4}, {1, 2, 7, 4}, 3}, {.scale = 0.3});
  add("causal, fewer keys", {{1, 1, 6, 3}, {1, 1, 4, 3}, 3}, {.causal = true});
  add("no heads", {{4, 3}, {5, 3}, 2}, {});
  add("one axis before", {{3, 4, 3}, {3, 5, 3}, 2}, {});
  add("many axes before", {{2, 1, 2, 3, 2}, {2, 1, 2, 4, 2}, 2}, {});
  add("mask of floats", square, {}, g.normal({5, 5}));
  add("mask of each head", square, {.causal = true}, g.normal({1, 2, 5, 1}));
  add("mask of bool", square, {}, seen(g, {2, 1, 5, 5}));
  add("nothing seen", square, {}, Tensor::zeros({5, 5}, DType::boolean));
  add("grouped", {{1, 4, 3, 4}, {1, 2, 5, 4}, 3}, {.grouped = true});
  add("grouped, causal", {{2, 6, 3, 2}, {2, 1, 3, 2}, 2}, {.causal = true, .grouped = true});
  add("length first", {{2, 3, 4, 2}, {2, 5, 4, 2}, 3}, {.length_first = true});
  add("length first, grouped", {{2, 3, 4, 2}, {2, 5, 2, 2}, 2},
      {.causal = true, .grouped = true, .length_first = true}, g.normal({2, 4, 3, 5}));
  add("length first, rank 3", {{4, 2, 3}, {5, 2, 3}, 2}, {.length_first = true});
  add("several blocks", {{1, 1, 70, 3}, {1, 1, 66, 3}, 2}, {.causal = true});
  add("dropout", square, {.dropout = 0.3}, {}, true);
  add("dropout, grouped, causal", {{1, 4, 3, 4}, {1, 2, 5, 4}, 3},
      {.causal = true, .dropout = 0.3, .grouped = true}, g.normal({3, 5}), true);
  add("all dropped", square, {.dropout = 1}, {}, true);
  add("dropout, frozen", square, {.dropout = 0.3, .frozen = true}, {}, true);
  const auto packed = [&](const char* name, const Shape& shape,
                          const AttentionAttributes& attributes, const Tensor& mask = {},
                          bool training = false) {
    Sample s{.name = name,
             .call = {&kScaledDotProductAttention, Attributes::of(attributes)},
             .inputs = {g.normal(shape)},
             .training = training};
    if (mask.defined()) s.inputs = {s.inputs[0], Tensor(), Tensor(), mask};
    samples.push_back(s);
  };
  packed("packed", {2, 5, 3, 2, 4}, {});
  packed("packed, causal", {2, 5, 3, 2, 4}, {.causal = true, .scale = 0.4});
  packed("packed, rank 4", {5, 3, 2, 4}, {.causal = true});
  packed("packed, a mask", {2, 5, 3, 2, 4}, {}, g.normal({2, 5, 5}));
  packed("packed, several blocks", {1, 70, 3, 1, 2}, {.causal = true}, g.normal({70, 70}));
  packed("packed, dropout", {2, 5, 3, 2, 4}, {.dropout = 0.3}, {}, true);
  packed("packed, no samples", {0, 5, 3, 2, 4}, {});
  packed("packed, no length", {2, 0, 3, 2, 4}, {});
  add("no samples", {{0, 2, 3, 4}, {0, 2, 3, 4}, 4}, {});
  add("no queries", {{1, 2, 0, 4}, {1, 2, 3, 4}, 4}, {});
  add("no keys", {{1, 2, 3, 4}, {1, 2, 0, 4}, 4}, {});
  add("no width", {{1, 2, 3, 0}, {1, 2, 3, 0}, 2}, {});
  add("no heads at all", {{1, 0, 3, 4}, {1, 0, 3, 4}, 4}, {});
  for (const DType dtype : {DType::f16, DType::bf16}) {
    add("type", square, {.causal = true}, g.normal({5, 5}));
    for (Tensor& t : samples.back().inputs) t = t.to(dtype);
  }
  add("channels last", square, {});
  for (Tensor& t : samples.back().inputs) t = t.to(kLast);
}

}  // namespace pare::test
