// Numerics of plans in int8: one layer on the same inputs within 1 of the interpreter, and only
// next to a tie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "pare/core/parallel.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "runtime/nets.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::random;
using testing::HasSubstr;

Tensor random_codes(const Shape& shape, DType dtype, std::uint64_t seed) {
  const std::vector<float> drawn = Generator(seed).uniform(shape).to_vector<float>();
  if (dtype == DType::u8) {
    std::vector<std::uint8_t> codes;
    for (const float v : drawn) codes.push_back(static_cast<std::uint8_t>(v * 256));
    return Tensor::from(codes, shape);
  }
  std::vector<std::int8_t> codes;
  for (const float v : drawn) codes.push_back(static_cast<std::int8_t>(v * 256 - 128));
  return Tensor::from(codes, shape);
}

std::vector<int> codes_of(const Tensor& t) {
  std::vector<int> codes;
  if (t.dtype() == DType::u8)
    for (const std::uint8_t c : t.to_vector<std::uint8_t>()) codes.push_back(c);
  else
    for (const std::int8_t c : t.to_vector<std::int8_t>()) codes.push_back(c);
  return codes;
}

// The graph's last node is the quantization with this scale and zero point.
void expect_near(Graph graph, const Tensors& inputs, double scale, int zero) {
  const NoGrad no_grad;
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor found = plan.run(inputs)[0];
  const int result = graph.outputs()[0];
  const int real = graph.node(graph.value(result).producer).inputs[0];
  // What a residual is added to: it may cancel it, but not its rounding (docs/numerics.md).
  int sum = -1;
  for (int v = real; graph.value(v).producer >= 0;) {
    const Graph::Node& node = graph.node(graph.value(v).producer);
    v = node.inputs[0];
    if (node.call.op == &kAdd && graph.value(v).producer >= 0 &&
        graph.node(graph.value(v).producer).call.op == &kConv2d)
      sum = v;
    if (node.call.op->quantization.kind != QuantizationFact::Kind::fused_activation) break;
  }
  Tensor before;
  std::vector<float> summed;
  const Tensor expected = graph.run_visiting(inputs, [&](int value, const Tensor& tensor) {
    if (value == real) before = tensor;
    if (value == sum) summed = tensor.to_vector<float>();
  })[0];
  ASSERT_EQ(expected.dtype(), found.dtype());
  const auto a = codes_of(expected);
  const auto b = codes_of(found);
  const auto v = before.to_vector<float>();
  ASSERT_EQ(a.size(), b.size());
  std::map<int, int> histogram;
  std::size_t differ = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ++histogram[a[i]];
    if (a[i] == b[i]) continue;
    ++differ;
    ASSERT_LE(std::abs(a[i] - b[i]), 1) << "element " << i << "\n" << plan.to_string();
    const double y = static_cast<double>(v[i]) / scale;
    const double from_tie = std::abs(y - std::floor(y) - 0.5);
    const double rounded = summed.empty() ? 0 : std::abs(static_cast<double>(summed[i])) / scale;
    EXPECT_LE(from_tie, std::ldexp(std::abs(y) + rounded + std::abs(zero) + 1, -21)) << y;
  }
  // Averages of few codes are full of ties.
  EXPECT_LE(differ, 1 + a.size() / 50) << plan.to_string();
  EXPECT_GE(histogram.size(), 10U) << "the scale makes the test see too few codes";
}

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

// Ops between dequantization and quantization that never become floats.
struct CodesCase {
  std::string name;
  int (*build)(Builder& b, int x);
  std::string kernel;
};

std::ostream& operator<<(std::ostream& stream, const CodesCase& c) { return stream << c.name; }

class PlanInt8Codes : public testing::TestWithParam<CodesCase> {};

TEST_P(PlanInt8Codes, AsTheInterpreter) {
  for (const DType dtype : {DType::u8, DType::i8}) {
    Builder b;
    const Shape shape{2, 16, 8, 8};
    const int zero = dtype == DType::u8 ? 120 : -8;
    const int x = b.input("x", shape, dtype);
    const int y = GetParam().build(b, b.dequantize(x, 0.05, zero));
    const bool keeps = GetParam().name == "max_pool" || GetParam().name == "slice_pad";
    // The average of 64 codes moves little.
    const bool small = GetParam().name == "global_average_pool";
    const double scale = keeps ? 0.05 : small ? 0.01 : 0.07;
    const Graph graph = b.finish({b.quantize(y, scale, zero, dtype)});
    expect_near(graph, {random_codes(shape, dtype, 3)}, scale, zero);
    const Plan plan = compile(graph);
    bool found = false;
    for (const PlanStep& step : plan.steps()) found = found || step.kernel == GetParam().kernel;
    EXPECT_TRUE(found) << plan.to_string();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, PlanInt8Codes,
    testing::Values(
        CodesCase{"max_pool",
                  [](Builder& b, int x) {
                    return b.call(kMaxPool2d, {x},
                                  Attributes::of(
                                      Pool2dAttributes{.kernel = {3, 3}, .padding = {1, 1, 1, 1}}));
                  },
                  "max pool"},
        CodesCase{"average_pool",
                  [](Builder& b, int x) {
                    return b.call(kAveragePool2d, {x}, Attributes::of(Pool2dAttributes{}));
                  },
                  "average pool"},
        CodesCase{"global_average_pool",
                  [](Builder& b, int x) { return b.call(kGlobalAveragePool, {x}); },
                  "global average pool"},
        CodesCase{"tanh", [](Builder& b, int x) { return b.call(kTanh, {x}); }, "table"},
        CodesCase{"relu", [](Builder& b, int x) { return b.call(kRelu, {x}); }, "table"},
        CodesCase{"add",
                  [](Builder& b, int x) {
                    return b.call(kAdd, {x, x});
                  },
                  "add and requantize"},
        CodesCase{"concat",
                  [](Builder& b, int x) {
                    return b.call(kConcat, {x, x}, Attributes::of(ConcatAttributes{1}));
                  },
                  "rearrange"},
        CodesCase{"slice_pad",
                  [](Builder& b, int x) {
                    const bool is_signed = b.graph.value(b.graph.inputs()[0]).dtype == DType::i8;
                    const int zero = is_signed ? -8 : 120;
                    const DType dtype = is_signed ? DType::i8 : DType::u8;
                    const int cut =
                        b.call(kSlice, {x},
                               Attributes::of(SliceAttributes{{2, 3}, {0, 0}, {8, 8}, {2, 2}}));
                    const int again = b.dequantize(b.quantize(cut, 0.05, zero, dtype), 0.05, zero);
                    return b.call(kPad, {again},
                                  Attributes::of(PadAttributes{{0, 8, 0, 0}, {0, 8, 0, 0}, 0}));
                  },
                  "fill and copy"}),
    [](const auto& c) { return c.param.name; });

struct Converted {
  double error = 0;  // against the float net
  std::vector<PlanStep> steps;
};

Converted worst_against_float(nn::Module& net, const Shape& shape) {
  const NoGrad no_grad;
  Generator generator(3);
  nn::initialize(net, generator);
  Graph graph = trace(net, random(shape)).copy();
  Graph prepared = quantize::prepare(graph);
  for (std::uint64_t k = 0; k < 4; ++k) prepared(random(shape, k));
  auto [converted, report] = quantize::convert(prepared);
  const Plan plan = compile(converted, {.threads = 1});
  const Plan two = compile(converted, {.threads = 2});
  double worst = 0;
  for (std::uint64_t k = 0; k < 4; ++k) {
    const Tensor x = random(shape, k);
    EXPECT_LE(difference(converted(x), plan.run(x)), 0.02) << plan.to_string();
    EXPECT_LE(difference(plan.run(x), two.run(x)), 1e-6);
    if (shape.rank() >= 3) {
      EXPECT_LE(difference(plan.run(x), plan.run(x.to(MemoryFormat::channels_last))), 1e-6);
    }
    worst = std::max(worst, difference(graph(x), plan.run(x)));
  }
  return {worst, {plan.steps().begin(), plan.steps().end()}};
}

TEST(PlanInt8, ResidualNetConverted) {
  test::ResidualNet net;
  const Converted result = worst_against_float(net, {4, 3, 12, 12});
  EXPECT_LE(result.error, 0.1);
  if (isa_cap() < Isa::avx2) return;  // residual sums run in f32 there
  for (std::size_t s = 1; s < result.steps.size(); ++s)
    EXPECT_EQ(result.steps[s].source, DType::u8);
}

TEST(PlanInt8, ConcatNetConverted) {
  test::ConcatNet net;
  EXPECT_LE(worst_against_float(net, {4, 3, 8, 8}).error, 0.1);
}

Graph quantized(const Graph& graph, const Shape& shape) {
  Graph prepared = quantize::prepare(graph);
  for (std::uint64_t k = 0; k < 3; ++k) prepared(random(shape, k));
  return quantize::convert(prepared).graph;
}

TEST(PlanInt8, ASumInAnothersPlaceIsKeptForItsReaders) {
  const NoGrad no_grad;
  const Shape shape{2, 3, 8, 8};
  Graph graph = quantized(test::chained_residuals(), shape);
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor x = random(shape, 1);
  EXPECT_LE(difference(graph(x), plan.run(x)), 0.02) << plan.to_string();
}

TEST(PlanInt8, RandomNetsAsTheInterpreter) {
  const NoGrad no_grad;
  const Shape shape{2, 3, 6, 6};
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph = quantized(test::random_net(seed), shape);
    const Plan plan = compile(graph, {.threads = 1});
    const Tensor x = random(shape, 1);
    // Steps of 1 add up over up to 30 layers.
    EXPECT_LE(difference(graph(x), plan.run(x)), 0.1) << plan.to_string();
  }
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

// Where the interpreter refuses, a plan must not wrap around.
TEST(PlanInt8, SumsBeyond32BitsRunInFloatAndAreReported) {
  const NoGrad no_grad;
  constexpr std::int64_t kLength = 80000;
  Builder b;
  const int x = b.dequantize(b.input("x", {1, kLength}, DType::u8), 0.5, 0);
  const int weight = b.constant(Tensor::full({2, kLength}, 127, DType::i8));
  const int w = b.dequantize(weight, 0.25, 0);
  Graph graph = b.finish({b.call(kLinear, {x, w})});
  const Tensor bright = Tensor::full({1, kLength}, 255, DType::u8);
  EXPECT_THROW(graph(bright), Error);
  const Plan plan = compile(graph, {.threads = 1});
  for (const float y : plan.run(bright).to_vector<float>())
    EXPECT_NEAR(y / (127.0 * 0.25 * 255 * 0.5 * kLength), 1, 5e-3) << plan.to_string();
  EXPECT_THAT(plan.to_string(), HasSubstr("could leave 32 bits"));
}

TEST(PlanInt8, AFloatBiasIsReported) {
  const NoGrad no_grad;
  Builder b;
  const int x = b.dequantize(b.input("x", {5, 40}, DType::u8), 0.02, 30);
  const int y = b.call(kLinear, {x, b.weight({12, 40}, 63, 2), b.constant(random({12}))});
  Graph graph = b.finish({y});
  const Plan plan = compile(graph);
  const Tensor input = random_codes({5, 40}, DType::u8, 4);
  EXPECT_LE(difference(graph(input), plan.run(input)), 1e-3);
  // The reference adds it as it is.
  if (plan.steps().size() == 1 && plan.steps()[0].kernel != "integer reference") {
    EXPECT_THAT(plan.to_string(), HasSubstr("its float bias is rounded"));
  }
}

TEST(PlanInt8, SaysWhyALayerRunsInFloat) {
  Builder b;
  const int x = b.dequantize(b.input("x", {5, 40}, DType::u8), 0.02, 30);
  const int other = b.dequantize(b.input("w", {40, 3}, DType::i8), 0.1, 0);
  const Plan plan = compile(b.finish({b.call(kMatmul, {x, other})}));
#ifdef PARE_ONEDNN
  EXPECT_THAT(plan.to_string(), HasSubstr("runs in f32: its weight is no constant in i8"));
#endif
}

TEST(PlanInt8, AveragesOfManyPixelsDoNotOverflow) {
  const NoGrad no_grad;
  Builder b;
  const Shape shape{1, 1, 2912, 2912};  // · 255 > 2^31
  const int x = b.dequantize(b.input("x", shape, DType::u8), 0.5, 0);
  const Graph graph = b.finish({b.quantize(b.call(kGlobalAveragePool, {x}), 0.5, 0)});
  const auto code = codes_of(compile(graph).run(Tensor::full(shape, 255, DType::u8)));
  EXPECT_NEAR(code[0], 255, 1);
}

// Softmax is no table of codes: its values depend on their row.
TEST(PlanInt8, SoftmaxBetweenLayers) {
  nn::Sequential net{nn::Linear{{.in = 8, .out = 6}}, nn::Softmax{{.axis = -1}},
                     nn::Linear{{.in = 6, .out = 3}}};
  EXPECT_LE(worst_against_float(net, {4, 8}).error, 0.1);
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
    EXPECT_THAT(compile(graph).to_string(), testing::Not(HasSubstr("runs in f32")));
#endif
  }
}

}  // namespace
}  // namespace pare
