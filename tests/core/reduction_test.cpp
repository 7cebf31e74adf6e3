// Reductions and softmax against PyTorch, double-precision sums and bad input.
#include <gmock/gmock.h>

#include "core/golden_reduction.h"
#include "pare/core/generator.h"
#include "pare/core/ops/reduction.h"
#include "pare/core/ops/sort.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Reduction, GoldenValues) {
  expect_golden(reduction_golden(), 4e-6F, [](const GoldenCase& c, Tensors&) {
    const OpDef* op = find_op(c.op);
    if (op == &kSoftmax || op == &kLogSoftmax)
      return Call{op, Attributes::of(SoftmaxAttributes{static_cast<std::int64_t>(c.numbers[0])})};
    const bool keepdim = c.numbers[0] != 0;
    const std::vector<std::int64_t> axes(c.numbers.begin() + 1, c.numbers.end());
    if (op == &kArgmax) return Call{op, Attributes::of(AxisAttributes{axes[0], keepdim})};
    return Call{op, Attributes::of(ReduceAttributes{axes, keepdim})};
  });
}

TEST(Reduction, LongSumsKeepTheirDigits) {
  // Added one by one in f32 this would end near 1.6e7, where 1 no longer counts.
  constexpr std::int64_t kCount = 40'000'000;
  const Tensor ones = Tensor::ones({kCount});
  EXPECT_EQ(sum(ones).item(), static_cast<double>(kCount));
  Generator g(5);
  const Tensor x = g.normal({100'003}, 1.0F);
  double exact = 0;
  for (const float v : x.to_vector<float>()) exact += static_cast<double>(v);
  EXPECT_NEAR(sum(x).item(), exact, std::abs(exact) * 1e-6);
  const Tensor matrix = g.normal({30'000, 21}, 1.0F);
  const std::vector<float> columns = sum(matrix, {0}).to_vector<float>();
  for (std::int64_t c = 0; c < 21; ++c) {
    double column = 0;
    for (std::int64_t r = 0; r < 30'000; ++r)
      column += static_cast<double>(matrix.data<float>()[r * 21 + c]);
    EXPECT_NEAR(columns[static_cast<std::size_t>(c)], column, std::abs(column) * 1e-6) << c;
  }
}

TEST(Reduction, OneThreadOrManyGiveTheSameToRounding) {
  Generator g(6);
  const Tensor x = g.normal({64, 31, 20, 10}).to(MemoryFormat::channels_last);
  for (const std::vector<std::int64_t>& axes :
       std::vector<std::vector<std::int64_t>>{{}, {0, 2, 3}, {1}, {2, 3}, {0}}) {
    std::vector<float> one, many;
    {
      ContextScope scope;
      scope->threads = 1;
      one = sum(x, axes).to_vector<float>();
      scope->threads = 4;
      many = sum(x, axes).to_vector<float>();
    }
    ASSERT_EQ(one.size(), many.size());
    for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], many[i], 2e-3F);
  }
}

TEST(Reduction, EmptyAndHalf) {
  EXPECT_EQ(sum(Tensor::zeros({0, 3}), {0}).to_vector<float>(), (std::vector<float>{0, 0, 0}));
  EXPECT_TRUE(std::isnan(mean(Tensor::zeros({0})).item()));
  EXPECT_THAT(error_of([] { max(Tensor::zeros({0})); }), HasSubstr("max: expected at least one"));
  // 4096 ones in f16, where 2048 + 1 is 2048.
  const Tensor half = Tensor::ones({4096}, DType::f16);
  EXPECT_EQ(sum(half).dtype(), DType::f16);
  EXPECT_EQ(sum(half).item(), 4096);
}

// As PyTorch's x.max() and x.min().
TEST(Reduction, TheGradientOfNaNGoesToNaN) {
  for (Tensor (*extreme)(const Tensor&, const std::vector<std::int64_t>&, bool) : {max, min}) {
    for (const auto& [values, expected] :
         std::vector<std::pair<std::vector<float>, std::vector<float>>>{
             {{NAN, 1, INFINITY}, {1, 0, 0}}, {{NAN, NAN, 1}, {0.5F, 0.5F, 0}}}) {
      Tensor x = Tensor::from(values, {3});
      x.set_requires_grad();
      extreme(x, {}, false).backward();
      EXPECT_EQ(x.grad().to_vector<float>(), expected);
    }
  }
}

// As PyTorch: a scalar has an axis 0, which is its last.
TEST(Reduction, OfAScalarAlongItsAxis) {
  for (const int axis : {0, -1}) {
    for (Tensor (*reduce)(const Tensor&, const std::vector<std::int64_t>&, bool) :
         {sum, mean, max, min, prod, logsumexp}) {
      Tensor x = Tensor::scalar(2.5).set_requires_grad();
      const Tensor y = reduce(x, {axis}, true);
      EXPECT_EQ(y.shape(), (Shape{}));
      EXPECT_EQ(y.item(), 2.5);
      y.backward();
      EXPECT_EQ(x.grad().item(), 1);
    }
    const Tensor x = Tensor::scalar(-2.5);
    EXPECT_EQ(norm(x, {.axes = {axis}}).item(), 2.5);
    EXPECT_EQ(var(x, {.axes = {axis}, .correction = 0}).item(), 0);
    EXPECT_EQ(stddev(x, {.axes = {axis}, .correction = 0}).item(), 0);
    EXPECT_EQ(any(x, {axis}).item(), 1);
    EXPECT_EQ(all(x, {axis}).item(), 1);
    EXPECT_EQ(argmax(x, axis, true).shape(), (Shape{}));
    EXPECT_EQ(argmin(x, axis).item(), 0);
    EXPECT_EQ(cumsum(x, axis).shape(), (Shape{}));
    EXPECT_EQ(cumprod(x, axis).item(), -2.5);
    const Sorted sorted = sort(x, {.axis = axis});
    EXPECT_EQ(sorted.values.item(), -2.5);
    EXPECT_EQ(sorted.indices.shape(), (Shape{}));
    EXPECT_EQ(topk(x, {.k = 1, .axis = axis}).values.item(), -2.5);
  }
  const Tensor x = Tensor::scalar(1);
  EXPECT_ERROR(sum(x, {1}), out_of_range, "sum: expected an axis in [-1, 1), got 1");
  EXPECT_ERROR(sum(x, {0, -1}), invalid_argument, "sum: expected every axis once");
  EXPECT_ERROR(argmax(x, 1), out_of_range, "argmax");
  EXPECT_ERROR(cumsum(x, -2), out_of_range, "cumsum");
  EXPECT_ERROR(sort(x, {.axis = 1}), out_of_range, "sort");
}

TEST(Reduction, BadInput) {
  ErrorCode code{};
  EXPECT_THAT(error_of([] { sum(Tensor::zeros({2, 3}), {2}); }, &code), HasSubstr("sum"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([] {
                sum(Tensor::zeros({2, 3}), {1, -1});
              }),
              HasSubstr("expected every axis once"));
  EXPECT_THAT(error_of([] { mean(Tensor::zeros({2}, DType::i32)); }),
              HasSubstr("mean: expected a floating type, got i32"));
  EXPECT_THAT(error_of([] { softmax(Tensor::zeros({2}), 1); }, &code), HasSubstr("softmax"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([] {
                argmax(Tensor::zeros({2, 0}));
              }),
              HasSubstr("argmax: expected at least one element along axis 1"));
}

}  // namespace
}  // namespace pare::test
