// Products of quantized rows with packed bytes: exact against loops in 64 bits, at every edge of
// the tiles; and the codes of rows against ONNX's formulas in double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/byte_product.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Product {
  std::int64_t rows, columns, inner;
};

// Codes of both signs up to `most`, and at the bounds in whole rows: there 16 bits would saturate.
Tensor weight_of(const Product& p, int most, Generator& generator) {
  Tensor w = Tensor::empty({p.columns, p.inner}, DType::i8);
  auto* codes = w.mutable_data<std::int8_t>();
  const Tensor draws = generator.uniform({p.columns, p.inner}, -most - 0.5, most + 0.5);
  for (std::int64_t i = 0; i < w.elements(); ++i) {
    const auto row = i / p.inner;
    const auto drawn = static_cast<int>(std::lround(draws.data<float>()[i]));
    codes[i] = static_cast<std::int8_t>(row % 5 == 1   ? -most
                                        : row % 5 == 2 ? most
                                                       : std::max(-most, std::min(most, drawn)));
  }
  return w;
}

void expect_exact(const Product& p, int most, const ByteProductEpilogue& epilogue) {
  SCOPED_TRACE(std::to_string(p.rows) + " x " + std::to_string(p.columns) + " x " +
               std::to_string(p.inner) + ", codes to " + std::to_string(most));
  Generator generator(7);
  const Tensor weight = weight_of(p, most, generator);
  const Tensor bias = generator.normal({p.columns});
  std::vector<float> scales;
  for (std::int64_t n = 0; n < p.columns; ++n) scales.push_back(0.01F + 0.003F * float(n % 7));
  std::vector<std::uint8_t> codes;
  std::vector<RowCode> rows;
  const Tensor draws = generator.uniform({p.rows, p.inner}, 0, 256);
  for (std::int64_t i = 0; i < draws.elements(); ++i)
    codes.push_back(i / p.inner % 4 == 3 ? 255 : static_cast<std::uint8_t>(draws.data<float>()[i]));
  for (std::int64_t r = 0; r < p.rows; ++r)
    rows.push_back({0.5F / float(r + 1), static_cast<std::int32_t>(r * 37 % 256)});

  const std::int64_t stride = p.columns + 3;
  const Tensor start = generator.normal({p.rows, stride});
  Tensor y = start.clone();
  ByteProduct product(weight, scales, bias);
  const Tensor memory =
      Tensor::empty({static_cast<std::int64_t>(product.constant_bytes())}, DType::u8);
  auto* constants = static_cast<std::byte*>(const_cast<void*>(memory.raw()));
  product.fill(constants);
  product.run(constants, p.rows, codes.data(), rows.data(), y.mutable_data<float>(), stride,
              epilogue);
  EXPECT_EQ(product.weight(constants).to_vector<std::int8_t>(), weight.to_vector<std::int8_t>());

  const auto* w = weight.data<std::int8_t>();
  for (std::int64_t r = 0; r < p.rows; ++r)
    for (std::int64_t n = 0; n < stride; ++n) {
      const float found = y.data<float>()[r * stride + n];
      const float before = start.data<float>()[r * stride + n];
      if (n >= p.columns) {
        ASSERT_EQ(found, before) << r << ", " << n;
        continue;
      }
      const auto at = static_cast<std::size_t>(r);
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < p.inner; ++k)
        sum +=
            std::int64_t{codes[static_cast<std::size_t>(r * p.inner + k)] - rows[at].zero_point} *
            w[n * p.inner + k];
      float v = static_cast<float>(sum) * (rows[at].scale * scales[static_cast<std::size_t>(n)]);
      v = v + bias.data<float>()[n];
      if (epilogue.accumulate) v = v + before;
      ASSERT_EQ(found, std::min(epilogue.high, std::max(epilogue.low, v))) << r << ", " << n;
    }
}

TEST(ByteProduct, EqualsLoops) {
  for (const int threads : {1, 2}) {
    ContextScope scope;
    scope->threads = threads;
    for (const Product& p :
         {Product{1, 1, 1}, Product{1, 16, 4}, Product{1, 70, 33}, Product{2, 64, 128},
          Product{5, 15, 3}, Product{6, 64, 64}, Product{7, 17, 255}, Product{13, 81, 20},
          Product{1, 300, 130}, Product{25, 130, 70}, Product{64, 96, 48}})
      for (const int most : {63, 127, 128}) {
        expect_exact(p, most == 128 ? 127 : most, {});
        expect_exact(p, most == 128 ? 127 : most,
                     {.accumulate = true, .low = -1.5F, .high = 40.25F});
      }
  }
}

// −128 is a code too, and the longest rows still fit.
TEST(ByteProduct, LongestRowsOfTheLargestCodes) {
  const std::int64_t inner = ByteProduct::kMostInner;
  Tensor weight = Tensor::full({2, inner}, -128, DType::i8);
  weight.mutable_data<std::int8_t>()[inner] = 127;
  ByteProduct product(weight, {1.0F});
  const Tensor memory =
      Tensor::empty({static_cast<std::int64_t>(product.constant_bytes())}, DType::u8);
  auto* constants = static_cast<std::byte*>(const_cast<void*>(memory.raw()));
  product.fill(constants);
  const std::vector<std::uint8_t> codes(static_cast<std::size_t>(2 * inner), 255);
  const RowCode rows[] = {{1, 0}, {1, 255}};
  float y[4] = {};
  product.run(constants, 2, codes.data(), rows, y, 2);
  EXPECT_EQ(y[0], static_cast<float>(-std::int64_t{255} * 128 * inner));
  EXPECT_EQ(y[1], static_cast<float>(-std::int64_t{255} * 128 * inner + 255 * 255));
  EXPECT_EQ(y[2], 0);
  EXPECT_EQ(y[3], 0);
}

// ONNX's formulas in single precision where it rounds, the rounding itself in double.
void expect_codes(const std::vector<float>& row) {
  RowCode by;
  std::vector<std::uint8_t> codes(row.size());
  quantize_rows(row.data(), 1, static_cast<std::int64_t>(row.size()), codes.data(), &by);
  float low = 0;
  float high = 0;
  for (const float v : row) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const float scale = (high - low) == 0 ? 1.0F : (high - low) / 255.0F;
  const double zero = std::nearbyint(std::min(255.0, std::max(0.0, double(-low / scale))));
  EXPECT_EQ(by.scale, scale);
  EXPECT_EQ(by.zero_point, static_cast<int>(zero));
  for (std::size_t i = 0; i < row.size(); ++i)
    ASSERT_EQ(codes[i], std::min(255.0, std::max(0.0, std::nearbyint(row[i] / scale) + zero)))
        << i << ": " << row[i];
}

TEST(RowCodes, AreOnnxDynamicQuantizeLinear) {
  Generator generator(3);
  for (const std::int64_t count : {1, 3, 31, 32, 33, 500})
    for (const double shift : {0.0, 5.0, -5.0})
      expect_codes((generator.normal({count}) + shift).to_vector<float>());
  expect_codes({0, 0, 0});
  expect_codes({-0.5F, 0.5F, 1.5F, 254.5F, -0.25F});
  expect_codes({0, 2, -3, -2.5F, 1.34F, 0.5F});  // ONNX's own example: 0.0196, 153
  expect_codes({1e-30F, -3e-30F, 2e30F});
  RowCode by = row_code(-3, 2);
  EXPECT_FLOAT_EQ(by.scale, 0.01960784F);
  EXPECT_EQ(by.zero_point, 153);
  by = row_code(0, 1e-45F);  // a range that 255 parts of are 0
  EXPECT_EQ(by.scale, 1);
}

TEST(RowCodes, ARowThatIsNotFiniteHasNoScale) {
  for (const float bad : {std::nanf(""), kInfinity, -kInfinity, 3e38F})
    for (const std::size_t at : {0, 31, 40}) {
      std::vector<float> x(3 * 41, 1.5F);
      if (bad == 3e38F) x[41] = -3e38F;  // their difference is beyond float
      x[41 + at] = bad;
      if (bad == 3e38F && at == 0) continue;
      std::vector<std::uint8_t> codes(x.size());
      RowCode rows[3];
      quantize_rows(x.data(), 3, 41, codes.data(), rows);
      EXPECT_TRUE(std::isnan(rows[1].scale)) << bad << " at " << at;
      EXPECT_EQ(rows[1].zero_point, 0);
      EXPECT_EQ(codes[41], 0);
      EXPECT_EQ(rows[0].scale, 1.5F / 255);
      EXPECT_EQ(rows[2].scale, 1.5F / 255);
      EXPECT_EQ(codes[2 * 41], 255);
    }
}

// Such rows give NaN, through bounds and bias too; their neighbours do not.
TEST(ByteProduct, NaNStays) {
  const Tensor weight = Tensor::full({20, 8}, 3, DType::i8);
  ByteProduct product(weight, {0.5F}, Tensor::zeros({20}));
  const Tensor memory =
      Tensor::empty({static_cast<std::int64_t>(product.constant_bytes())}, DType::u8);
  auto* constants = static_cast<std::byte*>(const_cast<void*>(memory.raw()));
  product.fill(constants);
  const std::vector<std::uint8_t> codes(24, 2);
  const RowCode rows[] = {{1, 0}, {std::nanf(""), 0}, {1, 0}};
  std::vector<float> y(60);
  product.run(constants, 3, codes.data(), rows, y.data(), 20, {.low = 0, .high = 6});
  for (int n = 0; n < 20; ++n) {
    EXPECT_EQ(y[static_cast<std::size_t>(n)], 6);
    EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(20 + n)]));
    EXPECT_EQ(y[static_cast<std::size_t>(40 + n)], 6);
  }
}

}  // namespace
}  // namespace pare
