// Mathematical functions, arithmetic, comparisons and logic against PyTorch, double precision and
// bad input.
#include <gmock/gmock.h>

#include "core/golden_math.h"
#include "pare/core/generator.h"
#include "pare/core/ops/elementwise.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Math, GoldenValues) {
  expect_golden(math_golden(), 2e-6F, [](const GoldenCase& c, Tensors& inputs) {
    Call call{find_op(c.op), {}};
    if (call.op == &kMod) call.attributes = Attributes::of(ModAttributes{c.numbers[0] != 0});
    if (call.op == &kWhere) inputs[0] = cast(inputs[0], DType::boolean);
    if (std::string(c.op).starts_with("bitwise"))
      for (Tensor& x : inputs) x = cast(x, DType::i32);
    return call;
  });
}

/// The largest error against a function of doubles, in units in the last place of floats, or in
/// those of `floor` where the value is smaller.
template <class Run, class Exact>
double worst_ulp(float from, float to, Run run, Exact exact, double floor = 0) {
  constexpr int kCount = 100003;
  std::vector<float> x;
  for (int i = 0; i < kCount; ++i)
    x.push_back(from + (to - from) * static_cast<float>(i) / static_cast<float>(kCount - 1));
  const std::vector<float> y = run(Tensor::from(x, {kCount})).template to_vector<float>();
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = exact(static_cast<double>(x[i]));
    const auto nearest = static_cast<float>(std::max(std::abs(e), floor));
    const double ulp =
        static_cast<double>(std::nextafter(nearest, INFINITY)) - static_cast<double>(nearest);
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - e) / ulp);
  }
  return worst;
}

TEST(Math, FunctionsAreWithinThreeUlp) {
  const auto sine = [](double x) { return std::sin(x); };
  const auto cosine = [](double x) { return std::cos(x); };
  EXPECT_LT(worst_ulp(-3, 3, sin, sine), 2);
  EXPECT_LT(worst_ulp(-1.5F, 1.5F, cos, cosine), 2);
  EXPECT_LT(worst_ulp(-1.5F, 1.5F, tan, [](double x) { return std::tan(x); }), 4);
  // Up to where the vector code reaches, and beyond; near zeros in units of 1/8.
  for (const float limit : {100.0F, 8000.0F, 1e6F, 3e38F}) {
    EXPECT_LT(worst_ulp(-limit, limit, sin, sine, 0.125), 2) << limit;
    EXPECT_LT(worst_ulp(-limit, limit, cos, cosine, 0.125), 2) << limit;
  }
  const auto error = [](double x) { return std::erf(x); };
  EXPECT_LT(worst_ulp(-5, 5, erf, error), 3);
  EXPECT_LT(worst_ulp(-1e-3F, 1e-3F, erf, error), 3);
  EXPECT_LT(worst_ulp(0.1F, 100, rsqrt, [](double x) { return 1 / std::sqrt(x); }), 2);
}

TEST(Math, PowersAreWithinAUlp) {
  for (const double power : {2.0, 3.0, -1.0, 0.5, -7.3, 20.1}) {
    const auto number = static_cast<double>(static_cast<float>(power));
    const auto run = [&](const Tensor& x) { return pow(x, power); };
    const auto exact = [&](double x) { return std::pow(x, number); };
    EXPECT_LT(worst_ulp(0.01F, 40, run, exact), 1.01) << power;
    EXPECT_LT(worst_ulp(0.99F, 1.01F, run, exact), 1.01) << power;
  }
  const auto run = [](const Tensor& x) { return pow(Tensor::scalar(1.75), x); };
  EXPECT_LT(worst_ulp(-150, 150, run, [](double x) { return std::pow(1.75, x); }), 1.01);
}

template <class T> Tensor of(std::vector<T> v) {
  return Tensor::from(v, {static_cast<std::int64_t>(v.size())});
}

TEST(Math, IntegersWrap) {
  using I = std::vector<std::int8_t>;
  const Tensor a = of<std::int8_t>({-128, -7, 3, 0});
  EXPECT_EQ(abs(a).to_vector<std::int8_t>(), (I{-128, 7, 3, 0}));
  EXPECT_EQ(sign(a).to_vector<std::int8_t>(), (I{-1, -1, 1, 0}));
  EXPECT_EQ(square(a).to_vector<std::int8_t>(), (I{0, 49, 9, 0}));
  EXPECT_EQ(sign(of<std::uint8_t>({0, 200})).to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{0, 1}));
  EXPECT_EQ(pow(a, of<std::int8_t>({1, 3, -1, 0})).to_vector<std::int8_t>(), (I{-128, -87, 0, 1}));
  EXPECT_EQ(pow(of<std::int64_t>({-1, -1, 1, 3}), of<std::int64_t>({-3, -2, -9, 39}))
                .to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{-1, 1, 1, 4052555153018976267}));
}

TEST(Math, IntegersRestTakesTheSignAskedFor) {
  using I = std::vector<std::int32_t>;
  const Tensor a = of<std::int32_t>({7, -7, 7, -7, INT32_MIN, 5});
  const Tensor b = of<std::int32_t>({3, 3, -3, -3, -1, 0});
  EXPECT_EQ(fmod(a, b).to_vector<std::int32_t>(), (I{1, -1, 1, -1, 0, 0}));
  EXPECT_EQ(remainder(a, b).to_vector<std::int32_t>(), (I{1, 2, -2, -1, 0, 0}));
}

TEST(Math, FmodIsExact) {
  std::vector<float> a, b;
  Generator generator(3);
  const auto bits = generator.uniform({20000}, 1.0F, 2.0F).to_vector<float>();
  for (std::size_t i = 0; i + 1 < bits.size(); i += 2) {
    a.push_back(std::ldexp(bits[i], static_cast<int>(i % 61) - 20) * (i % 4 == 0 ? -1.0F : 1.0F));
    b.push_back(std::ldexp(bits[i + 1], static_cast<int>(i % 13) - 6));
  }
  // Just below a multiple, where the quotient rounds up to it.
  a.push_back(std::nextafter(3.0F * 0.7F, 0.0F));
  b.push_back(0.7F);
  // All at once, and those of small quotients by themselves, which vector code computes.
  for (const float limit : {INFINITY, 5e8F}) {
    std::vector<float> p, q;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (std::abs(a[i] / b[i]) > limit) continue;
      p.push_back(a[i]);
      q.push_back(b[i]);
    }
    ASSERT_GT(p.size(), 5000U);
    const auto y = fmod(of(p), of(q)).to_vector<float>();
    for (std::size_t i = 0; i < p.size(); ++i)
      ASSERT_EQ(y[i], std::fmod(p[i], q[i])) << p[i] << " by " << q[i];
  }
}

TEST(Math, RoundingKeepsTheSignOfZero) {
  const Tensor x = Tensor::from({-0.0F, -0.25F, -0.75F, 0.25F}, {4});
  for (const auto& run : {floor, ceil, round}) {
    const auto y = run(x).to_vector<float>();
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::signbit(y[i]), i < 3) << i;
  }
}

TEST(Math, ComparisonsTakeANumber) {
  const Tensor x = Tensor::from({1.0F, 2.0F, 3.0F}, {3});
  const auto values = [](const Tensor& t) { return cast(t, DType::i32).to_vector<std::int32_t>(); };
  using I = std::vector<std::int32_t>;
  EXPECT_EQ(values(equal(x, 2)), (I{0, 1, 0}));
  EXPECT_EQ(values(not_equal(x, 2)), (I{1, 0, 1}));
  EXPECT_EQ(values(less(x, 2)), (I{1, 0, 0}));
  EXPECT_EQ(values(less_equal(x, 2)), (I{1, 1, 0}));
  EXPECT_EQ(values(greater(x, 2)), (I{0, 0, 1}));
  EXPECT_EQ(values(greater_equal(x, 2)), (I{0, 1, 1}));
}

TEST(Math, WhatWasNotChosenHasNoGradient) {
  Tensor a = Tensor::from({1.0F, 2.0F}, {2}).set_requires_grad();
  Tensor b = Tensor::from({3.0F}, {1}).set_requires_grad();
  const Tensor condition = greater(Tensor::from({1.0F, -1.0F}, {2}), 0);
  const Tensor y = where(condition, a, b);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1, 3}));
  y.backward(Tensor::from({INFINITY, 5.0F}, {2}));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{INFINITY, 0}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{5}));
}

TEST(Math, HalfPrecisionGoesThroughFloat) {
  const Tensor x = Tensor::from({-1.5F, 4.0F}, {2}).to(DType::bf16);
  EXPECT_EQ(square(x).to(DType::f32).to_vector<float>(), (std::vector<float>{2.25F, 16}));
  EXPECT_EQ(cast(greater(x, 0), DType::i32).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(pow(x, 2.0).dtype(), DType::bf16);
}

TEST(Math, BadInput) {
  ErrorCode code{};
  const Tensor f = Tensor::zeros({2}), i = Tensor::zeros({2}, DType::i32),
               truth = Tensor::zeros({2}, DType::boolean);
  EXPECT_THAT(error_of([&] { abs(truth); }, &code), HasSubstr("abs: expected a number type"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { sin(i); }), HasSubstr("sin: expected a floating type, got i32"));
  EXPECT_THAT(error_of([&] { pow(f, i); }),
              HasSubstr("pow: expected both inputs of one dtype, got f32 and i32"));
  EXPECT_THAT(error_of([&] { minimum(truth, truth); }),
              HasSubstr("minimum: expected a number type, got bool"));
  EXPECT_THAT(error_of([&] { remainder(f, Tensor::zeros({3})); }, &code),
              HasSubstr("mod: expected shapes that broadcast, got [2] and [3]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of([&] { less(truth, truth); }),
              HasSubstr("less: expected a number type, got bool"));
  EXPECT_THAT(
      error_of([&] { equal(Tensor::zeros({2}, DType::i4), Tensor::zeros({2}, DType::i4)); }),
      HasSubstr("equal: expected a number type or bool, got i4"));
  EXPECT_THAT(error_of([&] { less(Tensor(), 1); }), HasSubstr("less: expected a tensor"));
  EXPECT_THAT(error_of([&] { logical_and(f, Tensor::zeros({2}, DType::u4)); }),
              HasSubstr("logical_and: expected bool or a number type, got u4"));
  EXPECT_THAT(error_of([&] { bitwise_or(f, f); }),
              HasSubstr("bitwise_or: expected an integer type or bool, got f32"));
  EXPECT_THAT(error_of([&] { bitwise_not(f); }), HasSubstr("bitwise_not: expected an integer"));
  EXPECT_THAT(error_of([&] { where(f, f, f); }),
              HasSubstr("where: expected a condition of bool, got f32"));
  EXPECT_THAT(error_of([&] { where(truth, f, i); }),
              HasSubstr("where: expected both values of one dtype, got f32 and i32"));
  EXPECT_THAT(
      error_of([&] { where(truth, Tensor::zeros({2}, DType::i4), Tensor::zeros({2}, DType::i4)); }),
      HasSubstr("where: expected an unpacked type, got i4"));
  EXPECT_THAT(error_of([&] { where(Tensor::zeros({3}, DType::boolean), f, f); }),
              HasSubstr("where: expected shapes that broadcast, got [3] and [2]"));
}

}  // namespace
}  // namespace pare::test
