// Transposed convolutions, convolutions of volumes and products of activations in int8: within 1 of
// the interpreter, and which of them run on codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/parallel.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "runtime/int8.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::expect_near;
using test::random;
using test::random_codes;
using testing::HasSubstr;

struct Case {
  std::string name;
  const OpDef* op;
  Attributes attributes;
  Shape x;
  Shape weight;
  std::int64_t groups = 1;
  const char* reason = nullptr;  ///< why it runs in f32; null: on codes
  DType dtype = DType::u8;
  bool quantized = true;  ///< the result
};

std::ostream& operator<<(std::ostream& stream, const Case& c) { return stream << c.name; }

// Which layers have kernels on codes; groups need oneDNN, and it AVX2.
bool has_kernel(const Case& c) {
#if PARE_ONEDNN
  return !c.reason && isa_cap() >= Isa::avx2;
#else
  return !c.reason && c.groups == 1 && c.dtype == DType::u8 && isa_cap() >= Isa::avx2;
#endif
}

class PlanInt8Convolution : public testing::TestWithParam<Case> {};

TEST_P(PlanInt8Convolution, AsTheInterpreter) {
  const Case& c = GetParam();
  const bool transposed = c.op->quantization.weight_axis == 1;
  const int zero = c.dtype == DType::u8 ? 120 : -8;
  Builder b;
  b.axis = transposed ? 1 : 0;
  b.groups = transposed ? c.groups : 1;
  const int x = b.dequantize(b.input("x", c.x, c.dtype), 0.02, zero);
  const int weight = b.weight(c.weight, 63, 5);
  const int y = b.call(*c.op, {x, weight, b.bias(0.02, 6)}, c.attributes);
  const double taps = static_cast<double>(c.weight.elements() / c.weight[transposed ? 1 : 0]) /
                      static_cast<double>(transposed ? c.groups : 1);
  const double scale = 0.01 * std::sqrt(taps);
  const Tensor input = random_codes(c.x, c.dtype, 1);
  if (c.quantized) {
    const Graph graph = b.finish({b.quantize(b.call(kRelu, {y}), scale, 30)});
    expect_near(graph, {input}, scale, 30);
    const Plan plan = compile(graph, {.threads = 1});
    if (has_kernel(c)) {
      for (const PlanStep& step : plan.steps())
        EXPECT_NE(step.source, DType::f32) << plan.to_string();
    }
    if (!has_kernel(c) && c.reason) {
#if PARE_ONEDNN
      EXPECT_THAT(plan.to_string(), HasSubstr(std::string("runs in f32: ") + c.reason));
#endif
    }
    return;
  }
  const NoGrad no_grad;
  Graph graph = b.finish({y});
  EXPECT_LE(difference(graph(input), compile(graph, {.threads = 1}).run(input)), 1e-6);
}

constexpr const char* kVolume = "no int8 kernel over three axes at once";

INSTANTIATE_TEST_SUITE_P(
    Transposed, PlanInt8Convolution,
    testing::Values(
        Case{"twice_as_large",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {2, 2}}),
             {2, 16, 5, 6},
             {16, 8, 2, 2}},
        Case{"of_4_with_padding",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {2, 2}, .padding = {1, 1, 1, 1}}),
             {2, 16, 5, 6},
             {16, 12, 4, 4}},
        Case{"of_3_with_output_padding",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{
                 .stride = {2, 2}, .padding = {1, 1, 1, 1}, .output_padding = {1, 1}}),
             {2, 8, 6, 5},
             {8, 16, 3, 3}},
        Case{"uneven",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {3, 1},
                                                      .padding = {2, 0, 0, 1},
                                                      .output_padding = {2, 0},
                                                      .dilation = {1, 2}}),
             {2, 8, 6, 5},
             {8, 5, 5, 3}},
        Case{"without_stride",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.padding = {1, 1, 1, 1}}),
             {2, 16, 6, 5},
             {16, 8, 3, 3}},
        Case{"in_groups",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {2, 2}, .groups = 2}),
             {2, 16, 6, 5},
             {16, 8, 2, 2},
             2},
        Case{"signed",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {2, 2}}),
             {2, 16, 5, 6},
             {16, 8, 2, 2},
             1,
             nullptr,
             DType::i8},
        Case{"float_result",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {2, 2}, .padding = {1, 0, 0, 1}}),
             {2, 16, 5, 6},
             {16, 8, 3, 3},
             1,
             nullptr,
             DType::u8,
             false},
        Case{"line",
             &kConvTranspose1d,
             Attributes::of(ConvTranspose1dAttributes{.stride = {4}, .padding = {2, 2}}),
             {2, 16, 11},
             {16, 8, 8}},
        Case{"cropped",
             &kConvTranspose1d,
             Attributes::of(ConvTranspose1dAttributes{.stride = {2}, .padding = {4, 4}}),
             {2, 16, 11},
             {16, 8, 3},
             1,
             "it crops more than its kernel reaches"},
        Case{"sparse",
             &kConvTranspose2d,
             Attributes::of(ConvTranspose2dAttributes{.stride = {4, 4}}),
             {2, 16, 5, 5},
             {16, 8, 2, 2},
             1,
             "its int8 form is mostly zeros"},
        Case{"volume",
             &kConvTranspose3d,
             Attributes::of(ConvTranspose3dAttributes{.stride = {2, 2, 2}}),
             {1, 8, 3, 4, 3},
             {8, 4, 2, 2, 2},
             1,
             kVolume}),
    [](const auto& c) { return c.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Volumes, PlanInt8Convolution,
    testing::Values(
        Case{"flat",
             &kConv3d,
             Attributes::of(Conv3dAttributes{.stride = {1, 2, 1}, .padding = {0, 1, 1, 0, 1, 1}}),
             {2, 16, 4, 6, 5},
             {8, 16, 1, 3, 3}},
        Case{"deep",
             &kConv3d,
             Attributes::of(Conv3dAttributes{.stride = {2, 1, 1}, .padding = {1, 0, 0, 1, 0, 0}}),
             {2, 16, 5, 4, 3},
             {8, 16, 3, 1, 1}},
        Case{"pointwise",
             &kConv3d,
             Attributes::of(Conv3dAttributes{}),
             {2, 16, 5, 4, 3},
             {8, 16, 1, 1, 1}},
        Case{"whole",
             &kConv3d,
             Attributes::of(Conv3dAttributes{.padding = {1, 1, 1, 1, 1, 1}}),
             {1, 8, 4, 4, 4},
             {8, 8, 3, 3, 3},
             1,
             kVolume}),
    [](const auto& c) { return c.param.name; });

TEST(PlanInt8Product, OfTwoActivationsIsTheInterpreter) {
  Builder b;
  const int left = b.dequantize(b.input("left", {2, 3, 9, 20}, DType::u8), 0.02, 100);
  const int right = b.dequantize(b.input("right", {3, 20, 7}, DType::u8), 0.01, 30);
  const int y = b.call(kMatmul, {left, right});
  expect_near(b.finish({b.quantize(y, 0.08, 128)}),
              {random_codes({2, 3, 9, 20}, DType::u8, 1), random_codes({3, 20, 7}, DType::u8, 2)},
              0.08, 128);
}

// A residual after a transposed convolution: no kernel adds it, the report says so.
TEST(PlanInt8Convolution, WithASumBehindItsPhases) {
  Builder b;
  b.axis = 1;
  const int x = b.dequantize(b.input("x", {2, 8, 4, 4}, DType::u8), 0.02, 0);
  const int other = b.dequantize(b.input("other", {2, 8, 8, 8}, DType::u8), 0.02, 10);
  const int y = b.call(kConvTranspose2d, {x, b.weight({8, 8, 2, 2}, 63, 5), b.bias(0.02, 6)},
                       Attributes::of(ConvTranspose2dAttributes{.stride = {2, 2}}));
  const Graph graph = b.finish({b.quantize(b.call(kAdd, {y, other}), 0.05, 128)});
  expect_near(graph,
              {random_codes({2, 8, 4, 4}, DType::u8, 1), random_codes({2, 8, 8, 8}, DType::u8, 2)},
              0.05, 128);
#if PARE_ONEDNN
  EXPECT_THAT(compile(graph).to_string(), HasSubstr("what is added to it comes after"));
#endif
}

// A small decoder, from the float net to the plan.
TEST(PlanInt8Convolution, DecoderNearTheFloatNet) {
  const NoGrad no_grad;
  nn::Sequential net{
      nn::Conv2d{{.in = 3, .out = 8, .kernel = 3, .stride = 2, .padding = 1}},
      nn::BatchNorm2d{{.features = 8}},
      nn::ReLU{},
      nn::ConvTranspose2d{{.in = 8, .out = 8, .kernel = 4, .stride = 2, .padding = 1}},
      nn::BatchNorm2d{{.features = 8}},
      nn::ReLU{},
      nn::ConvTranspose2d{{.in = 8, .out = 3, .kernel = 2, .stride = 2}}};
  Graph graph = test::traced(net, random({2, 3, 8, 8}));
  Graph prepared = quantize::prepare(graph);
  for (std::uint64_t k = 0; k < 4; ++k) prepared(random({4, 3, 8, 8}, k));
  auto [converted, report] = quantize::convert(prepared);
  const Plan plan = compile(converted, {.threads = 1});
  for (std::uint64_t k = 0; k < 3; ++k) {
    const Tensor x = random({2, 3, 8, 8}, k);
    EXPECT_LE(difference(converted(x), plan.run(x)), 0.02) << plan.to_string();
    EXPECT_LE(difference(graph(x), plan.run(x)), 0.1);
  }
}

}  // namespace
}  // namespace pare
