// The arithmetic of quantization against PyTorch, ONNX Runtime and double-precision loops.
#include <gmock/gmock.h>

#include <limits>

#include "core/golden_quantization.h"
#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/core/ops/observe.h"
#include "pare/core/ops/quantization.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Quantization, GoldenValues) {
  constexpr DType kCodes[] = {DType::u8, DType::i8, DType::u16, DType::i16};
  expect_golden(quantization_golden(), 0.0F, [&](const GoldenCase& c, Tensors& inputs) {
    const OpDef* op = find_op(c.op);
    const std::size_t first = op == &kFakeQuantize ? 3 : 2;
    const std::size_t count = (c.numbers.size() - first) / 2;
    std::vector<float> scales;
    std::vector<std::int32_t> zeros;
    for (std::size_t i = 0; i < count; ++i) {
      scales.push_back(static_cast<float>(c.numbers[first + i]));
      zeros.push_back(static_cast<std::int32_t>(c.numbers[first + count + i]));
    }
    const Shape shape = count == 1 ? Shape{} : Shape{static_cast<std::int64_t>(count)};
    const auto integer = [&](std::size_t i) { return static_cast<std::int64_t>(c.numbers[i]); };
    const DType codes = kCodes[op == &kFakeQuantize ? 0 : integer(0)];
    if (op == &kDequantizeLinear) inputs[0] = inputs[0].to(codes);
    inputs.push_back(Tensor::from(scales, shape));
    inputs.push_back(Tensor::from(zeros, shape));
    if (op == &kFakeQuantize)
      return Call{op, Attributes::of(FakeQuantizeAttributes{integer(0), integer(1), integer(2)})};
    if (op == &kDequantizeLinear) return Call{op, Attributes::of(DequantizeAttributes{integer(1)})};
    return Call{op, Attributes::of(QuantizeAttributes{
                        codes, integer(1), static_cast<std::int64_t>(traits(codes).lowest),
                        static_cast<std::int64_t>(traits(codes).highest)})};
  });
}

/// The definition, in double precision on the quotient that float division gives.
double exact_code(float x, float scale, int zero, double qmin, double qmax) {
  const float quotient = x / scale;
  if (std::isnan(quotient)) return zero;
  return std::fmin(std::fmax(std::nearbyint(static_cast<double>(quotient)) + zero, qmin), qmax);
}

TEST(Quantization, EveryScaleFollowsTheDefinition) {
  Generator g(11);
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const float scale : {0.0173F, 0.1F, 1.0F, 3.0F, 0x1p-23F, 1e-38F, tiny, 1e20F, 3e38F}) {
    std::vector<float> v = g.normal({200}, 0.0F, 60.0F).to_vector<float>();
    for (float& x : v) x *= scale;
    for (int i = -300; i <= 300; ++i) {
      const float tie = (static_cast<float>(i) + 0.5F) * scale;
      v.insert(v.end(), {tie, std::nextafter(tie, 1e38F), std::nextafter(tie, -1e38F)});
    }
    for (const float x : {0.0F, -0.0F, tiny, -tiny, 3e38F, -3e38F, INFINITY, -INFINITY, NAN})
      v.push_back(x);
    const auto count = static_cast<std::int64_t>(v.size());
    Tensor x = Tensor::from(v, {count});
    const Tensor s = Tensor::from({scale}, {});
    for (const auto& [qmin, qmax, zero] :
         {std::tuple{-128, 127, 0}, {0, 255, 113}, {-63, 63, 0}, {0, 255, 0}, {-127, 127, 1}}) {
      const Tensor z = Tensor::scalar(zero, DType::i32);
      const DType codes = qmin < 0 ? DType::i8 : DType::u8;
      const Tensor q = quantize_linear(x, s, z, {codes, -1, qmin, qmax});
      const std::vector<float> found = q.to(DType::f32).to_vector<float>();
      const std::vector<float> back = dequantize_linear(q, s, z).to_vector<float>();
      x.zero_grad();
      x.set_requires_grad();
      const Tensor fake = fake_quantize(x, s, z, {qmin, qmax, -1});
      fake.backward(Tensor::ones({count}));
      const std::vector<float> faked = fake.to_vector<float>();
      const std::vector<float> passed = x.grad().to_vector<float>();
      for (std::size_t i = 0; i < v.size(); ++i) {
        const double code = exact_code(v[i], scale, zero, qmin, qmax);
        const double free = exact_code(v[i], scale, zero, -INFINITY, INFINITY);
        const std::string what = std::to_string(v[i]) + " / " + std::to_string(scale);
        ASSERT_EQ(static_cast<double>(found[i]), code) << what;
        const float value = static_cast<float>(code - zero) * scale;
        ASSERT_EQ(back[i], value) << what;
        if (std::isnan(v[i])) {
          EXPECT_TRUE(std::isnan(faked[i])) << "divergence must show";
          continue;
        }
        ASSERT_EQ(faked[i], value) << what;
        ASSERT_EQ(passed[i], free >= qmin && free <= qmax ? 1.0F : 0.0F) << what;
      }
    }
  }
}

TEST(Quantization, WideCodesSaturate) {
  const Tensor x = Tensor::from({1e9F, -1e9F, 3.5F, 2.5F, 1e38F, -INFINITY, NAN}, {7});
  const QuantizeAttributes i32{DType::i32, -1, INT32_MIN, INT32_MAX};
  const Tensor zero = Tensor::scalar(0, DType::i32);
  EXPECT_EQ(quantize_linear(x, Tensor::scalar(1), zero, i32).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{1000000000, -1000000000, 4, 2, INT32_MAX, INT32_MIN, 0}));
  // (q − z) leaves the range of 32 bits.
  const Tensor q = Tensor::from(std::vector<std::int32_t>{INT32_MAX, INT32_MIN}, {2});
  const Tensor z = Tensor::scalar(-5, DType::i32);
  EXPECT_EQ(dequantize_linear(q, Tensor::scalar(2), z).to_vector<float>(),
            (std::vector<float>{4294967296.0F, -4294967296.0F}));
}

TEST(Quantization, RefusesScalesThatDivideByNothing) {
  const Tensor x = Tensor::ones({2});
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0F, -1.0F, kNan, kInfinity}) {
    const Tensor scale = Tensor::from({1, bad}, {2});
    const Tensor zero = Tensor::zeros({2}, DType::i32);
    FakeQuantizeAttributes fake;
    fake.axis = 0;
    EXPECT_ERROR(fake_quantize(x, scale, zero, fake), invalid_argument, "fake_quantize",
                 "(number 1)");
    QuantizeAttributes linear;
    linear.axis = 0;
    EXPECT_ERROR(quantize_linear(x, scale, zero, linear), invalid_argument, "quantize_linear",
                 "(number 1)");
  }
}

TEST(Observe, RefusesDamagedHistograms) {
  const Tensor x = Tensor::from({-0.9F, 1}, {2});
  const Tensor counts = Tensor::zeros({64}, DType::i64);
  counts.impl()->storage->data[8 * 63] = std::byte{5};
  // Bin 63 lies beyond the range that is said to have been seen, and beyond the bins of what is
  // now.
  EXPECT_ERROR(observe_histogram(x, counts, Tensor::from({0, 1}, {2})), corrupt_data,
               "observe_histogram", "in bin 63 of 64");
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_ERROR(observe_histogram(x, counts, Tensor::from({0, kInfinity}, {2})), corrupt_data,
               "finite range");
}

TEST(Quantization, BadInput) {
  const Tensor x = Tensor::zeros({2, 3});
  const Tensor scale = Tensor::scalar(1);
  const Tensor zero = Tensor::scalar(0, DType::i32);
  ErrorCode code{};
  EXPECT_THAT(
      error_of(
          [&] {
            fake_quantize(x, Tensor::ones({2}), zero, {0, 255, 1});
          },
          &code),
      HasSubstr("fake_quantize: expected a scale for each index of axis 1 of [2, 3], got [2]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of(
                  [&] {
                    fake_quantize(x, Tensor::ones({3}), zero, {0, 255, 2});
                  },
                  &code),
              HasSubstr("fake_quantize"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { fake_quantize(x, scale, Tensor::scalar(0), {}); }, &code),
              HasSubstr("expected a zero point of i32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] {
                fake_quantize(x, scale, zero, {5, 5, -1});
              }),
              HasSubstr("expected qmin < qmax"));
  EXPECT_THAT(error_of([&] {
                quantize_linear(x, scale, zero, {DType::i8, -1, 0, 255});
              }),
              HasSubstr("expected qmin ≤ qmax that i8 holds, got 0 and 255"));
  EXPECT_THAT(error_of([&] {
                quantize_linear(x, scale, zero, {DType::f32, -1, 0, 255});
              }),
              HasSubstr("expected codes of i8, u8, i16, u16 or i32"));
  EXPECT_THAT(error_of([&] { dequantize_linear(x, scale, zero); }),
              HasSubstr("dequantize_linear: expected codes"));
  EXPECT_THAT(error_of([&] { quantize_linear(x.to(DType::f64), scale, zero, {}); }),
              HasSubstr("quantize_linear: expected f32, got f64"));
}

}  // namespace
}  // namespace pare::test
