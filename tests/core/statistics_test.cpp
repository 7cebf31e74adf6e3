// min, prod, var, std, norm, logsumexp, any, all, argmin and running sums against PyTorch; bad
// input.
#include <gmock/gmock.h>

#include <functional>
#include <limits>

#include "core/golden_statistics.h"
#include "pare/core/generator.h"
#include "pare/core/ops/reduction.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Statistics, GoldenValues) {
  expect_golden(statistics_golden(), 1e-5F, [](const GoldenCase& c, Tensors&) {
    const OpDef* op = find_op(c.op);
    const bool keepdim = c.numbers[0] != 0;
    const auto axes = [&](std::size_t from) {
      return std::vector<std::int64_t>(c.numbers.begin() + static_cast<std::ptrdiff_t>(from),
                                       c.numbers.end());
    };
    if (op == &kArgmin) return Call{op, Attributes::of(AxisAttributes{axes(1)[0], keepdim})};
    if (op == &kCumsum || op == &kCumprod)
      return Call{op, Attributes::of(CumulativeAttributes{.axis = axes(1)[0]})};
    if (op == &kVar || op == &kStd)
      return Call{op, Attributes::of(VarianceAttributes{axes(2), c.numbers[1], keepdim})};
    if (op == &kNorm)
      return Call{op, Attributes::of(NormAttributes{axes(2), c.numbers[1], keepdim})};
    return Call{op, Attributes::of(ReduceAttributes{axes(1), keepdim})};
  });
}

std::vector<float> of(const Tensor& t) { return t.to(DType::f32).to_vector<float>(); }

TEST(Statistics, LongOnesKeepTheirDigits) {
  Generator g(5);
  const Tensor x = g.normal({100'003}, 1000.0F, 0.5F);
  double average = 0;
  for (const float v : x.to_vector<float>()) average += static_cast<double>(v) / 100'003;
  double squares = 0;
  for (const float v : x.to_vector<float>())
    squares += (static_cast<double>(v) - average) * (static_cast<double>(v) - average);
  EXPECT_NEAR(var(x).item(), squares / 100'002, squares / 100'002 * 1e-6);
  EXPECT_NEAR(stddev(x).item(), std::sqrt(squares / 100'002), 1e-6);
  double length = 0;
  for (const float v : x.to_vector<float>())
    length += static_cast<double>(v) * static_cast<double>(v);
  EXPECT_NEAR(norm(x).item(), std::sqrt(length), std::sqrt(length) * 1e-6);
  EXPECT_EQ(norm(x, {.p = 0}).item(), 100'003);
  const Tensor steps = cumsum(Tensor::full({1'000'000}, 0.1));
  EXPECT_NEAR(static_cast<double>(steps.data<float>()[999'999]), 1e5, 1e-2);
}

TEST(Statistics, RunExclusiveAndReversed) {
  const Tensor x = Tensor::from({1, 2, 3, 4}, {4});
  const auto run = [&](auto f, bool exclusive, bool reverse) {
    return of(f(x, CumulativeAttributes{0, exclusive, reverse}));
  };
  const auto sums = [](const Tensor& t, const CumulativeAttributes& a) { return cumsum(t, a); };
  const auto products = [](const Tensor& t, const CumulativeAttributes& a) {
    return cumprod(t, a);
  };
  EXPECT_EQ(run(sums, true, false), (std::vector<float>{0, 1, 3, 6}));
  EXPECT_EQ(run(sums, false, true), (std::vector<float>{10, 9, 7, 4}));
  EXPECT_EQ(run(sums, true, true), (std::vector<float>{9, 7, 4, 0}));
  EXPECT_EQ(run(products, true, false), (std::vector<float>{1, 1, 2, 6}));
  EXPECT_EQ(run(products, false, true), (std::vector<float>{24, 24, 12, 4}));
  EXPECT_EQ(run(products, true, true), (std::vector<float>{24, 12, 4, 1}));
}

TEST(Statistics, OfNothing) {
  const Tensor nothing = Tensor::zeros({2, 0});
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(of(prod(nothing, {1})), (std::vector<float>{1, 1}));
  EXPECT_EQ(of(norm(nothing, {.axes = {1}})), (std::vector<float>{0, 0}));
  EXPECT_EQ(of(logsumexp(nothing, {1})), (std::vector<float>{-infinity, -infinity}));
  EXPECT_EQ(of(any(nothing, {1})), (std::vector<float>{0, 0}));
  EXPECT_EQ(of(all(nothing, {1})), (std::vector<float>{1, 1}));
  EXPECT_TRUE(std::isnan(var(nothing).item()));
  EXPECT_THAT(error_of([&] { min(nothing, {1}); }), HasSubstr("min: expected at least one"));
  EXPECT_THAT(error_of([&] { norm(nothing, {.axes = {1}, .p = static_cast<double>(infinity)}); }),
              HasSubstr("norm: expected at least one element, got shape [2, 0]"));
}

TEST(Statistics, OneThreadOrManyGiveTheSameToRounding) {
  Generator g(6);
  const Tensor x = g.uniform({64, 31, 20, 10}, 0.9F, 1.1F).to(MemoryFormat::channels_last);
  for (const std::vector<std::int64_t>& axes :
       std::vector<std::vector<std::int64_t>>{{}, {0, 2, 3}, {1}, {2, 3}, {0}}) {
    const auto all = [&](int threads) {
      ContextScope scope;
      scope->threads = threads;
      std::vector<float> out;
      for (const Tensor& t : {var(x, {.axes = axes}), norm(x, {.axes = axes}), logsumexp(x, axes),
                              min(x, axes), cumsum(x, 1), cumsum(x, 0)})
        for (const float v : of(t)) out.push_back(v);
      return out;
    };
    const std::vector<float> one = all(1);
    const std::vector<float> many = all(4);
    ASSERT_EQ(one.size(), many.size());
    for (std::size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(one[i], many[i], 1e-3F);
  }
}

TEST(Statistics, BadInput) {
  ErrorCode code{};
  const Tensor x = Tensor::zeros({2, 3});
  const Tensor i = Tensor::zeros({2, 3}, DType::i32);
  EXPECT_THAT(error_of([&] { var(i); }, &code),
              HasSubstr("var: expected a floating type, got i32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { stddev(i); }), HasSubstr("std: expected a floating type, got i32"));
  EXPECT_THAT(error_of([&] { var(x, {.correction = NAN}); }, &code),
              HasSubstr("var: expected a finite correction, got nan"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([&] { norm(i); }), HasSubstr("norm: expected a floating type, got i32"));
  EXPECT_THAT(error_of([&] { norm(x, {.p = NAN}); }), HasSubstr("norm: expected a number p"));
  EXPECT_THAT(error_of([&] { logsumexp(i); }),
              HasSubstr("logsumexp: expected a floating type, got i32"));
  EXPECT_THAT(error_of([&] { prod(Tensor::zeros({2}, DType::u8)); }),
              HasSubstr("prod: expected a floating type, i32 or i64, got u8"));
  EXPECT_THAT(error_of([&] { cumsum(Tensor::zeros({2}, DType::boolean)); }),
              HasSubstr("cumsum: expected a floating type, i32 or i64, got bool"));
  EXPECT_THAT(error_of([&] { any(Tensor::zeros({2}, DType::i4)); }),
              HasSubstr("any: expected bool or a number type, got i4"));
  for (const auto& run : std::vector<std::function<void()>>{
           [&] { min(x, {2}); }, [&] { prod(x, {2}); }, [&] { var(x, {.axes = {2}}); },
           [&] { norm(x, {.axes = {2}}); }, [&] { logsumexp(x, {2}); }, [&] { all(x, {2}); },
           [&] { argmin(x, 2); }, [&] { cumsum(x, 2); }, [&] { cumprod(x, -3); }}) {
    EXPECT_THAT(error_of(run, &code), HasSubstr("axis"));
    EXPECT_EQ(code, ErrorCode::out_of_range);
  }
  EXPECT_THAT(error_of([&] {
                var(x, {.axes = {1, -1}});
              }),
              HasSubstr("var: expected every axis once, got -1 twice"));
  EXPECT_THAT(error_of([] {
                argmin(Tensor::zeros({2, 0}));
              }),
              HasSubstr("argmin: expected at least one element along axis 1"));
}

}  // namespace
}  // namespace pare::test
