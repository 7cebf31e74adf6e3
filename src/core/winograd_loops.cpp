// The loops of F(2x2, 3x3) on AVX2, eight channels at a time.
#include "core/winograd_loops.h"

#if PARE_X86
#include <immintrin.h>

namespace pare::winograd {
namespace {

constexpr std::int64_t kVector = 8;

// [a b c d] Bᵀ = [a - c, b + c, c - b, b - d]
PARE_AVX2_INLINE void times_b(__m256 (&v)[16], int at, int step) {
  const __m256 a = v[at], b = v[at + step], c = v[at + 2 * step], d = v[at + 3 * step];
  v[at] = _mm256_sub_ps(a, c);
  v[at + step] = _mm256_add_ps(b, c);
  v[at + 2 * step] = _mm256_sub_ps(c, b);
  v[at + 3 * step] = _mm256_sub_ps(b, d);
}

// [a b c d] A = [a + b + c, b - c - d]
PARE_AVX2_INLINE __m256 first_of_a(__m256 a, __m256 b, __m256 c) {
  return _mm256_add_ps(_mm256_add_ps(a, b), c);
}
PARE_AVX2_INLINE __m256 second_of_a(__m256 b, __m256 c, __m256 d) {
  return _mm256_sub_ps(_mm256_sub_ps(b, c), d);
}

}  // namespace

PARE_AVX2 void transform_tiles(const Pictures& p, const float* x, std::int64_t first,
                               std::int64_t tiles, const float* zeros, float* to) {
  const std::int64_t stride = kRows * p.channels;
  Place place = place_of(first, p);
  for (std::int64_t t = 0; t < tiles; ++t, place.next(p)) {
    const Pixels<4, float> from(p, x, place, zeros);
    float* out = to + offset_of(t, p.channels);
    for (std::int64_t c = 0; c < p.channels; c += kVector) {
      __m256 v[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) v[i] = _mm256_loadu_ps(from.at[i] + c);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) times_b(v, i, 4);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) times_b(v, 4 * i, 1);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) _mm256_storeu_ps(out + i * stride + c, v[i]);
    }
  }
}

PARE_AVX2 void transform_gradients(const Pictures& p, const float* dy, std::int64_t first,
                                   std::int64_t tiles, const float* zeros, float* to) {
  const std::int64_t stride = kRows * p.channels;
  Place place = place_of(first, p);
  for (std::int64_t t = 0; t < tiles; ++t, place.next(p)) {
    const Pixels<2, float> from(p, dy, place, zeros);
    for (std::int64_t c = 0; c < p.channels; c += kVector) {
      const __m256 a = _mm256_loadu_ps(from.at[0] + c), b = _mm256_loadu_ps(from.at[1] + c);
      const __m256 d = _mm256_loadu_ps(from.at[2] + c), e = _mm256_loadu_ps(from.at[3] + c);
      // A = [1 0; 1 1; 1 -1; 0 -1]: the rows first, then the columns.
      const __m256 left[4] = {a, _mm256_add_ps(a, d), _mm256_sub_ps(a, d),
                              _mm256_sub_ps(_mm256_setzero_ps(), d)};
      const __m256 right[4] = {b, _mm256_add_ps(b, e), _mm256_sub_ps(b, e),
                               _mm256_sub_ps(_mm256_setzero_ps(), e)};
      float* out = to + offset_of(t, p.channels) + c;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps(out + (4 * i) * stride, left[i]);
        _mm256_storeu_ps(out + (4 * i + 1) * stride, _mm256_add_ps(left[i], right[i]));
        _mm256_storeu_ps(out + (4 * i + 2) * stride, _mm256_sub_ps(left[i], right[i]));
        _mm256_storeu_ps(out + (4 * i + 3) * stride, _mm256_sub_ps(_mm256_setzero_ps(), right[i]));
      }
    }
  }
}

PARE_AVX2 void transform_results(const Pictures& p, const float* from, const Epilogue& epilogue,
                                 std::int64_t first, std::int64_t tiles, float* y) {
  const std::int64_t stride = kRows * p.channels;
  const __m256 least = _mm256_set1_ps(epilogue.low);
  const __m256 most = _mm256_set1_ps(epilogue.high);
  Place at = place_of(first, p);
  for (std::int64_t t = 0; t < tiles; ++t, at.next(p)) {
    const bool right = at.tx * 2 + 1 < p.width;
    const bool below = at.ty * 2 + 1 < p.height;
    const float* in = from + offset_of(t, p.channels);
    float* to = y + ((at.picture * p.height + at.ty * 2) * p.width + at.tx * 2) * p.channels;
    for (std::int64_t c = 0; c < p.channels; c += kVector) {
      __m256 v[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) v[i] = _mm256_loadu_ps(in + i * stride + c);
      __m256 upper[4];
      __m256 lower[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        upper[j] = first_of_a(v[j], v[4 + j], v[8 + j]);
        lower[j] = second_of_a(v[4 + j], v[8 + j], v[12 + j]);
      }
      const __m256 b = epilogue.bias ? _mm256_loadu_ps(epilogue.bias + c) : _mm256_setzero_ps();
      const auto store = [&](float* out, __m256 value) PARE_AVX2 {
        value = _mm256_add_ps(value, b);
        if (epilogue.residual) value = _mm256_add_ps(value, _mm256_loadu_ps(out + c));
        // The second operand is what comes of a NaN, which so passes.
        _mm256_storeu_ps(out + c, _mm256_min_ps(most, _mm256_max_ps(least, value)));
      };
      store(to, first_of_a(upper[0], upper[1], upper[2]));
      if (right) store(to + p.channels, second_of_a(upper[1], upper[2], upper[3]));
      if (!below) continue;
      float* next = to + p.width * p.channels;
      store(next, first_of_a(lower[0], lower[1], lower[2]));
      if (right) store(next + p.channels, second_of_a(lower[1], lower[2], lower[3]));
    }
  }
}

PARE_AVX2 void product(const float* a, const float* b, float* to, std::int64_t groups,
                       std::int64_t inner, std::int64_t outputs) {
  for (std::int64_t o = 0; o < outputs; o += kColumns) {
    const float* panel = b + o * inner;
    for (std::int64_t g = 0; g < groups; ++g) {
      __m256 low[kRows], high[kRows];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) low[i] = high[i] = _mm256_setzero_ps();
      const float* in = a + g * kElements * kRows * inner;
      for (std::int64_t k = 0; k < inner; ++k) {
        const __m256 b0 = _mm256_load_ps(panel + k * kColumns);
        const __m256 b1 = _mm256_load_ps(panel + k * kColumns + kVector);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i) {
          const __m256 value = _mm256_broadcast_ss(in + i * inner + k);
          low[i] = _mm256_fmadd_ps(value, b0, low[i]);
          high[i] = _mm256_fmadd_ps(value, b1, high[i]);
        }
      }
      float* out = to + g * kElements * kRows * outputs + o;
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        _mm256_storeu_ps(out + i * outputs, low[i]);
        _mm256_storeu_ps(out + i * outputs + kVector, high[i]);
      }
    }
  }
}

PARE_AVX2 void add_transposed_product(const float* a, const float* b, float* to,
                                      std::int64_t groups, std::int64_t channels,
                                      std::int64_t outputs) {
  constexpr int kChannels = 4;
  for (std::int64_t c = 0; c < channels; c += kChannels)
    for (std::int64_t o = 0; o < outputs; o += kColumns) {
      __m256 low[kChannels], high[kChannels];
      float* out = to + c * outputs + o;
#pragma GCC unroll 4
      for (int i = 0; i < kChannels; ++i) {
        low[i] = _mm256_loadu_ps(out + i * outputs);
        high[i] = _mm256_loadu_ps(out + i * outputs + kVector);
      }
      for (std::int64_t g = 0; g < groups; ++g) {
        const float* left = a + g * kElements * kRows * channels + c;
        const float* right = b + g * kElements * kRows * outputs + o;
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
          const __m256 b0 = _mm256_loadu_ps(right + r * outputs);
          const __m256 b1 = _mm256_loadu_ps(right + r * outputs + kVector);
#pragma GCC unroll 4
          for (int i = 0; i < kChannels; ++i) {
            const __m256 value = _mm256_broadcast_ss(left + r * channels + i);
            low[i] = _mm256_fmadd_ps(value, b0, low[i]);
            high[i] = _mm256_fmadd_ps(value, b1, high[i]);
          }
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kChannels; ++i) {
        _mm256_storeu_ps(out + i * outputs, low[i]);
        _mm256_storeu_ps(out + i * outputs + kVector, high[i]);
      }
    }
}

}  // namespace pare::winograd

#endif
