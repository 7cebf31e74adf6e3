// Small products of rows with rows, in AVX2 registers, straight from the operands.
#include "onednn/small_gemm.h"

#include "core/multiversion.h"

#if PARE_X86
#include <immintrin.h>

#include <algorithm>

#define PARE_AVX2 __attribute__((target("avx2,fma")))

namespace pare::onednn {
namespace {

constexpr std::int64_t kLanes = 8;
constexpr std::int64_t kRows = 4;  // of a tile; twelve sums of eight lanes fill the registers
constexpr std::int64_t kColumns = 3;

PARE_AVX2 inline __m256i mask_of(std::int64_t count) {
  alignas(32) static constexpr std::int32_t kMasks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMasks + kLanes - count));
}

PARE_AVX2 inline float sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/// A tile of c = a · bᵀ: both operands run along k.
template <int R, int C>
PARE_AVX2 void dot_tile(std::int64_t k, const float* a, std::int64_t a_stride, const float* b,
                        std::int64_t b_stride, float beta, float* c, std::int64_t c_stride) {
  __m256 acc[R][C];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) acc[r][j] = _mm256_setzero_ps();
  std::int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    __m256 column[C];
    for (int j = 0; j < C; ++j) column[j] = _mm256_loadu_ps(b + j * b_stride + i);
    for (int r = 0; r < R; ++r) {
      const __m256 row = _mm256_loadu_ps(a + r * a_stride + i);
      for (int j = 0; j < C; ++j) acc[r][j] = _mm256_fmadd_ps(row, column[j], acc[r][j]);
    }
  }
  if (i < k) {
    const __m256i mask = mask_of(k - i);
    __m256 column[C];
    for (int j = 0; j < C; ++j) column[j] = _mm256_maskload_ps(b + j * b_stride + i, mask);
    for (int r = 0; r < R; ++r) {
      const __m256 row = _mm256_maskload_ps(a + r * a_stride + i, mask);
      for (int j = 0; j < C; ++j) acc[r][j] = _mm256_fmadd_ps(row, column[j], acc[r][j]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) {
      float& out = c[r * c_stride + j];
      out = sum(acc[r][j]) + (beta != 0 ? out : 0.0F);
    }
}

using Tile = void (*)(std::int64_t, const float*, std::int64_t, const float*, std::int64_t, float,
                      float*, std::int64_t);
constexpr Tile kTiles[kRows][kColumns] = {
    {dot_tile<1, 1>, dot_tile<1, 2>, dot_tile<1, 3>},
    {dot_tile<2, 1>, dot_tile<2, 2>, dot_tile<2, 3>},
    {dot_tile<3, 1>, dot_tile<3, 2>, dot_tile<3, 3>},
    {dot_tile<4, 1>, dot_tile<4, 2>, dot_tile<4, 3>},
};
}  // namespace

bool multiply_small(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
                    float* c, std::int64_t c_stride) {
  if (a.transposed || !b.transposed || m * n > 1024 || (n > 16 && k < 256) || isa_cap() < Isa::avx2)
    return false;
  for (std::int64_t j = 0; j < n; j += kColumns) {
    const std::int64_t columns = std::min(kColumns, n - j);
    for (std::int64_t i = 0; i < m; i += kRows) {
      const std::int64_t rows = std::min(kRows, m - i);
      kTiles[rows - 1][columns - 1](k, a.data + i * a.stride, a.stride, b.data + j * b.stride,
                                    b.stride, beta, c + i * c_stride + j, c_stride);
    }
  }
  return true;
}

}  // namespace pare::onednn

#else

namespace pare::onednn {

bool multiply_small(std::int64_t, std::int64_t, std::int64_t, Matrix, Matrix, float, float*,
                    std::int64_t) {
  return false;
}

}  // namespace pare::onednn

#endif
