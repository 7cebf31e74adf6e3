// Layers of plans in int8: on the same inputs within 1 of the interpreter, and only next to a tie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/parallel.h"
#include "runtime/int8.h"

namespace pare {
namespace {

using test::Builder;
using test::codes_of;
using test::difference;
using test::expect_near;
using test::random_codes;

struct Layer {
  std::string name;
  DType source = DType::u8;
  int source_zero = 0;
  DType destination = DType::u8;
  int destination_zero = 0;
  Conv2dAttributes attributes = {};
  std::int64_t in = 16;
  std::int64_t out = 16;
  std::int64_t kernel = 3;
  bool bias = true;
  bool residual = false;
  const OpDef* activation = nullptr;
};

std::ostream& operator<<(std::ostream& stream, const Layer& layer) { return stream << layer.name; }

class PlanInt8Layer : public testing::TestWithParam<Layer> {};

TEST_P(PlanInt8Layer, AsTheInterpreter) {
  const Layer& l = GetParam();
  constexpr double kSource = 0.02;
  for (const std::int64_t size : {7, 32}) {
    Builder b;
    const Shape shape{2, l.in, size, size};
    const int x = b.input("x", shape, l.source);
    const int codes = b.dequantize(x, kSource, l.source_zero);
    const std::int64_t per_group = l.in / l.attributes.groups;
    const int weight = b.weight({l.out, per_group, l.kernel, l.kernel}, 63, 5);
    std::vector<int> operands{codes, weight};
    if (l.bias) operands.push_back(b.bias(kSource, 6));
    int y = b.call(kConv2d, operands, Attributes::of(l.attributes));
    const Shape out = b.graph.value(y).shape;
    Tensors inputs{random_codes(shape, l.source, 1)};
    if (l.residual) {
      const int other = b.input("other", out, l.destination);
      y = b.call(kAdd, {y, b.dequantize(other, 0.5, l.destination_zero)});
      inputs.push_back(random_codes(out, l.destination, 2));
    }
    if (l.activation) y = b.call(*l.activation, {y});
    const double fan = static_cast<double>(per_group * l.kernel * l.kernel);
    const double scale = l.activation == &kRelu6 ? 6.0 / 255 : 0.02 * std::sqrt(fan);
    const int q = b.quantize(y, scale, l.destination_zero, l.destination);
    expect_near(b.finish({q}), inputs, scale, l.destination_zero);
  }
}

const Conv2dAttributes kSame{.padding = {1, 1, 1, 1}};

INSTANTIATE_TEST_SUITE_P(
    Kinds, PlanInt8Layer,
    testing::Values(
        Layer{.name = "plain", .attributes = kSame, .activation = &kRelu},
        Layer{.name = "no bias", .destination_zero = 128, .attributes = kSame, .bias = false},
        Layer{.name = "residual", .attributes = kSame, .residual = true, .activation = &kRelu},
        Layer{.name = "residual with zero point",
              .destination_zero = 100,
              .attributes = kSame,
              .residual = true},
        Layer{.name = "source zero point",
              .source_zero = 120,
              .destination_zero = 128,
              .attributes = kSame},
        Layer{.name = "stride",
              .attributes = {.stride = {2, 2}, .padding = {1, 1, 1, 1}},
              .out = 32,
              .activation = &kRelu},
        Layer{.name = "dilation, uneven padding",
              .attributes = {.padding = {2, 1, 0, 3}, .dilation = {2, 1}},
              .activation = &kRelu},
        Layer{.name = "picture", .source_zero = 114, .attributes = kSame, .in = 3},
        Layer{.name = "many channels", .attributes = kSame, .in = 64, .out = 64},
        Layer{.name = "odd channels", .attributes = kSame, .in = 20, .out = 13},
        Layer{.name = "1x1", .source_zero = 64, .out = 24, .kernel = 1},
        Layer{.name = "relu6", .attributes = kSame, .activation = &kRelu6},
        Layer{.name = "signed", .source = DType::i8, .destination = DType::i8, .attributes = kSame},
        Layer{.name = "depthwise",
              .attributes = {.padding = {1, 1, 1, 1}, .groups = 16},
              .activation = &kRelu},
        Layer{.name = "groups", .attributes = {.padding = {1, 1, 1, 1}, .groups = 4}}),
    [](const auto& layer) {
      std::string name = layer.param.name;
      for (char& letter : name)
        if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
      return name;
    });

TEST(PlanInt8, Linear) {
  Builder b;
  const int x = b.input("x", {5, 40}, DType::u8);
  const int weight = b.weight({12, 40}, 63, 2);
  const int y = b.call(kLinear, {b.dequantize(x, 0.02, 30), weight, b.bias(0.02, 3)});
  expect_near(b.finish({b.quantize(y, 0.15, 128)}), {random_codes({5, 40}, DType::u8, 4)}, 0.15,
              128);
}

TEST(PlanInt8, FloatResultOfALinearLayer) {
  const NoGrad no_grad;
  Builder b;
  const int x = b.input("x", {5, 40}, DType::u8);
  const int weight = b.weight({12, 40}, 63, 2);
  Graph graph = b.finish({b.call(kLinear, {b.dequantize(x, 0.02, 30), weight, b.bias(0.02, 3)})});
  const Tensor input = random_codes({5, 40}, DType::u8, 4);
  EXPECT_LE(difference(graph(input), compile(graph).run(input)), 1e-6);
}

TEST(PlanInt8, ZeroPointsOfTheCodesTypeAsInOnnxFiles) {
  for (const DType dtype : {DType::u8, DType::i8}) {
    Builder b;
    b.onnx_zeros = true;
    const int zero = dtype == DType::u8 ? 120 : -8;
    const Shape shape{2, 16, 8, 8};
    const int x = b.dequantize(b.input("x", shape, dtype), 0.02, zero);
    const int weight = b.weight({16, 16, 3, 3}, 63, 5);
    const int y = b.call(kConv2d, {x, weight, b.bias(0.02, 6)}, Attributes::of(kSame));
    const Graph conv = b.finish({b.quantize(y, 0.24, zero, dtype)});
    expect_near(conv, {random_codes(shape, dtype, 1)}, 0.24, zero);
#ifdef PARE_ONEDNN
    if (isa_cap() >= Isa::avx2) {  // below it runs in f32
      const Plan compiled = compile(conv);
      for (const PlanStep& step : compiled.steps()) EXPECT_EQ(step.source, dtype);
    }
#endif

    Builder d;
    d.onnx_zeros = true;
    const int rows = d.dequantize(d.input("x", {5, 40}, dtype), 0.02, zero);
    const int z = d.call(kLinear, {rows, d.weight({12, 40}, 63, 2), d.bias(0.02, 3)});
    expect_near(d.finish({d.quantize(z, 0.15, zero, dtype)}), {random_codes({5, 40}, dtype, 4)},
                0.15, zero);
  }
}

// Never silently saturating: the largest possible sums, exact on every CPU.
TEST(PlanInt8, FullRangeWeights) {
  const NoGrad no_grad;
  Builder b;
  const Shape shape{1, 16, 8, 8};
  const int x = b.input("x", shape, DType::u8);
  const int weight = b.weight({16, 16, 3, 3}, 127, 5);
  const int y = b.call(kConv2d, {b.dequantize(x, 0.02, 0), weight}, Attributes::of(kSame));
  const double scale = 0.5;
  const Graph graph = b.finish({b.quantize(y, scale, 128)});
  const Tensor bright = Tensor::full(shape, 255, DType::u8);
  expect_near(graph, {random_codes(shape, DType::u8, 3)}, scale, 128);
  Graph interpreted = graph.copy();
  const auto expected = codes_of(interpreted(bright));
  const auto found = codes_of(compile(graph).run(bright));
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_LE(std::abs(expected[i] - found[i]), 1);
}

TEST(PlanInt8, FullRangeWeightsOfDenseLayers) {
  const NoGrad no_grad;
  for (const std::int64_t rows : {1, 7}) {
    Builder b;
    const int x = b.input("x", {rows, 37}, DType::u8);
    const int weight = b.weight({21, 37}, 127, 5);
    const int y = b.call(kLinear, {b.dequantize(x, 0.02, 30), weight, b.bias(0.02, 21)});
    const Graph graph = b.finish({b.quantize(y, 0.5, 128)});
    expect_near(graph, {random_codes({rows, 37}, DType::u8, 3)}, 0.5, 128);
#ifdef PARE_ONEDNN
    if (isa_cap() != Isa::avx2 && !has_vnni(isa_cap())) continue;
    EXPECT_THAT(compile(graph).to_string(), testing::Not(testing::HasSubstr("runs in f32")));
#endif
  }
}

}  // namespace
}  // namespace pare
