// Samples of recurrent layers, embeddings and ctc_loss.
#include "core/samples.h"
#include "pare/core/ops/ctc.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/embedding.h"
#include "pare/core/ops/recurrent.h"
#include "pare/core/ops/reduction.h"

namespace pare::test {
namespace {

Tensor integers(const std::vector<std::int64_t>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}

/// Values a tenth from one another in each column, so that differences do not change the largest.
Tensor apart(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  for (std::int64_t i = 0; i < t.elements(); ++i)
    t.mutable_data<float>()[i] = static_cast<float>(i * 7 % 20) * 0.1F - 1;
  return t;
}

struct Layer {
  const char* name;
  std::string direction = "forward";
  bool batch_first = false, bias = true, h0 = false, c0 = false;
  std::vector<std::int64_t> lengths = {};
  std::int64_t steps = 3, batch = 2, in = 3, hidden = 2;
  bool odd = false;  // relu, reset before the product
};

void add_layer(Samples& samples, Generator& g, const OpDef& op, std::int64_t gates,
               const Layer& l) {
  const std::int64_t directions = l.direction == "bidirectional" ? 2 : 1;
  const Shape x = l.batch_first ? Shape{l.batch, l.steps, l.in} : Shape{l.steps, l.batch, l.in};
  const Shape state{directions, l.batch, l.hidden};
  const bool cell = &op == &kLstm;
  Tensors inputs(cell ? 12 : 11);
  inputs[0] = g.normal(x);
  for (std::int64_t d = 0; d < directions; ++d) {
    Tensor* to = &inputs[static_cast<std::size_t>(1 + 4 * d)];
    to[0] = g.normal({gates * l.hidden, l.in});
    to[1] = g.normal({gates * l.hidden, l.hidden});
    for (int b = 2; l.bias && b < 4; ++b) to[b] = g.normal({gates * l.hidden});
  }
  if (l.h0) inputs[9] = g.normal(state);
  if (!l.lengths.empty()) inputs[10] = integers(l.lengths, {l.batch});
  if (cell && l.c0) inputs[11] = g.normal(state);
  Attributes attributes;
  if (&op == &kRnn)
    attributes = Attributes::of(RnnAttributes{l.direction, l.batch_first, l.odd ? "relu" : "tanh"});
  else if (cell)
    attributes = Attributes::of(LstmAttributes{l.direction, l.batch_first});
  else
    attributes = Attributes::of(GruAttributes{l.direction, l.batch_first, !l.odd});
  samples.push_back({l.name, {&op, attributes}, std::move(inputs)});
}

void add_layers(Samples& samples, Generator& g) {
  const std::vector<Layer> layers{
      {.name = "plain"},
      {.name = "no bias, batch first", .batch_first = true, .bias = false},
      {.name = "reverse, first states", .direction = "reverse", .h0 = true, .c0 = true},
      {.name = "both directions", .direction = "bidirectional", .h0 = true, .c0 = true},
      {.name = "lengths", .h0 = true, .lengths = {1, 3}},
      {.name = "lengths and both directions, batch first",
       .direction = "bidirectional",
       .batch_first = true,
       .c0 = true,
       .lengths = {2, 0}},
      {.name = "many samples", .steps = 2, .batch = 9, .in = 2, .hidden = 3},
      {.name = "another form", .h0 = true, .odd = true},
      {.name = "another form, both directions and lengths",
       .direction = "bidirectional",
       .lengths = {3, 1},
       .odd = true},
      {.name = "no samples", .batch = 0},
      {.name = "no steps", .h0 = true, .steps = 0},
  };
  for (const Layer& l : layers) {
    add_layer(samples, g, kRnn, 1, l);
    if (!l.odd) add_layer(samples, g, kLstm, 4, l);
    add_layer(samples, g, kGru, 3, l);
  }
  // Wide enough for tiles of every height and a last panel that is not full.
  for (const std::int64_t batch : {7, 13}) {
    const Layer wide{.name = "wide", .steps = 2, .batch = batch, .in = 5, .hidden = 21};
    add_layer(samples, g, kRnn, 1, wide);
    add_layer(samples, g, kLstm, 4, wide);
    add_layer(samples, g, kGru, 3, wide);
  }
}

void add_embeddings(Samples& samples, Generator& g) {
  const auto add = [&](const char* name, const EmbeddingAttributes& a, const Tensor& indices,
                       const Tensor& weight) {
    samples.push_back({name, {&kEmbedding, Attributes::of(a)}, {indices, weight}});
  };
  const Tensor indices = integers({1, 3, 0, 3, 2, 3}, {2, 3});
  add("plain", {}, indices, g.normal({4, 5}));
  add("i32", {}, indices.to(DType::i32), g.normal({4, 5}));
  add("f64", {}, indices, g.normal({4, 5}).to(DType::f64));
  add("one index", {}, integers({2}, {}), g.normal({4, 3}));
  add("three axes", {}, integers({2, 1, 0, 1}, {2, 1, 2}), g.normal({4, 3}));
  add("no indices", {}, Tensor::empty({0, 3}, DType::i64), g.normal({4, 3}));
  add("no columns", {}, indices, g.normal({4, 0}));
  samples.push_back({"f16",
                     {&kEmbedding, Attributes::of(EmbeddingAttributes{})},
                     {indices, g.normal({4, 3}).to(DType::f16)}});

  const auto bag = [&](const char* name, const EmbeddingBagAttributes& a, Tensors inputs,
                       std::vector<int> which) {
    samples.push_back(
        {name, {&kEmbeddingBag, Attributes::of(a)}, std::move(inputs), false, std::move(which)});
  };
  const Tensor flat = integers({1, 3, 0, 3, 2}, {5});
  const Tensor offsets = integers({0, 2, 2}, {3});
  for (const char* mode : {"sum", "mean", "max"}) {
    bag("rows", {.mode = mode}, {indices, apart({4, 5})}, {1});
    bag("padding", {.mode = mode, .padding_idx = 3}, {indices, apart({4, 5})}, {1});
    bag("offsets", {.mode = mode}, {flat, apart({4, 3}), offsets}, {1});
    bag("the last offset", {.mode = mode, .include_last_offset = true},
        {flat.to(DType::i32), apart({4, 3}), integers({0, 2, 4}, {3}).to(DType::i32)}, {1});
    bag("f64", {.mode = mode}, {indices, apart({4, 5}).to(DType::f64)}, {});
    bag("no bags", {.mode = mode}, {Tensor::empty({0, 3}, DType::i64), apart({4, 5})}, {1});
    bag("empty bags", {.mode = mode}, {Tensor::empty({2, 0}, DType::i64), apart({4, 5})}, {1});
  }
  bag("weights", {.mode = "sum"}, {indices, g.normal({4, 5}), {}, g.normal({2, 3})}, {1, 3});
  bag("weights, offsets, padding", {.mode = "sum", .padding_idx = 0},
      {flat, g.normal({4, 5}), offsets, g.normal({5})}, {1, 3});
}

void add_ctc(Samples& samples, Generator& g) {
  const Tensor log_probs = log_softmax(g.normal({5, 3, 4}), 2);
  const Tensor inputs = integers({5, 4, 5}, {3});
  const Tensor lengths = integers({2, 0, 3}, {3});
  const Tensor rows = integers({1, 2, 0, 0, 0, 0, 3, 3, 1}, {3, 3});
  for (const char* reduction : {"none", "mean", "sum"}) {
    const Call call{&kCtcLoss, Attributes::of(CtcLossAttributes{.reduction = reduction})};
    samples.push_back({"rows", call, {log_probs, rows, inputs, lengths}});
    samples.push_back({"in a row, i32",
                       call,
                       {log_probs, integers({1, 2, 3, 3, 1}, {5}).to(DType::i32),
                        inputs.to(DType::i32), lengths}});
  }
  const Call other{&kCtcLoss, Attributes::of(CtcLossAttributes{
                                  .blank = 3, .zero_infinity = true, .reduction = "sum"})};
  samples.push_back({"blank 3, one that does not fit",
                     other,
                     {log_probs, integers({1, 1, 1, 1, 2, 2}, {3, 2}), integers({2, 4, 5}, {3}),
                      integers({2, 2, 2}, {3})}});
  samples.push_back(
      {"f64",
       other,
       {log_probs.to(DType::f64), integers({1, 2, 0}, {3, 1}), inputs, integers({1, 1, 1}, {3})}});
  samples.push_back(
      {"f16",
       other,
       {log_probs.to(DType::f16), integers({1, 2, 0}, {3, 1}), inputs, integers({1, 1, 1}, {3})}});
  samples.push_back({"no samples",
                     other,
                     {Tensor::empty({4, 0, 4}), Tensor::empty({0, 2}, DType::i64),
                      Tensor::empty({0}, DType::i64), Tensor::empty({0}, DType::i64)}});
}

}  // namespace

void add_sequence_samples(Samples& samples, Generator& generator) {
  add_layers(samples, generator);
  add_embeddings(samples, generator);
  add_ctc(samples, generator);
}

}  // namespace pare::test
