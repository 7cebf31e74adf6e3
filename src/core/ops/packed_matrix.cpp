// Products with a packed matrix, in AVX2's registers.
#include "core/ops/packed_matrix.h"

#include <algorithm>

#include "core/multiversion.h"
#include "pare/core/parallel.h"

#if PARE_X86
#include <immintrin.h>
#endif

namespace pare {
namespace {

constexpr std::int64_t kPanel = 16;      // columns: two registers
constexpr std::int64_t kMostRows = 6;    // of a tile; twelve sums fill the registers
constexpr std::int64_t kBlockRows = 48;  // of a transposed operand: three lines of the cache, whole
constexpr std::int64_t kBlockInner = 256;  // a panel and a tile of them fit the first cache

/// A tile's left operand, and how far apart its rows are where they are dense.
struct Left {
  const float* data;
  std::int64_t row;
};
/// Where a tile's result goes.
struct Result {
  float* data;
  std::int64_t stride;
  std::int64_t width;  // columns of the panel that there are
  bool accumulate;
};

#if PARE_X86
/// kStep 0: the rows are dense, one behind the other; else the elements of a row lie kStep apart,
/// and the rows beside each other.
template <int R, int kStep>
PARE_AVX2 void tile(std::int64_t inner, Left a, const float* panel, const Result& c) {
  __m256 low[R];
  __m256 high[R];
#pragma GCC unroll 6
  for (int i = 0; i < R; ++i) low[i] = high[i] = _mm256_setzero_ps();
  for (std::int64_t k = 0; k < inner; ++k) {
    const __m256 b0 = _mm256_load_ps(panel + k * kPanel);
    const __m256 b1 = _mm256_load_ps(panel + k * kPanel + 8);
#pragma GCC unroll 6
    for (int i = 0; i < R; ++i) {
      const float* at = kStep == 0 ? a.data + i * a.row + k : a.data + k * kStep + i;
      const __m256 value = _mm256_broadcast_ss(at);
      low[i] = _mm256_fmadd_ps(value, b0, low[i]);
      high[i] = _mm256_fmadd_ps(value, b1, high[i]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < R; ++i) {
    float* out = c.data + i * c.stride;
    if (c.width == kPanel) {
      if (c.accumulate) {
        low[i] = _mm256_add_ps(low[i], _mm256_loadu_ps(out));
        high[i] = _mm256_add_ps(high[i], _mm256_loadu_ps(out + 8));
      }
      _mm256_storeu_ps(out, low[i]);
      _mm256_storeu_ps(out + 8, high[i]);
      continue;
    }
    alignas(32) float last[kPanel];
    _mm256_store_ps(last, low[i]);
    _mm256_store_ps(last + 8, high[i]);
    for (std::int64_t j = 0; j < c.width; ++j) out[j] = c.accumulate ? out[j] + last[j] : last[j];
  }
}

using Tile = void (*)(std::int64_t, Left, const float*, const Result&);
template <int kStep>
constexpr Tile kTiles[kMostRows] = {tile<1, kStep>, tile<2, kStep>, tile<3, kStep>,
                                    tile<4, kStep>, tile<5, kStep>, tile<6, kStep>};

/// A tile of `rows` rows. Step: 0 or kMostRows.
template <int kStep>
void run_tile(std::int64_t rows, std::int64_t inner, Left a, const float* panel, const Result& c) {
  kTiles<kStep>[rows - 1](inner, a, panel, c);
}
#else
template <int kStep>
void run_tile(std::int64_t rows, std::int64_t inner, Left a, const float* panel, const Result& c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    float sums[kPanel] = {};
    for (std::int64_t k = 0; k < inner; ++k) {
      const float value = kStep == 0 ? a.data[i * a.row + k] : a.data[k * kStep + i];
      for (std::int64_t j = 0; j < kPanel; ++j) sums[j] += value * panel[k * kPanel + j];
    }
    float* out = c.data + i * c.stride;
    for (std::int64_t j = 0; j < c.width; ++j) out[j] = c.accumulate ? out[j] + sums[j] : sums[j];
  }
}
#endif

/// Columns [0, width) of a [inner, …] as tiles [inner][kMostRows], one behind the other.
void pack_columns(const float* a, std::int64_t stride, std::int64_t inner, std::int64_t width,
                  float* to) {
  const std::int64_t whole = width - width % kMostRows;
  for (std::int64_t k = 0; k < inner; ++k) {
    const float* __restrict from = a + k * stride;
    float* __restrict out = to + k * kMostRows;
    for (std::int64_t i = 0; i < whole; i += kMostRows, out += inner * kMostRows)
      for (std::int64_t r = 0; r < kMostRows; ++r) out[r] = from[i + r];
    for (std::int64_t i = whole; i < width; ++i) out[i - whole] = from[i];
  }
}

}  // namespace

bool PackedMatrix::available() {
  return PARE_X86 && isa_cap() >= Isa::avx2 && isa_cap() < Isa::avx512;
}

PackedMatrix::PackedMatrix(MatrixView b, std::int64_t inner, std::int64_t columns)
    : inner_(inner), columns_(columns) {
  const std::int64_t panels = (columns + kPanel - 1) / kPanel;
  panels_ = Tensor::empty({panels, inner, kPanel});
  float* to = panels_.mutable_data<float>();
  for (std::int64_t p = 0; p < panels; ++p) {
    const std::int64_t width = std::min(kPanel, columns - p * kPanel);
    float* panel = to + p * inner * kPanel;
    if (width < kPanel) std::fill_n(panel, inner * kPanel, 0.0F);
    if (b.transposed) {
      for (std::int64_t j = 0; j < width; ++j) {
        const float* from = b.data + (p * kPanel + j) * b.stride;
        for (std::int64_t k = 0; k < inner; ++k) panel[k * kPanel + j] = from[k];
      }
    } else {
      for (std::int64_t k = 0; k < inner; ++k)
        std::copy_n(b.data + k * b.stride + p * kPanel, width, panel + k * kPanel);
    }
  }
}

void PackedMatrix::multiply(std::int64_t rows, const float* a, float* c, bool accumulate) const {
  const float* panels = panels_.data<float>();
  // Tiles of nearly equal height: a last one of a row or two would leave the units idle.
  const std::int64_t tiles = (rows + kMostRows - 1) / kMostRows;
  for (std::int64_t first = 0; first < columns_; first += kPanel) {
    const std::int64_t width = std::min(kPanel, columns_ - first);
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t row = rows * t / tiles;
      run_tile<0>(rows * (t + 1) / tiles - row, inner_, {a + row * inner_, inner_},
                  panels + first * inner_,
                  {c + row * columns_ + first, columns_, width, accumulate});
    }
  }
}

void PackedMatrix::multiply_transposed(std::int64_t rows, const float* a, std::int64_t a_stride,
                                       float* c) const {
  const float* panels = panels_.data<float>();
  const std::int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  const auto run_block = [&](std::int64_t block, float* packed) {
    const std::int64_t row = block * kBlockRows;
    const std::int64_t height = std::min(kBlockRows, rows - row);
    for (std::int64_t k = 0; k < inner_; k += kBlockInner) {
      const std::int64_t inner = std::min(kBlockInner, inner_ - k);
      pack_columns(a + k * a_stride + row, a_stride, inner, height, packed);
      for (std::int64_t first = 0; first < columns_; first += kPanel) {
        const std::int64_t width = std::min(kPanel, columns_ - first);
        for (std::int64_t i = 0; i < height; i += kMostRows)
          run_tile<kMostRows>(std::min(kMostRows, height - i), inner, {packed + i * inner, 0},
                              panels + first * inner_ + k * kPanel,
                              {c + (row + i) * columns_ + first, columns_, width, k > 0});
      }
    }
  };
  parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    Tensor scratch = Tensor::empty({kBlockInner, kBlockRows});
    for (std::int64_t b = begin; b < end; ++b) run_block(b, scratch.mutable_data<float>());
  });
}

}  // namespace pare
