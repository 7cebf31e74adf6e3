// Ops of plans in int8 between dequantization and quantization, on the codes themselves.
#include <gtest/gtest.h>

#include "runtime/int8.h"

namespace pare {
namespace {

using test::Builder;
using test::codes_of;
using test::expect_near;
using test::random_codes;

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

// Channels go in vectors of several lengths, and one by one.
TEST(PlanInt8Steps, MaxPoolOfAnyNumberOfChannels) {
  for (const DType dtype : {DType::u8, DType::i8})
    for (const std::int64_t channels : {1, 15, 16, 33, 64, 149}) {
      Builder b;
      const Shape shape{2, channels, 7, 6};
      const int x = b.input("x", shape, dtype);
      const Pool2dAttributes pool{.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1, 1, 0}};
      const int y = b.call(kMaxPool2d, {b.dequantize(x, 0.05, 7)}, Attributes::of(pool));
      Graph graph = b.finish({b.quantize(y, 0.05, 7, dtype)});
      const Plan plan = compile(graph, {.threads = 1});
      const Tensor codes = random_codes(shape, dtype, 3);
      const Tensor found = plan.run(codes);
      EXPECT_EQ(found.to(DType::f32).to_vector<float>(),
                graph(codes).to(DType::f32).to_vector<float>())
          << channels;
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

TEST(PlanInt8, AveragesOfManyPixelsDoNotOverflow) {
  const NoGrad no_grad;
  Builder b;
  const Shape shape{1, 1, 2912, 2912};  // · 255 > 2^31
  const int x = b.dequantize(b.input("x", shape, DType::u8), 0.5, 0);
  const Graph graph = b.finish({b.quantize(b.call(kGlobalAveragePool, {x}), 0.5, 0)});
  const auto code = codes_of(compile(graph).run(Tensor::full(shape, 255, DType::u8)));
  EXPECT_NEAR(code[0], 255, 1);
}

// Codes that get another scale at once, of the same type or another: a table.
TEST(PlanInt8Steps, CodesOfAnotherScale) {
  const NoGrad no_grad;
  for (const DType to : {DType::u8, DType::i8}) {
    Builder b;
    const int x = b.dequantize(b.input("x", {4, 64}, DType::u8), 0.05, 120);
    Graph graph = b.finish({b.quantize(x, 0.07, to == DType::u8 ? 90 : -40, to)});
    const Plan plan = compile(graph);
    ASSERT_EQ(plan.steps().size(), 1U) << plan.to_string();
    EXPECT_EQ(plan.steps()[0].kernel, "table");
    const Tensor codes = random_codes({4, 64}, DType::u8, 5);
    EXPECT_EQ(codes_of(plan.run(codes)), codes_of(graph(codes)));
  }
}

// Pictures [N, H, W, C], turned: they are channels-last as they come.
TEST(PlanInt8Steps, PicturesWithTheirChannelsBehindAreNotMoved) {
  for (const DType dtype : {DType::u8, DType::i8}) {
    Builder b;
    const int zero = dtype == DType::u8 ? 120 : -8;
    const int x = b.input("x", {2, 8, 8, 16}, dtype);
    const int turned = b.call(kTranspose, {x}, Attributes::of(TransposeAttributes{{0, 3, 1, 2}}));
    const int y =
        b.call(kConv2d, {b.dequantize(turned, 0.02, zero), b.weight({16, 16, 1, 1}, 63, 5)},
               Attributes::of(Conv2dAttributes{}));
    const Graph graph = b.finish({b.quantize(y, 0.05, zero, dtype)});
    expect_near(graph, {random_codes({2, 8, 8, 16}, dtype, 6)}, 0.05, zero);
#ifdef PARE_ONEDNN  // else the interpreter's kernel wants them row by row
    const Plan plan = compile(graph);
    EXPECT_NE(plan.steps()[0].kernel, "rearrange") << plan.to_string();
#endif
  }
}

}  // namespace
}  // namespace pare
