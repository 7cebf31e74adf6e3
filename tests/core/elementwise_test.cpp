// Elementwise ops against PyTorch, double-precision loops and bad input.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/golden_elementwise.h"
#include "pare/core/ops/elementwise.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Elementwise, GoldenValues) {
  expect_golden(elementwise_golden(), 1e-6F, [](const GoldenCase& c, Tensors&) {
    Call call{find_op(c.op), {}};
    if (call.op == &kClamp)
      call.attributes = Attributes::of(ClampAttributes{c.numbers[0], c.numbers[1]});
    return call;
  });
}

/// The largest error of op against a function of doubles, in units in the last place.
template <class F> double worst_ulp(const OpDef& op, float from, float to, F exact) {
  constexpr int kCount = 200003;
  std::vector<float> x;
  for (int i = 0; i < kCount; ++i)
    x.push_back(from + (to - from) * static_cast<float>(i) / static_cast<float>(kCount - 1));
  const Tensor in = Tensor::from(x, {kCount});
  const Tensor result = pare::apply({&op, {}}, {&in, 1});
  const std::vector<float> y = result.to_vector<float>();
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = exact(static_cast<double>(x[i]));
    const auto nearest = std::abs(static_cast<float>(e));
    const double ulp =
        static_cast<double>(std::nextafter(nearest, INFINITY)) - static_cast<double>(nearest);
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - e) / ulp);
  }
  return worst;
}

TEST(Elementwise, TranscendentalFunctionsAreWithinThreeUlp) {
  EXPECT_LT(worst_ulp(kExp, -87.3F, 88.7F, [](double x) { return std::exp(x); }), 2);
  EXPECT_LT(worst_ulp(kExp, -1.0F, 1.0F, [](double x) { return std::exp(x); }), 2);
  EXPECT_LT(worst_ulp(kExp, -103.0F, -87.3F, [](double x) { return std::exp(x); }), 2);
  EXPECT_LT(worst_ulp(kLog, 1e-3F, 4.0F, [](double x) { return std::log(x); }), 2);
  EXPECT_LT(worst_ulp(kLog, 1e-44F, 1e-37F, [](double x) { return std::log(x); }), 2);
  EXPECT_LT(worst_ulp(kLog, 1.0F, 3e38F, [](double x) { return std::log(x); }), 2);
  EXPECT_LT(worst_ulp(kTanh, -9.0F, 9.0F, [](double x) { return std::tanh(x); }), 3);
  EXPECT_LT(worst_ulp(kTanh, -1e-3F, 1e-3F, [](double x) { return std::tanh(x); }), 3);
  EXPECT_LT(worst_ulp(kSigmoid, -80.0F, 30.0F, [](double x) { return 1 / (1 + std::exp(-x)); }), 4);
}

TEST(Elementwise, IntegersWrapAndDivideTowardsZero) {
  const auto i8 = [](std::vector<std::int8_t> v) {
    return Tensor::from(v, {static_cast<std::int64_t>(v.size())});
  };
  const Tensor a = i8({127, -128, -7, 100, 5});
  const Tensor b = i8({1, -1, 2, 100, 0});
  EXPECT_EQ(add(a, b).to_vector<std::int8_t>(), (std::vector<std::int8_t>{-128, 127, -5, -56, 5}));
  EXPECT_EQ(sub(b, a).to_vector<std::int8_t>(), (std::vector<std::int8_t>{-126, 127, 9, 0, -5}));
  EXPECT_EQ(mul(a, b).to_vector<std::int8_t>(), (std::vector<std::int8_t>{127, -128, -14, 16, 0}));
  EXPECT_EQ(div(a, b).to_vector<std::int8_t>(), (std::vector<std::int8_t>{127, -128, -3, 1, 0}));
  const Tensor big = Tensor::from(std::vector<std::int64_t>{INT64_MAX, INT64_MIN}, {2});
  const Tensor one = Tensor::from(std::vector<std::int64_t>{1, -1}, {2});
  EXPECT_EQ(add(big, one).to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{INT64_MIN, INT64_MAX}));
  EXPECT_EQ(div(big, one).to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{INT64_MAX, INT64_MIN}));
}

TEST(Elementwise, HalfPrecisionGoesThroughFloat) {
  for (const DType d : {DType::f16, DType::bf16}) {
    Tensor a = Tensor::from({1.5F, -2.0F, 8.0F}, {3}).to(d).set_requires_grad();
    const Tensor b = Tensor::from({0.25F}, {1}).to(d);
    const Tensor y = mul(a, b);
    EXPECT_EQ(y.dtype(), d);
    EXPECT_EQ(y.to(DType::f32).to_vector<float>(), (std::vector<float>{0.375F, -0.5F, 2.0F}));
    relu(y).backward(Tensor::ones({3}, d));
    EXPECT_EQ(a.grad().dtype(), d);
    EXPECT_EQ(a.grad().to(DType::f32).to_vector<float>(), (std::vector<float>{0.25F, 0, 0.25F}));
  }
}

TEST(Elementwise, CastTruncatesAndSaturates) {
  const Tensor x = Tensor::from({-1.9F, 1.9F, 300.0F, -300.0F, NAN, INFINITY, 3e9F}, {7});
  EXPECT_EQ(cast(x, DType::i8).to_vector<std::int8_t>(),
            (std::vector<std::int8_t>{-1, 1, 127, -128, 0, 127, 127}));
  EXPECT_EQ(cast(x, DType::u8).to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{0, 1, 255, 0, 0, 255, 255}));
  EXPECT_EQ(cast(x, DType::i32).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{-1, 1, 300, -300, 0, INT32_MAX, INT32_MAX}));
  EXPECT_EQ(cast(x, DType::i64).to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{-1, 1, 300, -300, 0, INT64_MAX, 3000000000}));
  const Tensor truth = cast(Tensor::from({0.0F, -0.5F, NAN}, {3}), DType::boolean);
  EXPECT_EQ(cast(truth, DType::f32).to_vector<float>(), (std::vector<float>{0, 1, 1}));
}

TEST(Elementwise, HalfConversionsAgreeForEveryCode) {
  std::vector<std::uint16_t> codes;
  for (int i = 0; i < 65536; ++i) codes.push_back(static_cast<std::uint16_t>(i));
  for (const DType d : {DType::f16, DType::bf16}) {
    const Tensor half = Tensor::wrap(codes.data(), {65536}, d, nullptr);
    const Tensor wide = half.to(DType::f32);
    const std::vector<float> values = wide.to_vector<float>();
    const Tensor back = wide.to(d);
    const auto* returned = static_cast<const std::uint16_t*>(back.raw());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const float expected =
          d == DType::f16 ? to_float(Half{codes[i]}) : to_float(BFloat16{codes[i]});
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(values[i])) << i;
        continue;
      }
      ASSERT_EQ(values[i], expected) << i;
      ASSERT_EQ(returned[i], codes[i]);
    }
  }
  // Halfway between neighbours, just beside, and beyond the largest.
  const Tensor ties = Tensor::from({1.0F + 0x1p-11F, 1.0F + 3 * 0x1p-11F, 1.0F + 0x1.1p-11F,
                                    65519.0F, 65520.0F, 0x1p-25F, 0x1.8p-25F, 1e30F},
                                   {8});
  const Tensor f16 = ties.to(DType::f16);
  for (std::int64_t i = 0; i < 8; ++i)
    EXPECT_EQ(static_cast<const std::uint16_t*>(f16.raw())[i], to_half(ties.data<float>()[i]).bits);
}

TEST(Elementwise, FormatsTransposeEveryElementSize) {
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{2, 33, 9, 11}, Shape{1, 16, 8, 8},
                             Shape{3, 7, 2, 3, 5}, Shape{2, 1, 4, 4}, Shape{0, 3, 2, 2}}) {
    for (const DType d : {DType::u8, DType::i16, DType::f32, DType::f64}) {
      Tensor x = Tensor::empty(shape, DType::f32);
      for (std::int64_t i = 0; i < x.elements(); ++i)
        x.mutable_data<float>()[i] = static_cast<float>(i % 251);
      const Tensor row = x.to(d);
      const Tensor last = row.to(MemoryFormat::channels_last);
      ASSERT_TRUE(last.channels_last());
      // Element (n, c, s) lies at (n, s, c).
      const std::vector<float> flat = Tensor::from(x.to_vector<float>(), shape).to_vector<float>();
      EXPECT_EQ(last.to(MemoryFormat::row_major).to(DType::f32).to_vector<float>(), flat);
      if (x.elements() == 0) continue;
      const std::int64_t inside = shape.elements(2, shape.rank());
      const Tensor plain = last.to(DType::f32);
      const std::int64_t n = shape[0] - 1, c = shape[1] - 1, s = inside / 2;
      EXPECT_EQ(plain.data<float>()[(n * inside + s) * shape[1] + c],
                x.data<float>()[(n * shape[1] + c) * inside + s]);
    }
  }
}

TEST(Elementwise, DetachSharesMemoryAndStopsTheGradient) {
  Tensor x = Tensor::from({1.0F, 2.0F}, {2}).set_requires_grad();
  const Tensor y = apply({&kDetach, {}}, detail::Borrowed(x));
  EXPECT_EQ(y.raw(), x.raw());
  EXPECT_FALSE(y.requires_grad());
}

// As PyTorch 2.15.
TEST(Elementwise, ClampPassesTheGradientBetweenItsBounds) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const auto gradient = [](double min, double max) {
    const std::vector<float> values{NAN, -kInf, -1.5F, -1.0F, 0.5F, 2.0F, 2.5F, kInf};
    Tensor x = Tensor::from(values, {8}).set_requires_grad();
    clamp(x, min, max).backward(Tensor::ones({8}));
    return x.grad().to_vector<float>();
  };
  EXPECT_EQ(gradient(-1, 2), (std::vector<float>{0, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(gradient(-1, HUGE_VAL), (std::vector<float>{0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(gradient(-HUGE_VAL, 2), (std::vector<float>{0, 1, 1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(gradient(2, 2), std::vector<float>(8, 0.0F));
}

TEST(Elementwise, NumbersTakeTheTensorsType) {
  const Tensor x = Tensor::from(std::vector<std::int32_t>{4, 9}, {2});
  EXPECT_EQ((x * 2.0 + 1.0).to_vector<std::int32_t>(), (std::vector<std::int32_t>{9, 19}));
  EXPECT_THAT(error_of([] { return Tensor() + 1.0; }), HasSubstr("undefined"));
  const auto u8 = Tensor::from(std::vector<std::uint8_t>{0, 9}, {2});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(error_of([&] { return u8 + -1.0; }),
              HasSubstr("expected a number that u8 holds, got -1"));
  EXPECT_THAT(error_of([&] { return u8 * 256.0; }), HasSubstr("u8 holds, got 256"));
  EXPECT_THAT(error_of([&] { return x * 0.5; }), HasSubstr("i32 holds, got 0.5"));
  EXPECT_THAT(error_of([&] { return x / nan; }), HasSubstr("i32 holds, got nan"));
  const Tensor wide = Tensor::from(std::vector<std::int64_t>{3}, {1});
  EXPECT_THAT(error_of([&] { return wide + 0x1p63; }), HasSubstr("i64 holds, got 9.22"));
  EXPECT_EQ((wide * -0x1p62).to_vector<std::int64_t>()[0], std::int64_t{1} << 62);
  EXPECT_THAT(error_of([&] { return pow(x, 0.5); }), HasSubstr("pow"));
}

// An integer tensor beside any number: what mathematics says.
TEST(Elementwise, ComparisonsWithNumbersThatIntegersLack) {
  using Bools = std::vector<bool>;
  const auto bools = [](const Tensor& t) {
    const Tensor wide = t.to(DType::i32);
    const std::vector<std::int32_t> v = wide.to_vector<std::int32_t>();
    return Bools(v.begin(), v.end());
  };
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr std::int64_t kLow = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kHigh = std::numeric_limits<std::int64_t>::max();
  const auto check = [&](const Tensor& x, const std::vector<double>& values) {
    for (const double b : {2.5, -2.5, -1.0, 256.0, 2.0, 0x1p63, -0x1p64, inf, -inf, nan}) {
      SCOPED_TRACE(b);
      Bools expected[6];
      for (const double a : values) {
        const bool is[6] = {a == b, a != b, a<b, a <= b, a> b, a >= b};
        for (int i = 0; i < 6; ++i) expected[i].push_back(is[i]);
      }
      EXPECT_EQ(bools(equal(x, b)), expected[0]);
      EXPECT_EQ(bools(not_equal(x, b)), expected[1]);
      EXPECT_EQ(bools(less(x, b)), expected[2]);
      EXPECT_EQ(bools(less_equal(x, b)), expected[3]);
      EXPECT_EQ(bools(greater(x, b)), expected[4]);
      EXPECT_EQ(bools(greater_equal(x, b)), expected[5]);
    }
  };
  check(Tensor::from(std::vector<std::uint8_t>{0, 2, 3, 255}, {4}), {0, 2, 3, 255});
  // Just below 2^63, which double has no number for.
  check(Tensor::from(std::vector<std::int64_t>{kLow, -3, 2, 3}, {4}), {-0x1p63, -3, 2, 3});
  EXPECT_EQ(bools(less(Tensor::from(std::vector<std::int64_t>{kHigh}, {1}), 0x1p63)), Bools{true});
  EXPECT_EQ(bools(equal(Tensor::from(std::vector<std::int64_t>{kHigh}, {1}), 0x1p63)),
            Bools{false});
}

TEST(Elementwise, BadInput) {
  ErrorCode code{};
  EXPECT_THAT(error_of(
                  [] {
                    add(Tensor::zeros({2, 3}), Tensor::zeros({2, 4}));
                  },
                  &code),
              HasSubstr("add: expected shapes that broadcast, got [2, 3] and [2, 4]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of([] { mul(Tensor::zeros({2}), Tensor::zeros({2}, DType::i32)); }, &code),
              HasSubstr("mul: expected both inputs of one dtype, got f32 and i32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([] { exp(Tensor::zeros({2}, DType::i32)); }),
              HasSubstr("exp: expected a floating type, got i32"));
  EXPECT_THAT(error_of([] { relu(Tensor::zeros({2}, DType::boolean)); }),
              HasSubstr("relu: expected a number type"));
  EXPECT_THAT(error_of([] { clamp(Tensor::zeros({2}), 2, 1); }), HasSubstr("clamp: expected min"));
  const Call to_last{&kToFormat, Attributes::of(ToFormatAttributes{true})};
  EXPECT_THAT(error_of([&] { apply(to_last, detail::Borrowed(Tensor::zeros({2}))); }),
              HasSubstr("to_format: expected rank 3 to 5"));
}

}  // namespace
}  // namespace pare::test
