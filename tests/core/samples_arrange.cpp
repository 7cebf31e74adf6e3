// Samples of the ops that arrange elements: tile, roll, tril, borders, range.
#include "core/samples.h"
#include "pare/core/ops/arrange.h"

namespace pare::test {
namespace {

Tensor last(const Tensor& x) { return x.to(MemoryFormat::channels_last); }

void add_tile_and_roll(Samples& samples, Generator& generator) {
  const auto tile = [&](const char* name, std::vector<std::int64_t> repeats, const Tensor& x) {
    samples.push_back({name, {&kTile, Attributes::of(TileAttributes{std::move(repeats)})}, {x}});
  };
  const Tensor picture = generator.normal({2, 3, 4, 5});
  const Tensor matrix = generator.normal({3, 5});
  tile("both axes", {2, 3}, matrix);
  tile("channels", {1, 2, 1, 1}, picture);
  tile("channels, channels-last", {1, 2, 1, 1}, last(picture));
  tile("all axes, channels-last", {2, 2, 3, 2}, last(generator.normal({1, 3, 2, 2})));
  tile("once", {1, 1}, matrix);
  tile("never", {0, 2}, matrix);
  tile("scalar", {}, Tensor::scalar(2));
  tile("empty", {2, 2}, generator.normal({0, 3}));
  tile("empty", {2, 2}, generator.normal({3, 0}));
  tile("f64", {2, 1}, matrix.to(DType::f64));
  tile("bf16", {1, 2}, matrix.to(DType::bf16));
  tile("i64", {3}, Tensor::from(std::vector<std::int64_t>{1, 2}, {2}));

  const auto roll = [&](const char* name, RollAttributes attributes, const Tensor& x) {
    samples.push_back({name, {&kRoll, Attributes::of(std::move(attributes))}, {x}});
  };
  roll("windows", {{-2, -1}, {2, 3}}, picture);
  roll("windows, channels-last", {{-2, -1}, {2, 3}}, last(picture));
  roll("channels", {{1}, {1}}, picture);
  roll("channels twice, channels-last", {{2, 2}, {1, -3}}, last(picture));
  roll("around more than once", {{12, -11}, {0, 1}}, matrix);
  roll("not at all", {{}, {}}, matrix);
  roll("empty", {{1, 1}, {0, 1}}, generator.normal({0, 3}));
  roll("i8", {{1}, {0}}, Tensor::from(std::vector<std::int8_t>{1, 2, 3}, {3}));
}

void add_trilu(Samples& samples, Generator& generator) {
  const auto add = [&](const char* name, bool upper, std::int64_t diagonal, const Tensor& x) {
    samples.push_back({name, {&kTrilu, Attributes::of(TriluAttributes{upper, diagonal})}, {x}});
  };
  const Tensor matrix = generator.normal({4, 6});
  const Tensor heads = generator.normal({2, 3, 4, 4});
  add("lower", false, 0, matrix);
  add("upper, above", true, 2, matrix);
  add("causal mask", false, 0, heads);
  add("channels-last", true, -1, last(heads));
  add("whole", false, 100, matrix);
  add("nothing", true, INT64_MAX, matrix);
  add("empty", false, 0, generator.normal({2, 0, 3}));
  add("empty", true, 0, generator.normal({2, 3, 0}));
  add("f64", false, 1, matrix.to(DType::f64));
  add("f16", true, 0, matrix.to(DType::f16));
}

void add_pad_border(Samples& samples, Generator& generator) {
  const auto add = [&](const char* name, PadBorderAttributes attributes, const Tensor& x) {
    samples.push_back({name, {&kPadBorder, Attributes::of(std::move(attributes))}, {x}});
  };
  const Tensor picture = generator.normal({2, 3, 4, 5});
  const Tensor signal = generator.normal({2, 3, 6});
  for (const char* mode : {"reflect", "replicate", "circular"}) {
    add(mode, {{0, 0, 2, 1}, {0, 0, 3, 4}, mode}, picture);
    add(mode, {{0, 0, 2, 1}, {0, 0, 3, 4}, mode}, last(picture));
    add(mode, {{0, 0, 5}, {0, 0, 0}, mode}, signal);
    add(mode, {{0, 2, 0}, {0, 1, 0}, mode}, last(signal));
    add(mode, {{0, 0, 1, 1, 1}, {0, 0, 0, 1, 0}, mode}, last(generator.normal({1, 2, 2, 3, 2})));
    add("no border", {{0, 0}, {0, 0}, mode}, generator.normal({3, 5}));
    add("no pictures", {{0, 0, 1, 1}, {0, 0, 1, 1}, mode}, generator.normal({0, 3, 4, 5}));
    add("f64", {{0, 1}, {0, 2}, mode}, generator.normal({3, 5}).to(DType::f64));
    add("bf16", {{0, 1}, {0, 2}, mode}, generator.normal({3, 5}).to(DType::bf16));
  }
  add("u8", {{2}, {1}, "reflect"}, Tensor::from(std::vector<std::uint8_t>{1, 2, 3}, {3}));
}

void add_range(Samples& samples) {
  const auto add = [&](const char* name, double start, double limit, double delta, DType dtype) {
    const auto number = [&](double value) { return Tensor::scalar(value, dtype); };
    samples.push_back({name, {&kRange, {}}, {number(start), number(limit), number(delta)}});
  };
  add("whole numbers", 2, 11, 3, DType::i64);
  add("backwards", 5, -5, -2, DType::i32);
  add("nothing", 5, 2, 1, DType::i16);
  add("fractions", 0, 1, 0.1, DType::f32);
  add("f64", -1, 2, 0.25, DType::f64);
}

}  // namespace

void add_arrange_samples(Samples& samples, Generator& generator) {
  add_tile_and_roll(samples, generator);
  add_trilu(samples, generator);
  add_pad_border(samples, generator);
  add_range(samples);
}

}  // namespace pare::test
