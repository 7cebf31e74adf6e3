// Samples of the elementwise ops: broadcast forms, ranks 0 to 5, both formats, odd sizes.
#include <array>
#include <cmath>

#include "core/samples.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/trigonometry.h"

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

Call call_of(const OpDef* op) { return {op, op->defaults ? op->defaults() : Attributes()}; }

const std::vector<Shape>& unary_shapes() {
  static const std::vector<Shape> shapes = {
      {}, {1}, {17}, {33}, {2, 9}, {2, 3, 5}, {2, 5, 3, 3}, {1, 2, 3, 2, 3}, {0, 4}, {2, 3, 0, 2}};
  return shapes;
}

/// Values where the function is smooth enough for a central difference.
struct Domain {
  float low = 0, high = 0;  ///< uniform between them where they differ, else normal
  float grid = 6.0F;        ///< and off every multiple of it
  float moved = 0.0F;       ///< by so much
  Tensor draw(Generator& g, const Shape& shape) const {
    if (low < high) return g.uniform(shape, low, high);
    return smooth(g, shape, grid) + static_cast<double>(moved);
  }
};

void add_functions(Samples& samples, Generator& g) {
  const Domain smooth_domain;
  const Domain integers{.grid = 1.0F};
  const Domain threes{.grid = 3.0F};
  const std::vector<std::pair<Call, Domain>> calls = {
      {{&kAbs, {}}, integers},
      {{&kSign, {}}, integers},
      {{&kSquare, {}}, smooth_domain},
      {{&kReciprocal, {}}, {.low = 0.7F, .high = 3.0F}},
      {{&kRsqrt, {}}, {.low = 0.7F, .high = 3.0F}},
      {{&kSin, {}}, smooth_domain},
      {{&kCos, {}}, smooth_domain},
      {{&kTan, {}}, {.low = -1.0F, .high = 1.0F}},
      {{&kAsin, {}}, {.low = -0.9F, .high = 0.9F}},
      {{&kAcos, {}}, {.low = -0.9F, .high = 0.9F}},
      {{&kAtan, {}}, smooth_domain},
      {{&kSinh, {}}, {.low = -2.0F, .high = 2.0F}},
      {{&kCosh, {}}, {.low = -2.0F, .high = 2.0F}},
      {{&kAsinh, {}}, smooth_domain},
      {{&kAcosh, {}}, {.low = 1.2F, .high = 4.0F}},
      {{&kAtanh, {}}, {.low = -0.9F, .high = 0.9F}},
      {{&kErf, {}}, smooth_domain},
      {{&kFloor, {}}, integers},
      {{&kCeil, {}}, integers},
      {{&kRound, {}}, {.grid = 1.0F, .moved = 0.5F}},
      {{&kLogicalNot, {}}, integers},
      {{&kLeakyRelu, Attributes::of(LeakyReluAttributes{0.2})}, smooth_domain},
      {{&kElu, Attributes::of(EluAttributes{1.5})}, smooth_domain},
      {{&kSelu, {}}, smooth_domain},
      {{&kCelu, Attributes::of(EluAttributes{0.7})}, smooth_domain},
      {{&kHardsigmoid, {}}, threes},
      {{&kHardswish, {}}, threes},
      {call_of(&kHardtanh), integers},
      {call_of(&kSoftplus), smooth_domain},
      {{&kSoftplus, Attributes::of(SoftplusAttributes{2.0, 50.0})}, smooth_domain},
      {{&kSoftsign, {}}, smooth_domain},
      {call_of(&kGelu), smooth_domain},
      {{&kGelu, Attributes::of(GeluAttributes{"tanh"})}, smooth_domain},
      {{&kSilu, {}}, smooth_domain},
      {{&kMish, {}}, smooth_domain},
      {{&kLogSigmoid, {}}, smooth_domain},
  };
  for (const auto& [call, domain] : calls) {
    for (const Shape& shape : unary_shapes())
      samples.push_back({shape.to_string(), call, {domain.draw(g, shape)}});
    const Tensor x = domain.draw(g, {2, 9, 3, 5});
    samples.push_back({"channels last", call, {x.to(kLast)}});
    samples.push_back({"f64", call, {x.to(DType::f64)}});
    // Too few digits for central differences.
    samples.push_back({.name = "bf16", .call = call, .inputs = {x.to(DType::bf16)}});
  }
  for (const OpDef* op : {&kAbs, &kSign, &kSquare, &kBitwiseNot, &kLogicalNot})
    for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8})
      samples.push_back({traits(dtype).name, {op, {}}, {g.uniform({3, 7}, 0, 90).to(dtype)}});
  const Tensor truth = greater(smooth(g, {2, 4, 3}), 0.0);
  samples.push_back({"bool", {&kBitwiseNot, {}}, {truth}});
  samples.push_back({"bool", {&kLogicalNot, {}}, {truth.to(kLast)}});
  samples.push_back({"none", {&kBitwiseNot, {}}, {Tensor::zeros({0, 3}, DType::i32)}});
}

/// Forms of a broadcast: fewer than of the first ops, whose loops they share.
void add_pairs(Samples& samples, Generator& g) {
  const std::vector<std::pair<Shape, Shape>> shapes = {{{}, {}},
                                                       {{33}, {}},
                                                       {{}, {5}},
                                                       {{4, 17}, {17}},
                                                       {{4, 1}, {1, 5}},
                                                       {{2, 5, 3, 3}, {5, 1, 1}},
                                                       {{2, 3, 2, 3, 2}, {3, 1, 1, 2}},
                                                       {{0, 4}, {4}},
                                                       {{2, 0, 3, 2}, {2, 1, 3, 1}}};
  const std::vector<Call> calls = {{&kMinimum, {}},
                                   {&kPow, {}},
                                   {&kMod, Attributes::of(ModAttributes{false})},
                                   {&kMod, Attributes::of(ModAttributes{true})},
                                   {&kEqual, {}},
                                   {&kNotEqual, {}},
                                   {&kLess, {}},
                                   {&kLessEqual, {}},
                                   {&kGreater, {}},
                                   {&kGreaterEqual, {}},
                                   {&kLogicalAnd, {}},
                                   {&kLogicalOr, {}},
                                   {&kLogicalXor, {}}};
  for (const Call& call : calls) {
    for (const auto& [a, b] : shapes) {
      samples.push_back({a.to_string() + " and " + b.to_string(),
                         call,
                         {g.uniform(a, 0.5F, 1.4F), g.uniform(b, 1.5F, 2.5F)}});
    }
    const Tensor x = g.uniform({2, 9, 3, 5}, 0.5F, 1.4F);
    const Tensor y = g.uniform({2, 9, 3, 5}, -2.5F, -1.5F);
    samples.push_back({"channels last", call, {x.to(kLast), y.to(kLast)}});
    samples.push_back({"channels last and row-major", call, {x.to(kLast), y}});
    samples.push_back({"channels last and a number", call, {x.to(kLast), Tensor::scalar(2.0)}});
    samples.push_back({"f64", call, {x.to(DType::f64), y.to(DType::f64)}});
    samples.push_back({"f16", call, {x.to(DType::f16), y.to(DType::f16)}});
    for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::u16, DType::i8, DType::u8})
      samples.push_back({traits(dtype).name,
                         call,
                         {g.uniform({3, 7}, 0, 9).to(dtype), g.uniform({7}, 0, 9).to(dtype)}});
  }
  for (const bool fmod : {false, true})
    samples.push_back({"quotients of either sign",
                       {&kMod, Attributes::of(ModAttributes{fmod})},
                       {Tensor::from({5.3F, -7.4F, 12.6F, -3.1F, 100.7F}, {5}),
                        Tensor::from({2.0F, 2.0F, -2.5F, -2.0F, 20.9F}, {5})}});
  for (const OpDef* op : {&kBitwiseAnd, &kBitwiseOr, &kBitwiseXor}) {
    for (const auto& [a, b] : shapes) {
      for (const DType dtype : {DType::i32, DType::boolean})
        samples.push_back({std::string(traits(dtype).name) + a.to_string(),
                           {op, {}},
                           {g.uniform(a, -9, 9).to(dtype), g.uniform(b, -9, 9).to(dtype)}});
    }
    for (const DType dtype : {DType::i64, DType::i16, DType::u16, DType::i8, DType::u8})
      samples.push_back({traits(dtype).name,
                         {op, {}},
                         {g.uniform({2, 7, 3}, 0, 99).to(dtype), g.uniform({3}, 0, 99).to(dtype)}});
  }
  for (const OpDef* op : {&kEqual, &kNotEqual, &kLogicalAnd, &kLogicalOr, &kLogicalXor})
    samples.push_back(
        {"bool", {op, {}}, {greater(smooth(g, {2, 9, 3}), 0.0), greater(smooth(g, {9, 1}), 0.0)}});
}

void add_prelu(Samples& samples, Generator& g) {
  const Call call{&kPrelu, {}};
  const std::vector<std::pair<Shape, Shape>> shapes = {{{}, {}},
                                                       {{7}, {}},
                                                       {{4, 17}, {17}},
                                                       {{2, 3, 5}, {3, 1}},
                                                       {{2, 5, 3, 3}, {5, 1, 1}},
                                                       {{2, 5, 3, 3}, {1}},
                                                       {{2, 3, 2}, {2, 3, 2}},
                                                       {{0, 4}, {4}},
                                                       {{2, 0, 3, 2}, {1, 3, 1}}};
  for (const auto& [a, b] : shapes)
    samples.push_back({a.to_string() + " and " + b.to_string(),
                       call,
                       {smooth(g, a, 6.0F), g.uniform(b, 0.1F, 0.4F)}});
  const Tensor x = smooth(g, {2, 9, 3, 5}, 6.0F);
  const Tensor slope = g.uniform({9, 1, 1}, 0.1F, 0.4F);
  samples.push_back({"channels last", call, {x.to(kLast), slope}});
  samples.push_back({"f64", call, {x.to(DType::f64), slope.to(DType::f64)}});
}

void add_where(Samples& samples, Generator& g) {
  const Call call{&kWhere, {}};
  const std::vector<std::array<Shape, 3>> shapes = {
      {Shape{}, Shape{}, Shape{}},
      {Shape{17}, Shape{17}, Shape{17}},
      {Shape{4, 9}, Shape{}, Shape{9}},
      {Shape{9}, Shape{4, 9}, Shape{4, 1}},
      {Shape{}, Shape{2, 3, 5}, Shape{3, 1}},
      {Shape{2, 5, 3, 3}, Shape{5, 1, 1}, Shape{2, 5, 3, 3}},
      {Shape{2, 1, 2, 1, 2}, Shape{1, 3, 1, 2, 1}, Shape{}},
      {Shape{0, 4}, Shape{4}, Shape{}},
      {Shape{2, 1, 3, 2}, Shape{2, 0, 3, 2}, Shape{1}}};
  for (const auto& [condition, a, b] : shapes)
    samples.push_back({condition.to_string(),
                       call,
                       {greater(smooth(g, condition), 0.0), g.normal(a), g.normal(b)}});
  const Tensor condition = greater(smooth(g, {2, 9, 3, 5}), 0.0);
  const Tensor x = g.normal({2, 9, 3, 5});
  const Tensor y = g.normal({9, 1, 1});
  samples.push_back({"channels last", call, {condition.to(kLast), x.to(kLast), y}});
  samples.push_back({"one in channels last", call, {condition, y, x.to(kLast)}});
  for (const DType dtype : {DType::f64, DType::bf16, DType::i64, DType::i16, DType::u8})
    samples.push_back({traits(dtype).name, call, {condition, abs(x).to(dtype), abs(y).to(dtype)}});
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
  add_functions(samples, generator);
  add_pairs(samples, generator);
  add_prelu(samples, generator);
  add_where(samples, generator);
}

}  // namespace pare::test
