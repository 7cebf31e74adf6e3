// Loops of CodeMatrix: a panel of 16 outputs times rows of floats, and a panel as floats.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/multiversion.h"

// All of it is inlined where the vectors are registers: nothing is called with them.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace pare::code_loops {

inline constexpr std::int64_t kLanes = 16;
inline constexpr int kFewRows = 4;   // that share the codes in registers
inline constexpr int kTileRows = 6;  // that share a float weight: twelve sums of AVX2's width

/// Vectors of W numbers, as wide as the registers: GCC keeps wider ones in memory.
template <int W> struct Vectors {
  using F [[gnu::vector_size(4 * W)]] = float;
  using I [[gnu::vector_size(4 * W)]] = std::int32_t;
  using U [[gnu::vector_size(4 * W)]] = std::uint32_t;
  using B [[gnu::vector_size(W)]] = std::uint8_t;
  static constexpr int kParts = static_cast<int>(kLanes) / W;  ///< of a panel
};

template <class V, class T> PARE_INLINE V load(const T* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

/// What a word of 32 bits holds: kIn weights that are neighbours along the input.
template <int Bits> struct Codes {
  static constexpr int kIn = 32 / Bits;
  static constexpr bool kScaled = true;
  template <class V>
  static PARE_INLINE typename V::F value(typename V::U word, int j, typename V::F zero) {
    const typename V::U code = (word >> static_cast<std::uint32_t>(Bits * j)) & ((1U << Bits) - 1U);
    return __builtin_convertvector(__builtin_bit_cast(typename V::I, code), typename V::F) - zero;
  }
};
struct BrainFloats {
  static constexpr int kIn = 2;
  static constexpr bool kScaled = false;
  template <class V>
  static PARE_INLINE typename V::F value(typename V::U word, int j, typename V::F /*zero*/) {
    return __builtin_bit_cast(typename V::F, j == 0 ? word << 16U : word & 0xffff0000U);
  }
};
/// Finite ones; subnormal ones too, since the product with a power of two is exact.
struct Halves {
  static constexpr int kIn = 2;
  static constexpr bool kScaled = false;
  template <class V>
  static PARE_INLINE typename V::F value(typename V::U word, int j, typename V::F /*zero*/) {
    using F = typename V::F;
    using U = typename V::U;
    const U half = j == 0 ? word : word >> 16U;
    const F size = __builtin_bit_cast(F, (half & 0x7fffU) << 13U) * 0x1p112F;
    return __builtin_bit_cast(F, __builtin_bit_cast(U, size) | ((half & 0x8000U) << 16U));
  }
};

struct Panel {
  const float* scales;         ///< [groups][16]
  const std::uint8_t* zeros;   ///< [groups][16], null where `zero` is that of all
  const std::uint32_t* words;  ///< [group][words of a group][16]
  float zero;
  std::int64_t in, group, group_words;
};

/// Of part n of a panel.
template <class V, bool Zeros>
PARE_INLINE typename V::F zero_of(const Panel& p, std::int64_t g, int n) {
  using F = typename V::F;
  if constexpr (Zeros) {
    const auto codes = load<typename V::B>(p.zeros + g * kLanes + n * (kLanes / V::kParts));
    return __builtin_convertvector(__builtin_convertvector(codes, typename V::I), F);
  }
  return F{} + p.zero;
}

template <class V, class Code>
PARE_INLINE typename V::F scale_of(const Panel& p, std::int64_t g, int n) {
  using F = typename V::F;
  if constexpr (Code::kScaled) return load<F>(p.scales + g * kLanes + n * (kLanes / V::kParts));
  return F{} + 1.0F;
}

/// y [M][16] = x [M, in] · panel.
template <int W, class Code, bool Zeros, int M>
PARE_INLINE void multiply(const Panel& p, const float* x, std::int64_t stride, float* y) {
  using V = Vectors<W>;
  using F = typename V::F;
  constexpr int kParts = V::kParts;
  // Sums that do not wait for one another, where rows alone are too few.
  constexpr int kChains = std::min({Code::kIn, kParts > 2 ? 1 : 4, M == 1 ? 4 : M == 2 ? 2 : 1});
  F total[M][kParts] = {};
  for (std::int64_t g = 0, first = 0; first < p.in; ++g, first += p.group) {
    const std::int64_t size = std::min(p.group, p.in - first);
    const std::uint32_t* words = p.words + g * p.group_words * kLanes;
    const float* from = x + first;
    F zero[kParts];
#pragma GCC unroll 4
    for (int n = 0; n < kParts; ++n) zero[n] = zero_of<V, Zeros>(p, g, n);
    F sum[M][kChains][kParts] = {};
    const auto add = [&](std::int64_t k, int j, int chain) PARE_INLINE_LAMBDA {
#pragma GCC unroll 4
      for (int n = 0; n < kParts; ++n) {
        const auto word = load<typename V::U>(words + n * W);
        const F w = Code::template value<V>(word, j, zero[n]);
#pragma GCC unroll 4
        for (int r = 0; r < M; ++r) sum[r][chain][n] += from[r * stride + k + j] * w;
      }
    };
    std::int64_t k = 0;
    for (; k + Code::kIn <= size; k += Code::kIn, words += kLanes) {
#pragma GCC unroll 16
      for (int j = 0; j < Code::kIn; ++j) add(k, j, j % kChains);
    }
    for (int j = 0; k + j < size; ++j) add(k, j, 0);
#pragma GCC unroll 4
    for (int n = 0; n < kParts; ++n) {
      const F scale = scale_of<V, Code>(p, g, n);
#pragma GCC unroll 4
      for (int r = 0; r < M; ++r) {
        F all = sum[r][0][n];
#pragma GCC unroll 4
        for (int c = 1; c < kChains; ++c) all += sum[r][c][n];
        total[r][n] += scale * all;
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < M; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < kParts; ++n)
      __builtin_memcpy(y + r * kLanes + n * W, &total[r][n], sizeof(F));
}

/// to [end - begin][16]: the weights as dequantize_weight has them. `begin` is a word's first.
template <int W, class Code, bool Zeros>
PARE_INLINE void unpack(const Panel& p, std::int64_t begin, std::int64_t end, float* to) {
  using V = Vectors<W>;
  using F = typename V::F;
  for (std::int64_t k = begin; k < end;) {
    const std::int64_t g = k / p.group, first = g * p.group;
    const std::int64_t stop = std::min({end, first + p.group, p.in});
    const std::uint32_t* words = p.words + (g * p.group_words + (k - first) / Code::kIn) * kLanes;
#pragma GCC unroll 4
    for (int n = 0; n < V::kParts; ++n) {
      const F zero = zero_of<V, Zeros>(p, g, n), scale = scale_of<V, Code>(p, g, n);
      const std::uint32_t* from = words + n * W;
      float* out = to + n * W;
      for (std::int64_t i = k; i < stop; from += kLanes) {
        const auto word = load<typename V::U>(from);
        const int count = static_cast<int>(std::min<std::int64_t>(Code::kIn, stop - i));
        for (int j = 0; j < count; ++j, ++i, out += kLanes) {
          const F w = Code::template value<V>(word, j, zero) * scale;
          __builtin_memcpy(out, &w, sizeof w);
        }
      }
    }
    to += (stop - k) * kLanes;
    k = stop;
  }
}

/// y [R][16] = x [R, depth] · weights [depth][16].
template <int W, int R>
PARE_INLINE void tile(const float* x, std::int64_t stride, const float* weights, std::int64_t depth,
                      float* y) {
  using F = typename Vectors<W>::F;
  constexpr int kParts = Vectors<W>::kParts;
  F sum[R][kParts] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 4
    for (int n = 0; n < kParts; ++n) {
      const F w = load<F>(weights + k * kLanes + n * W);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) sum[r][n] += x[r * stride + k] * w;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < kParts; ++n)
      __builtin_memcpy(y + r * kLanes + n * W, &sum[r][n], sizeof(F));
}

/// Where a panel's results go, and what is done to them.
struct Result {
  float* data;
  std::int64_t stride, width;
  const float* bias;  ///< null: none
  bool add;           ///< to what is there
  bool clip;
  float low, high;
};

PARE_INLINE void store(const float* y, int rows, const Result& to) {
  for (int r = 0; r < rows; ++r) {
    float* out = to.data + r * to.stride;
    for (std::int64_t i = 0; i < to.width; ++i) {
      float v = y[r * kLanes + i];
      if (to.bias) v += to.bias[i];
      if (to.add) v += out[i];
      if (to.clip) v = v < to.low ? to.low : v > to.high ? to.high : v;  // NaN stays
      out[i] = v;
    }
  }
}

}  // namespace pare::code_loops
