// Samples of the elementwise ops: broadcast forms, ranks 0 to 5, both formats, odd sizes.
#include <cmath>

#include "core/samples.h"
#include "pare/core/ops/elementwise.h"

namespace pare::test {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::channels_last;

/// Normal values whose distance from every multiple of `grid` is at least `gap`, so that central
/// differences meet no kink.
Tensor smooth(Generator& generator, const Shape& shape, float grid = 1.0F, float gap = 0.05F) {
  std::vector<float> v = generator.normal(shape, 0.0F, 2.0F).to_vector<float>();
  for (float& x : v) {
    const float nearest = std::nearbyint(x / grid) * grid;
    if (std::abs(x - nearest) < gap) x = nearest + (x < nearest ? -gap : gap);
  }
  return Tensor::from(v, shape);
}

void add_binary(Samples& samples, Generator& g) {
  const std::vector<const OpDef*> ops = {&kAdd, &kSub, &kMul, &kDiv, &kMaximum};
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{}, {}},
      {{7}, {7}},
      {{33}, {}},
      {{}, {5}},
      {{4, 17}, {17}},
      {{9}, {3, 9}},
      {{4, 1}, {1, 5}},
      {{2, 3, 5}, {2, 1, 5}},
      {{2, 5, 3, 3}, {1, 5, 1, 1}},
      {{2, 5, 3, 3}, {5, 1, 1}},
      {{2, 8, 4, 3}, {2, 8, 4, 3}},
      {{1, 3, 2, 2}, {4, 1, 2, 2}},
      {{2, 3, 2, 3, 2}, {3, 1, 1, 2}},
      {{0, 4}, {4}},
      {{2, 0, 3, 2}, {2, 1, 3, 1}},
  };
  for (const OpDef* op : ops) {
    for (const auto& [a, b] : shapes) {
      // Away from each other (maximum) and from zero (the divisor).
      Tensor x = g.uniform(a, 0.5F, 1.4F);
      Tensor y = g.uniform(b, 1.5F, 2.5F);
      samples.push_back({a.to_string() + " and " + b.to_string(), {op, {}}, {x, y}});
    }
    const Tensor x = g.uniform({2, 9, 3, 5}, 0.5F, 1.4F);
    const Tensor y = g.uniform({2, 9, 3, 5}, -2.5F, -1.5F);
    const Tensor channel = g.uniform({1, 9, 1, 1}, 1.5F, 2.5F);
    const Tensor per_picture = g.uniform({2, 9, 1, 1}, 1.5F, 2.5F);
    samples.push_back({"channels last", {op, {}}, {x.to(kLast), y.to(kLast)}});
    samples.push_back({"channels last and row-major", {op, {}}, {x.to(kLast), y}});
    samples.push_back({"row-major and channels last", {op, {}}, {x, y.to(kLast)}});
    samples.push_back({"channels last, a number per channel", {op, {}}, {x.to(kLast), channel}});
    samples.push_back({"channels last, one per picture and channel",
                       {op, {}},
                       {x.to(kLast), per_picture.to(kLast)}});
    samples.push_back(
        {"channels last and a number", {op, {}}, {x.to(kLast), g.uniform({}, 2.0F, 3.0F)}});
    for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8}) {
      const Tensor i = g.uniform({3, 7}, 0.0F, 200.0F).to(dtype);
      const Tensor j = g.uniform({7}, 1.0F, 100.0F).to(dtype);
      samples.push_back({traits(dtype).name, {op, {}}, {i, j}});
    }
    samples.push_back({"f64", {op, {}}, {x.to(DType::f64), channel.to(DType::f64)}});
  }
}

void add_unary(Samples& samples, Generator& g) {
  const std::vector<const OpDef*> ops = {&kNeg,  &kExp,   &kLog,     &kSqrt,
                                         &kRelu, &kRelu6, &kSigmoid, &kTanh};
  const std::vector<Shape> shapes = {{},     {1},         {15},      {16},         {17},
                                     {33},   {2, 9},      {2, 3, 5}, {2, 5, 3, 3}, {1, 2, 3, 2, 3},
                                     {0, 4}, {2, 3, 0, 2}};
  for (const OpDef* op : ops) {
    const bool positive = op == &kLog || op == &kSqrt;
    for (const Shape& shape : shapes) {
      const Tensor x = positive ? g.uniform(shape, 0.3F, 3.0F) : smooth(g, shape, 6.0F);
      samples.push_back({shape.to_string(), {op, {}}, {x}});
    }
    const Tensor x = positive ? g.uniform({2, 9, 3, 5}, 0.3F, 3.0F) : smooth(g, {2, 9, 3, 5}, 6.0F);
    samples.push_back({"channels last", {op, {}}, {x.to(kLast)}});
    samples.push_back({"f64", {op, {}}, {x.to(DType::f64)}});
  }
  for (const auto& [min, max] :
       {std::pair{-1.0, 2.0}, std::pair{-1.0, 1e300}, std::pair{0.0, 0.0}}) {
    const Call call{&kClamp, Attributes::of(ClampAttributes{min, max})};
    samples.push_back({"clamp of 40", call, {smooth(g, {40})}});
    samples.push_back({"clamp, channels last", call, {smooth(g, {2, 3, 4, 3}).to(kLast)}});
    samples.push_back({"clamp, i32", call, {g.uniform({9}, -4.0F, 4.0F).to(DType::i32)}});
  }
}

void add_copies(Samples& samples, Generator& g) {
  const Tensor x = g.normal({2, 9, 3, 5}, 0.0F, 50.0F);
  for (const DType to : {DType::f64, DType::i64, DType::i32, DType::i16, DType::i8, DType::u8,
                         DType::boolean, DType::f16, DType::bf16}) {
    const Call call{&kCast, Attributes::of(CastAttributes{to})};
    Sample row{std::string("to ") + traits(to).name, call, {x}};
    Sample last{row.name + ", channels last", call, {x.to(kLast)}};
    // f16 and bf16 keep fewer digits than a central difference needs.
    if (to == DType::f16 || to == DType::bf16)
      row.gradient_tolerance = last.gradient_tolerance = 0.5;
    samples.push_back(row);
    samples.push_back(last);
    samples.push_back({row.name + ", empty", call, {g.normal({0, 3})}});
  }
  samples.push_back({"of 5", {&kDetach, {}}, {g.normal({5})}});
  samples.push_back({"of none", {&kDetach, {}}, {g.normal({0, 5})}});
  samples.push_back({"channels last", {&kDetach, {}}, {x.to(kLast)}});
  for (const bool last : {false, true}) {
    const Call call{&kToFormat, Attributes::of(ToFormatAttributes{last})};
    samples.push_back({last ? "to channels last" : "to row-major", call, {x}});
    samples.push_back(
        {last ? "channels last to itself" : "channels last to row-major", call, {x.to(kLast)}});
    samples.push_back({"rank 3", call, {g.normal({2, 17, 9})}});
    samples.push_back({"rank 5", call, {g.normal({2, 3, 2, 5, 3})}});
    samples.push_back({"no pictures", call, {g.normal({0, 3, 2, 5})}});
    samples.push_back({"no columns", call, {g.normal({2, 3, 2, 0})}});
  }
}

}  // namespace

void add_elementwise_samples(Samples& samples, Generator& generator) {
  add_binary(samples, generator);
  add_unary(samples, generator);
  add_copies(samples, generator);
}

}  // namespace pare::test
