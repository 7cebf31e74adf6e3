// Codes of rows, each with the scale and zero point that its own numbers ask for.
#include "core/row_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/multiversion.h"
#include "core/quantize_math.h"
#include "pare/core/parallel.h"

#if PARE_X86
#include <immintrin.h>
#endif

namespace pare {
namespace {

struct Range {
  float low = 0;
  float high = 0;
  bool finite = true;
};

Range find_range_portable(const float* x, std::int64_t count) {
  Range range;
  for (std::int64_t i = 0; i < count; ++i) {
    range.low = x[i] < range.low ? x[i] : range.low;
    range.high = x[i] > range.high ? x[i] : range.high;
    range.finite = range.finite && std::isfinite(x[i]);
  }
  return range;
}

void quantize_portable(const float* x, std::int64_t count, const RowCode& by, std::uint8_t* codes) {
  const auto low = static_cast<float>(-by.zero_point);
  const auto high = static_cast<float>(255 - by.zero_point);
  for (std::int64_t i = 0; i < count; ++i)
    codes[i] = static_cast<std::uint8_t>(quantized(x[i], by.scale, by.zero_point, low, high));
}

#if PARE_X86
constexpr std::int64_t kStep = 32;  // numbers at once: four vectors

// A last piece with zeros behind it, which are in every range.
struct Padded {
  alignas(32) float x[kStep] = {};
  Padded(const float* from, std::int64_t count) {
    std::memcpy(x, from, static_cast<std::size_t>(count) * sizeof(float));
  }
};

struct Ranges {
  __m256 low, high, zeros;
};
// Minima and maxima pass over NaN: 0 · x is NaN where x is not finite, and stays in the sum.
PARE_AVX2_INLINE void widen(Ranges& ranges, const float* x) {
  const __m256 v = _mm256_loadu_ps(x);
  ranges.low = _mm256_min_ps(v, ranges.low);
  ranges.high = _mm256_max_ps(v, ranges.high);
  ranges.zeros = _mm256_fmadd_ps(v, _mm256_setzero_ps(), ranges.zeros);
}

PARE_AVX2 Range find_range_avx2(const float* x, std::int64_t count) {
  const __m256 zero = _mm256_setzero_ps();
  Ranges all[4] = {{zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}};
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) widen(all[j], x + i + j * 8);
  if (i < count) {
    const Padded last(x + i, count - i);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) widen(all[j], last.x + j * 8);
  }
  alignas(32) float lows[8];
  alignas(32) float highs[8];
  alignas(32) float zeros[8];
  _mm256_store_ps(lows, _mm256_min_ps(_mm256_min_ps(all[0].low, all[1].low),
                                      _mm256_min_ps(all[2].low, all[3].low)));
  _mm256_store_ps(highs, _mm256_max_ps(_mm256_max_ps(all[0].high, all[1].high),
                                       _mm256_max_ps(all[2].high, all[3].high)));
  _mm256_store_ps(zeros, _mm256_add_ps(_mm256_add_ps(all[0].zeros, all[1].zeros),
                                       _mm256_add_ps(all[2].zeros, all[3].zeros)));
  Range range;
  for (int j = 0; j < 8; ++j) {
    range.low = std::min(range.low, lows[j]);
    range.high = std::max(range.high, highs[j]);
    range.finite = range.finite && zeros[j] == 0;
  }
  return range;
}

PARE_AVX2_INLINE __m256 rounded(__m256 v) {
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// 32 codes out of whole quotients. They are within ±256, so that saturating to 16 bits changes
// none; to 8 it clamps.
PARE_AVX2_INLINE void store_codes(const __m256 (&whole)[4], __m256i zero, std::uint8_t* codes) {
  __m256i q[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) q[j] = _mm256_add_epi32(_mm256_cvtps_epi32(whole[j]), zero);
  const __m256i bytes =
      _mm256_packus_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  // Packing works in halves: fours of 0, 8, 16, 24, then 4, 12, 20, 28.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_permutevar8x32_epi32(bytes, order));
}

// A product with the scale's inverse is within 3 · 2^-24 of the quotient: where none of 32 comes
// nearer to a tie than that may be, it rounds to the same. Divisions take twice as long.
PARE_AVX2_INLINE void quantize_step(const float* x, __m256 scale, __m256 inverse, __m256i zero,
                                    std::uint8_t* codes) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 whole[4];
  __m256 farthest = _mm256_setzero_ps();
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + j * 8), inverse);
    whole[j] = rounded(v);
    const __m256 rest = _mm256_and_ps(_mm256_sub_ps(v, whole[j]), magnitude);
    farthest = _mm256_max_ps(farthest, rest);
  }
  constexpr float kNearTie = 0.5F - 256 * 0x1p-22F;
  if (_mm256_movemask_ps(_mm256_cmp_ps(farthest, _mm256_set1_ps(kNearTie), _CMP_NLT_UQ)) != 0) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      whole[j] = rounded(_mm256_div_ps(_mm256_loadu_ps(x + j * 8), scale));
  }
  store_codes(whole, zero, codes);
}

PARE_AVX2 void quantize_avx2(const float* x, std::int64_t count, const RowCode& by,
                             std::uint8_t* codes) {
  const __m256 scale = _mm256_set1_ps(by.scale);
  // Of scales below that 1 / scale is infinite, and 0 times it NaN, which divides.
  const __m256 inverse = _mm256_set1_ps(1.0F / by.scale);
  const __m256i zero = _mm256_set1_epi32(by.zero_point);
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep) quantize_step(x + i, scale, inverse, zero, codes + i);
  if (i == count) return;
  const Padded last(x + i, count - i);
  std::uint8_t some[kStep];
  quantize_step(last.x, scale, inverse, zero, some);
  std::memcpy(codes + i, some, static_cast<std::size_t>(count - i));
}
#endif

Range find_range(const float* x, std::int64_t count) {
#if PARE_X86
  if (isa_cap() >= Isa::avx2) return find_range_avx2(x, count);
#endif
  return find_range_portable(x, count);
}

void quantize_codes(const float* x, std::int64_t count, const RowCode& by, std::uint8_t* codes) {
#if PARE_X86
  if (isa_cap() >= Isa::avx2) return quantize_avx2(x, count, by, codes);
#endif
  quantize_portable(x, count, by, codes);
}

}  // namespace

RowCode row_code(float low, float high) {
  const float range = (high - low) / 255.0F;
  const float scale = range > 0 ? range : 1.0F;
  if (!std::isfinite(range)) return {std::numeric_limits<float>::quiet_NaN(), 0};
  // The whole number that std::nearbyint gives in any rounding mode.
  const float zero = std::clamp(-low / scale, 0.0F, 255.0F);
  return {scale, static_cast<std::int32_t>(round_half_even(zero))};
}

RowCode range_code(const float* x, std::int64_t count) {
  const Range range = find_range(x, count);
  if (!range.finite) return {std::numeric_limits<float>::quiet_NaN(), 0};
  return row_code(range.low, range.high);
}

void quantize_row(const float* x, std::int64_t count, const RowCode& by, std::uint8_t* codes) {
  if (std::isnan(by.scale))
    std::memset(codes, 0, static_cast<std::size_t>(count));
  else
    quantize_codes(x, count, by, codes);
}

void quantize_rows(const float* x, std::int64_t rows, std::int64_t columns, std::uint8_t* codes,
                   RowCode* row_codes) {
  constexpr std::int64_t kGrain = 1 << 15;  // elements that are worth a thread
  // Ranges of a few rows, then their codes: what follows from one range does not wait for it.
  constexpr std::int64_t kTogether = 8;
  parallel_for(0, rows, kGrain / std::max<std::int64_t>(1, columns) + 1,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t first = begin; first < end; first += kTogether) {
                   const std::int64_t last = std::min(end, first + kTogether);
                   for (std::int64_t r = first; r < last; ++r)
                     row_codes[r] = range_code(x + r * columns, columns);
                   for (std::int64_t r = first; r < last; ++r)
                     quantize_row(x + r * columns, columns, row_codes[r], codes + r * columns);
                 }
               });
}

}  // namespace pare
