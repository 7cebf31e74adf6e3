// Products of rows of u8 codes with packed weights of 8 bits, exact in 32 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/row_codes.h"
#include "pare/core/tensor.h"

namespace pare {

/// What becomes of the products: + bias, + what y held, clipped.
struct ByteProductEpilogue {
  bool accumulate = false;  ///< y holds another summand
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

/// y[r, n] = clip(float(Σ_k (x[r, k] − zero_r) · w[n, k]) · (scale_r · scale_n) + bias[n] + y[r,
/// n]) The sum is exact; then every operation rounds once, in this order, whichever instructions do
/// it. They are vpdpbusd where the CPU has it (AVX512_VNNI, AVX-VNNI); else on AVX2 vpmaddubsw, for
/// weights that cannot saturate it (those within ±64 never do), or products in 16 bits.
///
///   ByteProduct product(weight, scales, bias);              // packs nothing yet
///   std::byte* constants = …;                               // constant_bytes(), 64-byte aligned
///   product.fill(constants);                                // packs, drops the weights
///   quantize_rows(x, rows, product.inner(), codes, row_codes);
///   product.run(constants, rows, codes, row_codes, y, product.columns());
class ByteProduct {
 public:
  /// So long rows fit 32 bits whatever is in them.
  static constexpr std::int64_t kMostInner =
      std::numeric_limits<std::int32_t>::max() / (std::int64_t{255} * 128);

  /// weight i8 [columns, inner], inner from 1 to kMostInner; one scale or one per column; bias f32
  /// [columns] or undefined.
  ByteProduct(const Tensor& weight, const std::vector<float>& scales, const Tensor& bias = {});
  std::int64_t inner() const { return inner_; }
  std::int64_t columns() const { return columns_; }
  /// Of the loop that is used.
  const char* name() const;
  std::size_t constant_bytes() const;
  void fill(std::byte* constants);
  /// The weights again, out of what fill wrote.
  Tensor weight(const std::byte* constants) const;
  /// codes [rows, inner], dense; y's rows are y_stride apart. In max_threads() threads.
  void run(const std::byte* constants, std::int64_t rows, const std::uint8_t* codes,
           const RowCode* row_codes, float* y, std::int64_t y_stride,
           const ByteProductEpilogue& epilogue = {}) const;

 private:
  std::int64_t inner_, columns_;
  bool pairs_;  // vpmaddubsw does not saturate
  Tensor weight_, bias_;
  std::vector<float> scales_;
};

}  // namespace pare
