// Pooling over one to three axes: PyTorch's values, lowering, bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/golden_attributes.h"
#include "core/golden_pooling.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

using V = std::vector<std::int64_t>;

bool is_lp(const GoldenCase& c) { return std::string_view(c.op).starts_with("lp_pool"); }

TEST(Pooling, GivesPyTorchsValues) {
  std::vector<GoldenCase> cases = pooling_golden();
  std::erase_if(cases, is_lp);
  ASSERT_GT(cases.size(), 90U);
  expect_golden(cases, 1e-5F, [](const GoldenCase& c, const Tensors&) {
    const OpDef& op = *find_op(c.op);
    return Call{&op, attributes_from(op, c.numbers)};
  });
}

TEST(Pooling, PowerAveragesGivePyTorchsValues) {
  std::vector<GoldenCase> cases = pooling_golden();
  std::erase_if(cases, [](const GoldenCase& c) { return !is_lp(c); });
  ASSERT_EQ(cases.size(), 15U);
  expect_golden_of(cases, 1e-5F, [](const GoldenCase& c, const Tensors& inputs) {
    const double p = c.numbers.front();
    const std::vector<double> numbers(c.numbers.begin() + 1, c.numbers.end());
    if (inputs[0].rank() == 3)
      return lp_pool1d(inputs[0], p, attributes_from(kMaxPool1d, numbers).as<Pool1dAttributes>());
    return lp_pool2d(inputs[0], p, attributes_from(kMaxPool2d, numbers).as<Pool2dAttributes>());
  });
}

// Which ops a function calls.
class Names final : public Tracer {
 public:
  void record(const Call& call, std::span<const Tensor>, std::span<const Tensor>) override {
    names.emplace_back(call.op->name);
  }
  void alias(const Tensor&, const Tensor&) override {}
  void name_next(const std::string&) override {}
  std::vector<std::string> names;
};
template <class Run> std::vector<std::string> ops_of(Run run) {
  Names names;
  const ContextScope scope;
  context().tracer = &names;
  run();
  return names.names;
}

TEST(AdaptivePooling, IsOrdinaryPoolingWhereWindowsAreAlike) {
  using testing::ElementsAre;
  const Tensor x = Generator(1).normal({1, 2, 6, 4});
  EXPECT_THAT(ops_of([&] {
                adaptive_average_pool(x, {1, 1});
              }),
              ElementsAre("global_average_pool"));
  EXPECT_THAT(ops_of([&] { adaptive_average_pool(x, {3, -1}); }), ElementsAre("average_pool2d"));
  EXPECT_THAT(ops_of([&] {
                adaptive_average_pool(x, {4, 4});
              }),
              ElementsAre("adaptive_average_pool"));
  EXPECT_THAT(ops_of([&] { adaptive_max_pool(x, {2, 2}); }), ElementsAre("max_pool2d"));
  EXPECT_THAT(ops_of([&] { adaptive_max_pool(x, {1, 3}); }), ElementsAre("adaptive_max_pool"));
  EXPECT_THAT(ops_of([&] { global_max_pool(x); }), ElementsAre("adaptive_max_pool"));
  // And gives what the op of its own does.
  for (const auto& [op, y] : {std::pair{&kAdaptiveAveragePool, adaptive_average_pool(x, {3, 2})},
                              std::pair{&kAdaptiveMaxPool, adaptive_max_pool(x, {3, 2})}}) {
    const Call call{op, Attributes::of(AdaptivePoolAttributes{{3, 2}})};
    EXPECT_EQ(pare::apply(call, {&x, 1}).to_vector<float>(), y.to_vector<float>()) << op->name;
  }
}

TEST(Pooling, SizesOfNamedPictures) {
  Shape x{2, 3};
  x.append_symbol("height");
  x.append_symbol("width");
  const InferArgs::Input input{&x, DType::f32, nullptr};
  const auto shape = [&](const Pool2dAttributes& attributes) {
    return infer({&kMaxPool2d, Attributes::of(attributes)}, {&input, 1})[0].shape.to_string();
  };
  EXPECT_EQ(shape({.kernel = {2, 3}, .stride = {2, 2}, .padding = {0, 1, 0, 1}}),
            "[2, 3, height/2, (width+1)/2]");
  EXPECT_EQ(shape({.kernel = {3, 3}, .stride = {2, 2}, .ceil_mode = true}),
            "[2, 3, min((height+1)/2,height/2), min((width+1)/2,width/2)]");
}

TEST(AdaptivePooling, OneElementNeedsNoKnownPicture) {
  Shape x{2, 3};
  x.append_symbol("height");
  x.append(5);
  const InferArgs::Input input{&x, DType::f32, nullptr};
  const Call call{&kAdaptiveMaxPool, Attributes::of(AdaptivePoolAttributes{{1, -1}})};
  EXPECT_EQ(infer(call, {&input, 1})[0].shape, (Shape{2, 3, 1, 5}));
}

TEST(AdaptivePooling, LargestOfCodes) {
  const Tensor x = Tensor::from(std::vector<std::uint8_t>{1, 9, 3, 200, 5, 6}, {1, 1, 6});
  EXPECT_EQ(adaptive_max_pool(x, {4}).to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{9, 9, 200, 6}));
  EXPECT_EQ(adaptive_average_pool(x, {4}).to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{5, 6, 102, 6}));  // 102.5 to even
}

TEST(Pooling, BadInput) {
  const Tensor line = Tensor::ones({1, 2, 6});
  const Tensor volume = Tensor::ones({1, 1, 3, 4, 5});
  EXPECT_ERROR(max_pool1d(volume), shape_mismatch, "max_pool1d", "[N, C, L]", "[1, 1, 3, 4, 5]");
  EXPECT_ERROR(average_pool3d(line), shape_mismatch, "average_pool3d", "[N, C, D, H, W]");
  EXPECT_ERROR(max_pool1d(line, {.kernel = {7}}), shape_mismatch, "no larger than",
               "length 7 over 6");
  EXPECT_ERROR(max_pool3d(volume, {.kernel = {4, 2, 2}}), shape_mismatch, "depth 4 over 3");
  EXPECT_ERROR(max_pool1d(line, {.dilation = {0}}), invalid_argument, "dilation");
  EXPECT_ERROR(max_pool1d(line, {.kernel = {2}, .padding = {2, 0}}), invalid_argument,
               "half the kernel");
  EXPECT_ERROR(average_pool1d(line, {.dilation = {2}}), unsupported, "no dilation");
  EXPECT_ERROR(average_pool1d(line, {.divisor_override = -1}), invalid_argument, "divisor");
  EXPECT_ERROR(average_pool1d(line.to(DType::i8), {.divisor_override = 3}), unsupported,
               "divisor 3");
  EXPECT_ERROR(max_pool1d(line.to(DType::f64)), dtype_mismatch, "f32, i8 or u8", "f64");
  // Taps at -2 and 1 of a picture of one pixel.
  EXPECT_ERROR(max_pool1d(Tensor::ones({1, 1, 1}),
                          {.kernel = {2}, .stride = {1}, .padding = {2, 2}, .dilation = {3}}),
               shape_mismatch, "an element in every window", "window 0");
  EXPECT_ERROR(lp_pool1d(line, 0), invalid_argument, "lp_pool1d", "power");
  EXPECT_ERROR(lp_pool1d(line, 2, {.padding = {1, 1}}), invalid_argument, "no padding");
  EXPECT_ERROR(adaptive_average_pool(line, {2, 2}), invalid_argument, "1 output sizes", "got 2");
  EXPECT_ERROR(adaptive_max_pool(line, {0}), invalid_argument, "1 or more", "got 0");
  EXPECT_ERROR(adaptive_max_pool(Tensor::ones({2, 2}), {1}), shape_mismatch, "[N, C, …]");
  EXPECT_ERROR(adaptive_max_pool(Tensor::ones({2, 2, 0}), {2}), shape_mismatch,
               "one pixel or more");
  EXPECT_ERROR(adaptive_average_pool(line.to(DType::i64), {4}), dtype_mismatch, "i64");
  EXPECT_ERROR(global_max_pool(Tensor::ones({3})), shape_mismatch, "adaptive_max_pool");
}

}  // namespace
}  // namespace pare::test
