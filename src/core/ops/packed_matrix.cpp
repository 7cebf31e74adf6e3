// Products with a packed matrix, in AVX2's registers.
#include "core/ops/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
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
constexpr std::int64_t kBlockInner = 256;    // a panel and a tile of them fit the first cache
constexpr std::int64_t kBlockColumns = 128;  // of the right operand: it fits the second
constexpr std::int64_t kSpill = 8;           // behind a packed tile: whole registers are written

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

/// Elements from one packed tile to the next.
PARE_INLINE std::int64_t tile_step(std::int64_t inner) { return inner * kMostRows + kSpill; }

/// Columns [0, width) of a [inner, …] as tiles [inner][kMostRows], tile_step(inner) apart. Eight
/// elements are copied where a tile has six: the next row is written over the rest.
PARE_INLINE void pack_columns_body(const float* a, std::int64_t stride, std::int64_t inner,
                                   std::int64_t width, float* to) {
  const std::int64_t step = tile_step(inner);
  const std::int64_t whole = width < 8 ? 0 : (width - 8) / kMostRows * kMostRows + kMostRows;
  for (std::int64_t k = 0; k < inner; ++k) {
    const float* from = a + k * stride;
    float* out = to + k * kMostRows;
    std::int64_t i = 0;
    for (; i < whole; i += kMostRows, out += step) std::memcpy(out, from + i, 8 * sizeof(float));
    for (; i < width; i += kMostRows, out += step)
      for (std::int64_t r = 0; r < std::min(kMostRows, width - i); ++r) out[r] = from[i + r];
  }
}
PARE_MULTIVERSION(void, pack_columns,
                  (const float* a, std::int64_t stride, std::int64_t inner, std::int64_t width,
                   float* to),
                  (a, stride, inner, width, to))

/// Columns [0, width) of b [inner, …] as panels [inner][kPanel], zeros behind the last column.
PARE_INLINE void pack_panels_body(const float* b, std::int64_t stride, std::int64_t inner,
                                  std::int64_t width, float* to) {
  for (std::int64_t j = 0; j < width; j += kPanel, to += inner * kPanel) {
    const std::int64_t own = std::min(kPanel, width - j);
    if (own == kPanel) {
      for (std::int64_t k = 0; k < inner; ++k)
        std::memcpy(to + k * kPanel, b + k * stride + j, kPanel * sizeof(float));
      continue;
    }
    std::fill_n(to, inner * kPanel, 0.0F);
    for (std::int64_t k = 0; k < inner; ++k)
      for (std::int64_t i = 0; i < own; ++i) to[k * kPanel + i] = b[k * stride + j + i];
  }
}
PARE_MULTIVERSION(void, pack_panels,
                  (const float* b, std::int64_t stride, std::int64_t inner, std::int64_t width,
                   float* to),
                  (b, stride, inner, width, to))

/// The same of rows [0, width) of b […, inner].
PARE_INLINE void turn_panels_body(const float* b, std::int64_t stride, std::int64_t inner,
                                  std::int64_t width, float* to) {
  for (std::int64_t j = 0; j < width; j += kPanel, to += inner * kPanel) {
    const std::int64_t own = std::min(kPanel, width - j);
    if (own < kPanel) std::fill_n(to, inner * kPanel, 0.0F);
    for (std::int64_t i = 0; i < own; ++i)
      for (std::int64_t k = 0; k < inner; ++k) to[k * kPanel + i] = b[(j + i) * stride + k];
  }
}
PARE_MULTIVERSION(void, turn_panels,
                  (const float* b, std::int64_t stride, std::int64_t inner, std::int64_t width,
                   float* to),
                  (b, stride, inner, width, to))

/// c [rows, columns] = a · b with room for a block of each operand.
void blocked(std::int64_t rows, std::int64_t columns, std::int64_t inner, MatrixView a,
             MatrixView b, float* c, std::int64_t c_stride, bool accumulate) {
  const std::int64_t depth = std::min(inner, kBlockInner);
  Tensor room = Tensor::empty({kBlockColumns * depth + kBlockRows / kMostRows * tile_step(depth)});
  float* const panels = room.mutable_data<float>();
  float* const tiles = panels + kBlockColumns * depth;
  for (std::int64_t j = 0; j < columns; j += kBlockColumns) {
    const std::int64_t width = std::min(kBlockColumns, columns - j);
    for (std::int64_t k = 0; k < inner; k += kBlockInner) {
      const std::int64_t now = std::min(kBlockInner, inner - k);
      const bool add = accumulate || k > 0;
      if (b.transposed)
        turn_panels(b.data + j * b.stride + k, b.stride, now, width, panels);
      else
        pack_panels(b.data + k * b.stride + j, b.stride, now, width, panels);
      for (std::int64_t i = 0; i < rows; i += kBlockRows) {
        const std::int64_t height = std::min(kBlockRows, rows - i);
        if (a.transposed) pack_columns(a.data + k * a.stride + i, a.stride, now, height, tiles);
        for (std::int64_t p = 0; p < width; p += kPanel) {
          const float* panel = panels + p * now;
          float* out = c + i * c_stride + j + p;
          const std::int64_t own = std::min(kPanel, width - p);
          for (std::int64_t r = 0; r < height; r += kMostRows) {
            const std::int64_t count = std::min(kMostRows, height - r);
            const Result result{out + r * c_stride, c_stride, own, add};
            if (a.transposed)
              run_tile<kMostRows>(count, now, {tiles + r / kMostRows * tile_step(now), 0}, panel,
                                  result);
            else
              run_tile<0>(count, now, {a.data + (i + r) * a.stride + k, a.stride}, panel, result);
          }
        }
      }
    }
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

void packed_product(std::int64_t rows, std::int64_t columns, std::int64_t inner, MatrixView a,
                    MatrixView b, float* c, std::int64_t c_stride, bool accumulate) {
  PARE_ASSERT(inner > 0);
  // Threads part the longer side, in whole tiles or panels; an element is summed in one order.
  const bool by_rows = rows >= columns;
  const std::int64_t unit = by_rows ? kMostRows : kPanel;
  const std::int64_t length = by_rows ? rows : columns;
  constexpr std::int64_t kGrain = 1 << 18;  // products that are worth a thread
  const std::int64_t work = unit * (by_rows ? columns : rows) * inner;
  parallel_for(0, (length + unit - 1) / unit, kGrain / work + 1,
               [&](std::int64_t begin, std::int64_t end) {
                 const std::int64_t first = begin * unit;
                 const std::int64_t count = std::min(end * unit, length) - first;
                 if (by_rows)
                   blocked(count, columns, inner,
                           {a.data + first * (a.transposed ? 1 : a.stride), a.stride, a.transposed},
                           b, c + first * c_stride, c_stride, accumulate);
                 else
                   blocked(rows, count, inner, a,
                           {b.data + first * (b.transposed ? b.stride : 1), b.stride, b.transposed},
                           c + first, c_stride, accumulate);
               });
}

}  // namespace pare
