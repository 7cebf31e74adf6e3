// Samples of fake_quantize, quantize_linear and dequantize_linear.
#include "core/packed_codes.h"
#include "core/samples.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/core/ops/quantization.h"
#include "pare/core/ops/round_bias.h"

namespace pare::test {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::channels_last;

Tensor zeros_for(Generator& g, const Shape& shape, int around) {
  std::vector<std::int32_t> z;
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    z.push_back(around + static_cast<std::int32_t>(g.below(5)));
  return Tensor::from(z, shape);
}

/// Codes 0 … 7, which all types have.
Tensor small_codes(Generator& g, const Shape& shape, DType dtype) {
  std::vector<std::int32_t> codes;
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    codes.push_back(static_cast<std::int32_t>(g.below(8)));
  return codes_of(codes, shape, dtype);
}

// With numbers of their own: those of the samples behind stay as they were.
void add_stored_weights(Samples& samples) {
  Generator g(11);
  struct Case {
    Shape codes, scale;
    std::int64_t axis, block;
  };
  const std::vector<Case> cases = {{{5, 7}, {}, -1, 0},       {{5, 7}, {5}, 0, 0},
                                   {{5, 7}, {7}, 1, 0},       {{5, 8}, {5, 2}, 1, 4},
                                   {{9, 3}, {3, 3}, 0, 4},    {{4, 5, 3, 3}, {4, 2, 3, 3}, 1, 3},
                                   {{4, 5, 3, 3}, {5}, 1, 0}, {{0, 4}, {0, 1}, 1, 4}};
  for (const Case& c : cases)
    for (const DType dtype : {DType::i8, DType::u8, DType::i4, DType::u4, DType::i2, DType::u2}) {
      // Packed codes have one order.
      if (traits(dtype).bits < 8 && c.codes.rank() > 2) continue;
      const Call call{&kDequantizeWeight,
                      Attributes::of(DequantizeWeightAttributes{c.axis, c.block})};
      const Tensor codes = small_codes(g, c.codes, dtype);
      const Tensor scale = g.uniform(c.scale, 0.01F, 0.05F);
      const std::string name =
          c.codes.to_string() + " blocks of " + std::to_string(c.block) + " " + traits(dtype).name;
      samples.push_back({name, call, {codes, scale}});
      samples.push_back(
          {name + ", zero points", call, {codes, scale, small_codes(g, c.scale, dtype)}});
    }
}

// The same.
void add_dynamic(Samples& samples) {
  Generator g(12);
  for (const Shape& shape :
       {Shape{7}, Shape{4, 9}, Shape{3, 1}, Shape{2, 3, 17}, Shape{2, 5, 3, 4}}) {
    const Tensor x = g.normal(shape, 0.3F, 2.0F);
    for (const bool per_row : {false, true})
      samples.push_back(
          {shape.to_string() + (per_row ? " by rows" : ""),
           {&kDynamicQuantizeLinear, Attributes::of(DynamicQuantizeAttributes{per_row})},
           {x}});
    if (shape.rank() < 2) continue;
    Shape rows = shape;
    rows.set(shape.rank() - 1, 1);
    const Call back{&kDequantizeLinear, Attributes::of(DequantizeAttributes{})};
    const Tensor codes = g.uniform(shape, 0.0F, 255.0F).to(DType::u8);
    const Tensor scale = g.uniform(rows, 0.01F, 0.05F);
    const Tensor zero = g.uniform(rows, 0.0F, 255.0F).to(DType::u8);
    samples.push_back({shape.to_string() + " by rows", back, {codes, scale, zero}, false, {0}});
    samples.push_back({shape.to_string() + " by rows, no zero point",
                       back,
                       {codes, scale, Tensor()},
                       false,
                       {0}});
    samples.push_back({shape.to_string() + " by rows, i32 zero point",
                       back,
                       {codes, scale, zero.to(DType::i32)},
                       false,
                       {0}});
    if (shape.rank() == 4)
      samples.push_back({shape.to_string() + " by rows, channels last",
                         back,
                         {codes.to(kLast), scale, zero},
                         false,
                         {0}});
  }
}

// With numbers of their own, as above.
void add_learned_steps(Samples& samples) {
  Generator g(12);
  struct Case {
    Shape shape;
    std::int64_t axis;  // −1: one step
  };
  const std::vector<Case> cases = {{{}, -1},           {{37}, -1},        {{4, 9}, 0},
                                   {{4, 9}, 1},        {{9, 2, 3, 3}, 0}, {{2, 9, 3, 5}, 1},
                                   {{2, 3, 4, 5}, -1}, {{0, 3}, 1},       {{2, 3, 0, 4}, 1}};
  for (const Case& c : cases) {
    const Shape steps = c.axis < 0 ? Shape{} : Shape{c.shape[static_cast<int>(c.axis)]};
    const std::string name = c.shape.to_string() + " axis " + std::to_string(c.axis);
    const Tensor x = g.normal(c.shape);
    const Tensor step = g.uniform(steps, 0.01F, 0.05F);
    // As for fake_quantize, steps that a central difference does not see; that of the step itself
    // is no straight-through gradient.
    const Call fine{&kFakeQuantizeLearned, Attributes::of(FakeQuantizeLearnedAttributes{
                                               .qmin = -4000000, .qmax = 4000000, .axis = c.axis})};
    const Tensor tiny = Tensor::full(steps, 0x1p-20);
    samples.push_back({name + ", fine", fine, {x, tiny}, false, {0}});
    samples.push_back(
        {name + ", fine, zero points", fine, {x, tiny, Tensor::zeros(steps)}, false, {0}});
    // Outside of the codes the result is the step times the bound.
    const Call clipped{&kFakeQuantizeLearned,
                       Attributes::of(FakeQuantizeLearnedAttributes{
                           .qmin = -8, .qmax = 7, .axis = c.axis, .gradient_factor = 1})};
    const Tensor far = g.uniform(c.shape, 4.5F, 5.5F);
    samples.push_back({name + ", clipped", clipped, {far, step}, false, {0, 1}});
    const Call pact{
        &kFakeQuantizeLearned,
        Attributes::of(FakeQuantizeLearnedAttributes{
            .qmax = 15, .axis = c.axis, .form = "clip", .gradient_factor = 1, .relu = true})};
    samples.push_back({name + ", clip", pact, {far, step}, false, {0, 1}});
    if (c.shape.rank() >= 3) {
      samples.push_back({name + ", fine, channels last", fine, {x.to(kLast), tiny}, false, {0}});
      samples.push_back(
          {name + ", clip, channels last", pact, {far.to(kLast), step}, false, {0, 1}});
    }
  }
}

// With numbers of their own, as above.
void add_rounded_biases(Samples& samples) {
  Generator g(13);
  const Call scale{&kRangeScale, Attributes::of(ObserveAttributes{})};
  samples.push_back({"one range", scale, {Tensor::from({-1, 3}, {2})}});
  samples.push_back({"two ranges", scale, {Tensor::from({-1, 3}, {2}), Tensor::from({0, 5}, {2})}});
  const Call steps{&kStepScale, Attributes::of(FakeQuantizeLearnedAttributes{.axis = 0})};
  samples.push_back({"one step", steps, {Tensor::scalar(0.25)}});
  samples.push_back({"five", steps, {g.uniform({5}, 0.01F, 0.05F)}});
  samples.push_back({"five, zero points", steps, {g.uniform({5}, 0.01F, 0.05F), g.normal({5})}});
  for (const Shape& weight_scale : {Shape{}, Shape{6}, Shape{3}}) {
    const Call call{&kRoundBias, Attributes::of(RoundBiasAttributes{})};
    // A unit that a central difference does not see.
    const Tensor fine = Tensor::scalar(0x1p-16);
    const Tensor bias = g.normal({6}), weights = g.uniform(weight_scale, 0.01F, 0.05F);
    const std::string name = "scale " + weight_scale.to_string();
    samples.push_back({name, call, {bias, fine, weights}, false, {0}});
    const Tensors norm{bias, fine, weights, g.normal({6}), g.normal({6}), g.uniform({6}, 1, 2)};
    samples.push_back({name + ", batch norm", call, norm, false, {0}});
    Tensors with_bias = norm;
    with_bias.push_back(g.normal({6}));
    samples.push_back({name + ", batch norm and bias", call, with_bias, false, {0}});
  }
}

}  // namespace

void add_quantization_samples(Samples& samples, Generator& g) {
  struct Case {
    Shape shape;
    std::int64_t axis;  // −1: one scale
  };
  const std::vector<Case> cases = {{{}, -1},          {{37}, -1},         {{4, 9}, 0},
                                   {{4, 9}, 1},       {{2, 9, 3, 5}, -1}, {{2, 9, 3, 5}, 1},
                                   {{9, 2, 3, 3}, 0}, {{2, 3, 17}, 1},    {{2, 3, 2, 3, 4}, 1},
                                   {{0, 3}, -1},      {{0, 3}, 0},        {{0, 3}, 1},
                                   {{3, 0}, 0},       {{2, 3, 0, 4}, 1}};
  for (const Case& c : cases) {
    const Shape shape = c.axis < 0 ? Shape{} : Shape{c.shape[static_cast<int>(c.axis)]};
    const Tensor x = g.normal(c.shape);
    const std::string name = c.shape.to_string() + " axis " + std::to_string(c.axis);
    const Tensor scale = g.uniform(shape, 0.01F, 0.05F);

    // A scale far below the step of a central difference makes the rounding invisible to it, and
    // the straight-through gradient the true one.
    const Call fine{&kFakeQuantize,
                    Attributes::of(FakeQuantizeAttributes{-4000000, 4000000, c.axis})};
    const Tensor tiny = Tensor::full(shape, 0x1p-20);
    const Tensor none = Tensor::zeros(shape, DType::i32);
    samples.push_back({name + ", fine", fine, {x, tiny, none}, false, {0}});

    const Call u8{&kQuantizeLinear, Attributes::of(QuantizeAttributes{DType::u8, c.axis, 0, 255})};
    const Call s7{&kQuantizeLinear, Attributes::of(QuantizeAttributes{DType::i8, c.axis, -63, 63})};
    const Call back{&kDequantizeLinear, Attributes::of(DequantizeAttributes{c.axis})};
    const Tensor zero = zeros_for(g, shape, 120);
    const Tensor codes = g.uniform(c.shape, 0.0F, 255.0F);
    samples.push_back({name, u8, {x, scale, zero}});
    samples.push_back({name + ", s7", s7, {x, scale, none}});
    samples.push_back({name + ", no zero point", s7, {x, scale, Tensor()}});
    samples.push_back({name, back, {codes.to(DType::u8), scale, zero}, false, {0}});
    samples.push_back({name + ", i32", back, {codes.to(DType::i32), scale, none}, false, {0}});
    if (c.shape.rank() >= 3) {
      samples.push_back(
          {name + ", fine, channels last", fine, {x.to(kLast), tiny, none}, false, {0}});
      samples.push_back({name + ", channels last", u8, {x.to(kLast), scale, zero}});
      samples.push_back({name + ", channels last",
                         back,
                         {codes.to(DType::u8).to(kLast), scale, zero},
                         false,
                         {0}});
    }
  }
  const Call wide{&kQuantizeLinear,
                  Attributes::of(QuantizeAttributes{DType::i32, -1, -2147483647 - 1, 2147483647})};
  samples.push_back(
      {"i32",
       wide,
       {g.normal({9}, 0.0F, 1e6F), Tensor::scalar(0.001), Tensor::scalar(0, DType::i32)}});
  add_stored_weights(samples);
  add_dynamic(samples);
  add_learned_steps(samples);
  add_rounded_biases(samples);
  const Call i16{&kQuantizeLinear,
                 Attributes::of(QuantizeAttributes{DType::i16, -1, -32768, 32767})};
  samples.push_back(
      {"i16", i16, {g.normal({40}), Tensor::scalar(0.0001), Tensor::scalar(3, DType::i32)}});
}

}  // namespace pare::test
