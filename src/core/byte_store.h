// What becomes of the sums of a convolution of bytes on AVX2: 16 channels of one pixel.
#pragma once

#include "core/byte_convolution.h"
#include "core/byte_taps.h"
#include "core/multiversion.h"

#if PARE_X86
#include <immintrin.h>

namespace pare {

// Sums of 16 channels, in the order of channel_at.
struct Pair {
  __m256i low, high;
};

// What a row's epilogue has to do, known beforehand.
template <bool kResidual, bool kClip> struct Mode {
  static constexpr bool residual = kResidual;
  static constexpr bool clip = kClip;
};

struct Values {
  __m256 low, high;
};

// Numbers as they follow in memory, in the order of the sums (channel_at), and back.
PARE_AVX2_INLINE Values crossed(__m256 first, __m256 second) {
  return {_mm256_permute2f128_ps(first, second, 0x20), _mm256_permute2f128_ps(first, second, 0x31)};
}

PARE_AVX2_INLINE Values residual_at(const void* at, const ByteEpilogue& e) {
  if (e.destination == DType::f32) {
    const auto* floats = static_cast<const float*>(at);
    return crossed(_mm256_loadu_ps(floats), _mm256_loadu_ps(floats + 8));
  }
  const __m128i bytes = _mm_shuffle_epi32(_mm_loadu_si128(static_cast<const __m128i*>(at)), 0xD8);
  const __m128i rest = _mm_srli_si128(bytes, 8);
  const bool is_u8 = e.residual_dtype == DType::u8;
  const __m256i low = is_u8 ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes);
  const __m256i high = is_u8 ? _mm256_cvtepu8_epi32(rest) : _mm256_cvtepi8_epi32(rest);
  const __m256 zero = _mm256_set1_ps(e.residual_zero);
  return {_mm256_sub_ps(_mm256_cvtepi32_ps(low), zero),
          _mm256_sub_ps(_mm256_cvtepi32_ps(high), zero)};
}

// 16 values of one pixel.
template <class M>
PARE_AVX2_INLINE void store(const Pair& sum, const float* multipliers, void* at,
                            const ByteEpilogue& e) {
  __m256 low = _mm256_mul_ps(_mm256_cvtepi32_ps(sum.low), _mm256_load_ps(multipliers));
  __m256 high = _mm256_mul_ps(_mm256_cvtepi32_ps(sum.high), _mm256_load_ps(multipliers + 8));
  if constexpr (M::residual) {
    const Values residual = residual_at(at, e);
    low = _mm256_fmadd_ps(residual.low, _mm256_set1_ps(e.residual_scale), low);
    high = _mm256_fmadd_ps(residual.high, _mm256_set1_ps(e.residual_scale), high);
  }
  if constexpr (M::clip) {
    low = _mm256_min_ps(_mm256_max_ps(low, _mm256_set1_ps(e.low)), _mm256_set1_ps(e.high));
    high = _mm256_min_ps(_mm256_max_ps(high, _mm256_set1_ps(e.low)), _mm256_set1_ps(e.high));
  }
  if (e.destination == DType::f32) {
    const Values y = crossed(low, high);
    _mm256_storeu_ps(static_cast<float*>(at), y.low);
    _mm256_storeu_ps(static_cast<float*>(at) + 8, y.high);
    return;
  }
  const __m256i zero = _mm256_set1_epi32(e.zero_point);
  const __m256i words = _mm256_packs_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(low), zero),
                                           _mm256_add_epi32(_mm256_cvtps_epi32(high), zero));
  const __m128i first = _mm256_castsi256_si128(words);
  const __m128i second = _mm256_extracti128_si256(words, 1);
  const __m128i bytes =
      e.destination == DType::u8 ? _mm_packus_epi16(first, second) : _mm_packs_epi16(first, second);
  _mm_storeu_si128(static_cast<__m128i*>(at), bytes);
}

}  // namespace pare
#endif
