// Samples of the ops that read or write where indices say.
#include "core/samples.h"
#include "pare/core/ops/indexing.h"

namespace pare::test {
namespace {

using Numbers = std::vector<std::int64_t>;

Tensor last(const Tensor& x) { return x.to(MemoryFormat::channels_last); }
Tensor indices(const Numbers& values, const Shape& shape) { return Tensor::from(values, shape); }

/// Numbers no two of which are nearer than 0.1, so that none becomes another's equal.
Tensor apart(const Shape& shape, double shift) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    values.push_back(static_cast<float>(static_cast<double>(i * 37 % 101) * 0.2 - 9.03 + shift));
  return Tensor::from(values, shape);
}

void add_gather(Samples& samples, Generator& generator) {
  const auto elements = [&](const char* name, std::int64_t axis, Tensor x, Tensor places) {
    samples.push_back({.name = name,
                       .call = {&kGatherElements, Attributes::of(GatherElementsAttributes{axis})},
                       .inputs = {std::move(x), std::move(places)}});
  };
  const Tensor matrix = generator.normal({3, 5});
  const Tensor block = generator.normal({2, 3, 4});
  elements("rows", 0, matrix, indices({2, 0, 1, 1, -1, 0, 0, 2, -3, 1}, {2, 5}));
  elements("columns", 1, matrix, indices({4, 4, 0, -1, -5, 2}, {3, 2}));
  elements("fewer rows", -1, matrix, indices({4, 0, 3, 1}, {2, 2}));
  elements("i32", 1, matrix, indices({1, 2, 3}, {3, 1}).to(DType::i32));
  elements("middle axis", 1, block, indices({2, 1, 0, 0, 1, 1, 2, 2}, {2, 1, 4}));
  elements("middle axis, channels-last", 1, last(block),
           indices({2, 1, 0, 0, 1, 1, 2, 2}, {2, 1, 4}));
  elements("no indices", 0, matrix, indices({}, {0, 5}));
  elements("of nothing", 1, generator.normal({2, 0}), indices({}, {2, 0}));
  elements("f64", 0, matrix.to(DType::f64), indices({1, 2, 0, 1, 2}, {1, 5}));
  elements("f16", 0, matrix.to(DType::f16), indices({1, 2, 0, 1, 2}, {1, 5}));

  const auto nd = [&](const char* name, std::int64_t batch, Tensor x, Tensor places) {
    samples.push_back({.name = name,
                       .call = {&kGatherNd, Attributes::of(GatherNdAttributes{batch})},
                       .inputs = {std::move(x), std::move(places)}});
  };
  nd("elements", 0, matrix, indices({0, 4, 2, -1, 0, 4}, {3, 2}));
  nd("rows", 0, matrix, indices({2, 0, 2, -3}, {2, 2, 1}));
  nd("rows of blocks", 0, block, indices({1, 2, 0, 1}, {2, 2}));
  nd("batch", 1, block, indices({2, 0, 1, 1}, {2, 2, 1}));
  nd("batch, channels-last", 1, last(block), indices({2, 0, 1, 1}, {2, 2, 1}));
  nd("two batch axes, i32", 2, block, indices({3, 0, 1, 2, 3, 0}, {2, 3, 1}).to(DType::i32));
  nd("all of it", 0, matrix, indices({}, {2, 0}));
  nd("no indices", 0, matrix, indices({}, {0, 1}));
  nd("f64", 0, matrix.to(DType::f64), indices({1, 1}, {2, 1}));
}

void add_scatter(Samples& samples, Generator& generator) {
  for (const char* reduction : {"none", "add", "mul", "max", "min"}) {
    const auto elements = [&](const char* name, std::int64_t axis, Tensor x, const Tensor& places) {
      samples.push_back(
          {.name = std::string(name) + ", " + reduction,
           .call = {&kScatterElements, Attributes::of(ScatterElementsAttributes{axis, reduction})},
           .inputs = {std::move(x), places, apart(places.shape(), 0.1)},
           .differentiate = {0, 2}});
    };
    const Tensor matrix = apart({3, 5}, 0);
    const Tensor block = apart({2, 3, 4}, 0);
    elements("rows", 0, matrix, indices({2, 0, 1, 1, -1, 0, 0, 1, -3, 1}, {2, 5}));
    elements("columns, twice the same", 1, matrix, indices({4, 4, 0, -1, -5, 2}, {3, 2}));
    elements("middle axis", 1, block, indices({2, 1, 0, 0, 1, 1, 2, 2}, {2, 1, 4}));
    elements("middle axis, channels-last", 1, last(block),
             indices({2, 1, 0, 0, 1, 1, 2, 2}, {2, 1, 4}).to(DType::i32));
    elements("no indices", 0, matrix, indices({}, {0, 5}));

    const auto nd = [&](const char* name, Tensor x, Tensor places, const Shape& updates) {
      samples.push_back({.name = std::string(name) + ", " + reduction,
                         .call = {&kScatterNd, Attributes::of(ScatterNdAttributes{reduction})},
                         .inputs = {std::move(x), std::move(places), apart(updates, 0.1)},
                         .differentiate = {0, 2}});
    };
    nd("elements", matrix, indices({0, 4, 2, -1, 0, 4}, {3, 2}), {3});
    nd("rows", matrix, indices({2, 0, -1}, {3, 1}), {3, 5});
    nd("long rows", apart({3, 11}, 0), indices({2, 0}, {2, 1}), {2, 11});
    nd("rows of blocks, channels-last", last(block), indices({1, 2, 0, 1}, {2, 2}), {2, 4});
    nd("no indices", matrix, indices({}, {0, 1}), {0, 5});
  }
  samples.push_back(
      {.name = "bf16, add",
       .call = {&kScatterElements, Attributes::of(ScatterElementsAttributes{0, "add"})},
       .inputs = {generator.normal({3, 2}).to(DType::bf16), indices({1, 1, 0, 1}, {2, 2}),
                  generator.normal({2, 2}).to(DType::bf16)}});
  samples.push_back(
      {.name = "f64, mul",
       .call = {&kScatterElements, Attributes::of(ScatterElementsAttributes{0, "mul"})},
       .inputs = {generator.normal({3, 2}).to(DType::f64), indices({1, 1, 0, 1}, {2, 2}),
                  generator.normal({2, 2}).to(DType::f64)}});
}

void add_one_hot(Samples& samples) {
  const auto add = [&](const char* name, OneHotAttributes attributes, const Tensor& places) {
    samples.push_back({name, {&kOneHot, Attributes::of(attributes)}, {places}});
  };
  add("labels", {.depth = 4}, indices({3, 0, 1}, {3}));
  add("first axis, values", {3, 0, -1.5, 2, DType::f32}, indices({2, -1, 0, -3}, {2, 2}));
  add("middle axis, i32", {3, 1, 0, 1, DType::u8}, indices({2, 1, 0, 0}, {2, 2}).to(DType::i32));
  add("truth values", {2, -1, 0, 1, DType::boolean}, indices({1, 0}, {2}));
  add("scalar", {.depth = 2}, indices({1}, {}));
  add("none", {.depth = 2}, indices({}, {0}));
}

}  // namespace

void add_indexing_samples(Samples& samples, Generator& generator) {
  add_gather(samples, generator);
  add_scatter(samples, generator);
  add_one_hot(samples);
}

}  // namespace pare::test
