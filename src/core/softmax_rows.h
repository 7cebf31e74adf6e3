// The rows of softmax and log-softmax, always inline: what their ops and cross-entropy share.
#pragma once

#include <cmath>

#include "core/reduce_kernels.h"
#include "core/vector_math.h"

namespace pare::rows {

PARE_INLINE float exponential(float x) { return vec::exp(x); }
inline double exponential(double x) { return std::exp(x); }
PARE_INLINE float logarithm(float x) { return vec::log(x); }
inline double logarithm(double x) { return std::log(x); }

template <class T> PARE_INLINE T largest(const T* x, std::int64_t n) {
  T m = -std::numeric_limits<T>::infinity();
  reduction::reduce_row<reduction::Max>(x, n, m);
  return m;
}
template <class T> PARE_INLINE double total(const T* x, std::int64_t n) {
  double s = 0;
  reduction::reduce_row<reduction::Sum>(x, n, s);
  return s;
}

/// y = e^(x − largest); returns its sum.
template <class T>
PARE_INLINE double exponentials(const T* x, T* __restrict y, std::int64_t n, T m) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = exponential(x[i] - m);
  return total(y, n);
}

/// Rows that are worked on together, one per vector lane.
inline constexpr std::int64_t kTile = 64;
/// Rows up to this length are turned into columns first: too short to fill vectors of their own.
inline constexpr std::int64_t kShort = 48;

/// As exponentials, for `width` ≤ kTile neighbouring columns of `length` rows that lie `stride`
/// apart; m and sum receive each column's.
template <class T>
PARE_INLINE void column_exponentials(const T* x, T* y, std::int64_t length, std::int64_t stride,
                                     std::int64_t width, T* m, T* sum) {
  for (std::int64_t i = 0; i < width; ++i) {
    m[i] = x[i];
    sum[i] = 0;
  }
  for (std::int64_t k = 1; k < length; ++k) {
    const T* row = x + k * stride;
    for (std::int64_t i = 0; i < width; ++i)
      m[i] = ((row[i] > m[i]) | (row[i] != row[i])) ? row[i] : m[i];
  }
  for (std::int64_t k = 0; k < length; ++k) {
    const T* row = x + k * stride;
    T* __restrict out = y + k * stride;
    for (std::int64_t i = 0; i < width; ++i) {
      out[i] = exponential(row[i] - m[i]);
      sum[i] += out[i];
    }
  }
}

/// columns[c][r] = x[r][c] for `width` rows of `length` elements; a row of `columns` holds kTile.
template <class T>
PARE_INLINE void rows_to_columns(const T* x, T* __restrict columns, std::int64_t length,
                                 std::int64_t width) {
  for (std::int64_t r = 0; r < width; ++r)
    for (std::int64_t c = 0; c < length; ++c) columns[c * kTile + r] = x[r * length + c];
}
template <class T>
PARE_INLINE void columns_to_rows(const T* columns, T* __restrict x, std::int64_t length,
                                 std::int64_t width) {
  for (std::int64_t r = 0; r < width; ++r)
    for (std::int64_t c = 0; c < length; ++c) x[r * length + c] = columns[c * kTile + r];
}

}  // namespace pare::rows
