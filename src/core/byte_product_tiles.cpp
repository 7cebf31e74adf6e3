// Tiles of a product of bytes: a few rows times panels of columns, for each instruction set.
#include "core/byte_product_tiles.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/multiversion.h"

#if PARE_X86
#include <immintrin.h>
#endif

namespace pare {
namespace {

// Four codes; zeros behind the row's last, which meet weights of zero.
PARE_INLINE std::int32_t four(const std::uint8_t* codes, std::int64_t count) {
  std::int32_t group = 0;
  std::memcpy(&group, codes, static_cast<std::size_t>(count));
  return group;
}
PARE_INLINE std::int32_t four(const std::uint8_t* codes) {
  std::int32_t group;
  std::memcpy(&group, codes, sizeof group);
  return group;
}

// One row and panel at a time, in any order: the sums are exact.
void run_portable(const ByteTile& t, std::int64_t rows, std::int64_t panels) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t p = 0; p < panels; ++p) {
      std::int32_t sums[kPanelColumns] = {};
      const std::int8_t* w = t.panels + p * t.panel_bytes;
      const std::uint8_t* x = t.codes + r * t.inner;
      for (std::int64_t k = 0; k < t.inner; ++k)
        for (std::int64_t j = 0; j < kPanelColumns; ++j)
          sums[j] += x[k] * w[k / kPanelGroup * kGroupBytes + j * kPanelGroup + k % kPanelGroup];
      const RowCode& row = t.row_codes[r];
      for (std::int64_t j = 0; j < kPanelColumns; ++j) {
        const std::int64_t n = p * kPanelColumns + j;
        if (n >= t.width) break;
        float& y = t.y[r * t.y_stride + n];
        const std::int32_t sum = sums[j] - row.zero_point * t.sums[n];
        float v = static_cast<float>(sum) * (row.scale * t.scales[n]);
        v = v + t.bias[n];
        if (t.accumulate) v = v + y;
        v = v < t.low ? t.low : v;
        y = v > t.high ? t.high : v;
      }
    }
}

#if PARE_X86
#define PARE_VNNI512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

// In place, as assembly: a compiler that may copy the sums spills them.
PARE_VNNI512 inline __attribute__((always_inline)) void add_four(__m512i& sum, __m512i x,
                                                                 __m512i w) {
  asm("vpdpbusd %[w], %[x], %[sum]" : [sum] "+v"(sum) : [x] "v"(x), [w] "v"(w));
}

// What the columns of a panel have in common.
struct Columns512 {
  __m512i sums;
  __m512 scales, bias;
  __mmask16 there;
  bool whole;
};
PARE_VNNI512 inline __attribute__((always_inline)) Columns512 columns_512(const ByteTile& t,
                                                                          std::int64_t first) {
  const std::int64_t width = std::min(kPanelColumns, t.width - first);
  return {_mm512_load_si512(t.sums + first), _mm512_load_ps(t.scales + first),
          _mm512_load_ps(t.bias + first), static_cast<__mmask16>((1U << width) - 1U),
          width == kPanelColumns};
}

// The columns of one panel in one row.
PARE_VNNI512 inline __attribute__((always_inline)) void store_512(const ByteTile& t, int r,
                                                                  std::int64_t first,
                                                                  const Columns512& c,
                                                                  __m512i sums) {
  // Masked: g++ 12 warns of its own unmasked forms.
  constexpr __mmask16 all = 0xffff;
  const RowCode& row = t.row_codes[r];
  float* const y = t.y + r * t.y_stride + first;
  const __m512i sum =
      _mm512_sub_epi32(sums, _mm512_mullo_epi32(_mm512_set1_epi32(row.zero_point), c.sums));
  const __m512 unit = _mm512_mul_ps(_mm512_set1_ps(row.scale), c.scales);
  __m512 v = _mm512_add_ps(_mm512_mul_ps(_mm512_maskz_cvtepi32_ps(all, sum), unit), c.bias);
  if (t.accumulate) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(c.there, y));
  if (t.clips) {  // NaN, the second operand, stays
    v = _mm512_maskz_max_ps(all, _mm512_set1_ps(t.low), v);
    v = _mm512_maskz_min_ps(all, _mm512_set1_ps(t.high), v);
  }
  if (c.whole)
    _mm512_storeu_ps(y, v);
  else
    _mm512_mask_storeu_ps(y, c.there, v);
}

template <int R, int P> PARE_VNNI512 void tile_avx512_vnni(const ByteTile& t) {
  __m512i sums[R][P];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) sums[r][p] = _mm512_setzero_si512();
  const std::int64_t whole = t.inner / kPanelGroup * kPanelGroup;
  const std::int8_t* w = t.panels;
  for (std::int64_t k = 0; k < whole; k += kPanelGroup, w += kGroupBytes) {
    __m512i weights[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) weights[p] = _mm512_load_si512(w + p * t.panel_bytes);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m512i x = _mm512_set1_epi32(four(t.codes + r * t.inner + k));
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) add_four(sums[r][p], x, weights[p]);
    }
  }
  if (whole < t.inner) {
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m512i x = _mm512_set1_epi32(four(t.codes + r * t.inner + whole, t.inner - whole));
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) add_four(sums[r][p], x, _mm512_load_si512(w + p * t.panel_bytes));
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    const Columns512 columns = columns_512(t, p * kPanelColumns);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) store_512(t, r, p * kPanelColumns, columns, sums[r][p]);
  }
}

// The sums of a row and panel, columns 0 to 7 and 8 to 15.
struct Sums {
  __m256i low, high;
};

// A panel's four neighbours of 16 columns, and one row's of them, as a loop multiplies them. All
// sums are those of vpdpbusd.
struct Pairs {
  struct Weights {
    __m256i low, high;
  };
  struct Codes {
    __m256i x;
  };
  PARE_AVX2_INLINE static Weights weights(__m256i low, __m256i high) { return {low, high}; }
  PARE_AVX2_INLINE static Codes codes(__m256i x) { return {x}; }
  PARE_AVX2_INLINE static __m256i added(__m256i sum, __m256i x, __m256i w) {
    const __m256i ones = _mm256_set1_epi16(1);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
  }
  PARE_AVX2_INLINE static void add(Sums& sums, const Codes& c, const Weights& w) {
    sums.low = added(sums.low, c.x, w.low);
    sums.high = added(sums.high, c.x, w.high);
  }
};

// Even and odd bytes apart, in 16 bits.
struct Wide {
  struct Weights {
    __m256i low_even, low_odd, high_even, high_odd;
  };
  struct Codes {
    __m256i even, odd;
  };
  PARE_AVX2_INLINE static __m256i even(__m256i w) {
    return _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
  }
  PARE_AVX2_INLINE static __m256i odd(__m256i w) { return _mm256_srai_epi16(w, 8); }
  PARE_AVX2_INLINE static Weights weights(__m256i low, __m256i high) {
    return {even(low), odd(low), even(high), odd(high)};
  }
  PARE_AVX2_INLINE static Codes codes(__m256i x) {
    return {_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(x, 8)};
  }
  PARE_AVX2_INLINE static __m256i added(__m256i sum, const Codes& c, __m256i even, __m256i odd) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(c.even, even));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(c.odd, odd));
  }
  PARE_AVX2_INLINE static void add(Sums& sums, const Codes& c, const Weights& w) {
    sums.low = added(sums.low, c, w.low_even, w.low_odd);
    sums.high = added(sums.high, c, w.high_even, w.high_odd);
  }
};

// AVX-VNNI, written as assembly: its intrinsics want a target of their own, and always-inline
// functions one that is the caller's.
struct Vnni {
  using Weights = Pairs::Weights;
  using Codes = Pairs::Codes;
  PARE_AVX2_INLINE static Weights weights(__m256i low, __m256i high) { return {low, high}; }
  PARE_AVX2_INLINE static Codes codes(__m256i x) { return {x}; }
  PARE_AVX2_INLINE static void add(Sums& sums, const Codes& c, const Weights& w) {
    asm("%{vex%} vpdpbusd %[w], %[x], %[s]" : [s] "+x"(sums.low) : [x] "x"(c.x), [w] "x"(w.low));
    asm("%{vex%} vpdpbusd %[w], %[x], %[s]" : [s] "+x"(sums.high) : [x] "x"(c.x), [w] "x"(w.high));
  }
};

PARE_AVX2_INLINE __m256i loaded(const std::int8_t* w) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
}

// Eight columns of a row, from `first` on.
PARE_AVX2_INLINE void store(const ByteTile& t, int r, std::int64_t first, __m256i sums) {
  const RowCode& row = t.row_codes[r];
  const __m256i of_columns = _mm256_load_si256(reinterpret_cast<const __m256i*>(t.sums + first));
  const __m256i sum =
      _mm256_sub_epi32(sums, _mm256_mullo_epi32(_mm256_set1_epi32(row.zero_point), of_columns));
  const __m256 unit = _mm256_mul_ps(_mm256_set1_ps(row.scale), _mm256_load_ps(t.scales + first));
  __m256 v =
      _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), unit), _mm256_load_ps(t.bias + first));
  float* const y = t.y + r * t.y_stride + first;
  const auto width = static_cast<std::size_t>(std::clamp<std::int64_t>(t.width - first, 0, 8));
  alignas(32) float all[8] = {};
  if (t.accumulate) {
    std::memcpy(all, y, width * sizeof(float));
    v = _mm256_add_ps(v, _mm256_load_ps(all));
  }
  if (t.clips) v = _mm256_min_ps(_mm256_set1_ps(t.high), _mm256_max_ps(_mm256_set1_ps(t.low), v));
  if (width == 8) {
    _mm256_storeu_ps(y, v);
  } else {
    _mm256_store_ps(all, v);
    std::memcpy(y, all, width * sizeof(float));
  }
}

template <class Form, int R> PARE_AVX2 void tile_avx2(const ByteTile& t) {
  Sums sums[R];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) sums[r].low = sums[r].high = _mm256_setzero_si256();
  const std::int64_t whole = t.inner / kPanelGroup * kPanelGroup;
  const std::int8_t* w = t.panels;
  for (std::int64_t k = 0; k < whole; k += kPanelGroup, w += kGroupBytes) {
    const auto weights = Form::weights(loaded(w), loaded(w + 32));
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r)
      Form::add(sums[r], Form::codes(_mm256_set1_epi32(four(t.codes + r * t.inner + k))), weights);
  }
  if (whole < t.inner) {
    const auto weights = Form::weights(loaded(w), loaded(w + 32));
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const std::int32_t last = four(t.codes + r * t.inner + whole, t.inner - whole);
      Form::add(sums[r], Form::codes(_mm256_set1_epi32(last)), weights);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    store(t, r, 0, sums[r].low);
    if (t.width > 8) store(t, r, 8, sums[r].high);
  }
}

constexpr std::int64_t kRows512 = 6;
constexpr std::int64_t kPanels512 = 4;
using Tile = void (*)(const ByteTile& tile);

template <std::size_t... I>
constexpr std::array<Tile, sizeof...(I)> tiles_512(std::index_sequence<I...>) {
  return {tile_avx512_vnni<I / kPanels512 + 1, I % kPanels512 + 1>...};
}
void run_avx512_vnni(const ByteTile& tile, std::int64_t rows, std::int64_t panels) {
  static constexpr auto tiles = tiles_512(std::make_index_sequence<kRows512 * kPanels512>{});
  tiles[static_cast<std::size_t>((rows - 1) * kPanels512 + panels - 1)](tile);
}

template <class Form>
void run_avx2(const ByteTile& tile, std::int64_t rows, std::int64_t /*panels*/) {
  static constexpr Tile tiles[] = {tile_avx2<Form, 1>, tile_avx2<Form, 2>, tile_avx2<Form, 3>,
                                   tile_avx2<Form, 4>};
  tiles[rows - 1](tile);
}
#endif

}  // namespace

const ByteTiles& byte_tiles([[maybe_unused]] bool pairs) {
#if PARE_X86
  static constexpr ByteTiles vnni512{"avx512_vnni", kRows512, kPanels512, run_avx512_vnni};
  static constexpr ByteTiles vnni{"avx2_vnni", 4, 1, run_avx2<Vnni>};
  static constexpr ByteTiles avx2_pairs{"avx2_u8s7", 4, 1, run_avx2<Pairs>};
  static constexpr ByteTiles avx2_wide{"avx2_u8s8", 4, 1, run_avx2<Wide>};
  const Isa isa = isa_cap();
  if (isa >= Isa::avx512_vnni) return vnni512;
  if (isa == Isa::avx2_vnni) return vnni;
  if (isa >= Isa::avx2) return pairs ? avx2_pairs : avx2_wide;
#endif
  static constexpr ByteTiles portable{"portable", 1, 1, run_portable};
  return portable;
}

}  // namespace pare
