// The sums of a convolution of bytes on AVX2: the innermost loop.
#pragma once

#include "core/byte_store.h"

#if PARE_X86
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace pare {

// One block's constants, as the loop reads them.
struct Packed {
  const std::int32_t* offsets;
  const std::int8_t* weights;  // 64 bytes a tap
  const std::int32_t* bias;
  const float* multipliers;
  std::int64_t pairs, singles;
};

PARE_AVX2_INLINE __m256i spread(const std::uint8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}
PARE_AVX2_INLINE __m256i load(const std::int8_t* w) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
}
PARE_AVX2_INLINE __m256i widened(__m256i sums) {
  return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

// Products of two taps' bytes, added in 16 bits, then widened: written as assembly because a
// compiler that schedules freely keeps temporaries in registers and the sums in memory.
PARE_AVX2_INLINE void add_pair(Pair& sum, const std::uint8_t* x0, const std::uint8_t* x1,
                               const Pair& w0, const std::int8_t* w1, __m256i ones) {
  __m256i a, b, t, u;
  asm("vpbroadcastd %[x0], %[a]\n\t"
      "vpbroadcastd %[x1], %[b]\n\t"
      "vpmaddubsw %[w00], %[a], %[t]\n\t"
      "vpmaddubsw %[w01], %[a], %[a]\n\t"
      "vpmaddubsw %[w10], %[b], %[u]\n\t"
      "vpmaddubsw %[w11], %[b], %[b]\n\t"
      "vpaddw %[u], %[t], %[t]\n\t"
      "vpaddw %[b], %[a], %[a]\n\t"
      "vpmaddwd %[ones], %[t], %[t]\n\t"
      "vpmaddwd %[ones], %[a], %[a]\n\t"
      "vpaddd %[t], %[s0], %[s0]\n\t"
      "vpaddd %[a], %[s1], %[s1]"
      : [s0] "+x"(sum.low), [s1] "+x"(sum.high), [a] "=&x"(a), [b] "=&x"(b), [t] "=&x"(t),
        [u] "=&x"(u)
      : [x0] "m"(*reinterpret_cast<const std::uint8_t(*)[4]>(x0)),
        [x1] "m"(*reinterpret_cast<const std::uint8_t(*)[4]>(x1)), [w00] "x"(w0.low),
        [w01] "x"(w0.high), [w10] "m"(*reinterpret_cast<const __m256i*>(w1)),
        [w11] "m"(*reinterpret_cast<const __m256i*>(w1 + 32)), [ones] "x"(ones));
}
PARE_AVX2_INLINE __m256i products(__m256i x, __m256i w, std::int8_t) {
  return widened(_mm256_maddubs_epi16(x, w));
}
PARE_AVX2_INLINE __m256i products(__m256i x, __m256i w, std::int16_t) {
  return _mm256_madd_epi16(x, w);
}
template <class Lane>
PARE_AVX2_INLINE void add_single(Pair& sum, const std::uint8_t* x, const Pair& w) {
  const __m256i a = spread(x);
  sum.low = _mm256_add_epi32(sum.low, products(a, w.low, Lane{}));
  sum.high = _mm256_add_epi32(sum.high, products(a, w.high, Lane{}));
}

// Sums of kPixels pixels, `step` bytes apart, and 16 channels. Source and weights are in Lanes;
// wider ones have no pairs.
template <int kPixels, class Lane>
PARE_AVX2_INLINE void sum_up(const std::uint8_t* x, std::int64_t step, const Packed& p,
                             Pair (&sums)[kPixels]) {
  const Pair bias{_mm256_load_si256(reinterpret_cast<const __m256i*>(p.bias)),
                  _mm256_load_si256(reinterpret_cast<const __m256i*>(p.bias + 8))};
  Pair s0 = bias;
  Pair s1 = bias;
  Pair s2 = bias;
  Pair s3 = bias;
  const __m256i ones = _mm256_set1_epi16(1);
  const std::int64_t step3 = 3 * step;
  const std::int32_t* offset = p.offsets;
  const std::int8_t* w = p.weights;
  for (std::int64_t k = 0; k < p.pairs; ++k, offset += 2, w += 128) {
    const Pair w0{load(w), load(w + 32)};
    const std::uint8_t* a = x + offset[0];
    const std::uint8_t* b = x + offset[1];
    add_pair(s0, a, b, w0, w + 64, ones);
    if constexpr (kPixels > 1) add_pair(s1, a + step, b + step, w0, w + 64, ones);
    if constexpr (kPixels > 2) add_pair(s2, a + 2 * step, b + 2 * step, w0, w + 64, ones);
    if constexpr (kPixels > 3) add_pair(s3, a + step3, b + step3, w0, w + 64, ones);
  }
  for (std::int64_t k = 0; k < p.singles; ++k, ++offset, w += 64) {
    const Pair w0{load(w), load(w + 32)};
    const std::uint8_t* a = x + *offset;
    add_single<Lane>(s0, a, w0);
    if constexpr (kPixels > 1) add_single<Lane>(s1, a + step, w0);
    if constexpr (kPixels > 2) add_single<Lane>(s2, a + 2 * step, w0);
    if constexpr (kPixels > 3) add_single<Lane>(s3, a + step3, w0);
  }
  const Pair all[] = {s0, s1, s2, s3};
  for (int i = 0; i < kPixels; ++i) sums[i] = all[i];
}

}  // namespace pare
#endif
