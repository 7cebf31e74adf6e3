// The rows of layer norm and rms norm, always inline.
#pragma once

#include <cmath>

#include "core/reduce_kernels.h"

namespace pare::norm_rows {

template <class R, class T> PARE_INLINE double reduced(const T* x, std::int64_t n) {
  double s = 0;
  reduction::reduce_row<R>(x, n, s);
  return s;
}

/// y = x − mean (x itself where not kCentred) and its inverse root mean square; returns the mean.
template <bool kCentred, class T>
PARE_INLINE T normalize(const T* x, T* __restrict y, std::int64_t n, double epsilon, T* inverse) {
  T mean = 0;
  if constexpr (kCentred)
    mean = static_cast<T>(reduced<reduction::Sum>(x, n) / static_cast<double>(n));
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] - mean;
  const double squares = reduced<reduction::SumOfSquares>(y, n);
  *inverse = static_cast<T>(1.0 / std::sqrt(squares / static_cast<double>(n) + epsilon));
  return mean;
}

/// y = y · factor · weight + bias; both may be null.
template <class T>
PARE_INLINE void affine(T* y, std::int64_t n, T factor, const T* weight, const T* bias) {
  T* __restrict out = y;
  if (weight && bias) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = out[i] * factor * weight[i] + bias[i];
  } else if (weight) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = out[i] * factor * weight[i];
  } else if (bias) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = out[i] * factor + bias[i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i] = out[i] * factor;
  }
}

/// Σ a·b, in lanes over runs as reduce_row's.
template <class T> PARE_INLINE double dot(const T* a, const T* b, std::int64_t n) {
  using reduction::V8;
  using reduction::V8Unaligned;
  double total = 0;
  std::int64_t i = 0;
  if constexpr (std::is_same_v<T, float>) {
    while (n - i >= 8) {
      V8 lane[2] = {};
      const std::int64_t end = i + std::min<std::int64_t>(n - i, 8192);
      for (; i + 16 <= end; i += 16)
        for (int k = 0; k < 2; ++k)
          lane[k] += *reinterpret_cast<const V8Unaligned*>(a + i + k * 8) *
                     *reinterpret_cast<const V8Unaligned*>(b + i + k * 8);
      for (; i + 8 <= end; i += 8)
        lane[0] += *reinterpret_cast<const V8Unaligned*>(a + i) *
                   *reinterpret_cast<const V8Unaligned*>(b + i);
      lane[0] += lane[1];
      for (int k = 0; k < 8; ++k) total += static_cast<double>(lane[0][k]);
    }
  }
  for (; i < n; ++i) total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return total;
}

/// Rows of n elements: the forward's operands and the gradient given and wanted.
template <class T> struct Gradient {
  const T* x;
  const T* g;
  const T* weight;   ///< may be null
  const T* mean;     ///< of each row; null where rows are not centred
  const T* inverse;  ///< of each row
  T* dx;
  std::int64_t n;
};

/// Row r: with x' = (x − mean) · inverse and h = g · weight,
/// dx = inverse · (h − mean(h) − x' · mean(h · x')); adds g · x' to dw and g to db, where given.
template <bool kCentred, class T>
PARE_INLINE void gradient_row(const Gradient<T>& d, std::int64_t r, T* __restrict normalized, T* dw,
                              T* db) {
  const std::int64_t n = d.n;
  const T* x = d.x + r * n;
  const T* g = d.g + r * n;
  const T* weight = d.weight;
  T* __restrict dx = d.dx + r * n;
  const T inverse = d.inverse[r];
  T mean = 0;
  if constexpr (kCentred) mean = d.mean[r];
  for (std::int64_t i = 0; i < n; ++i) normalized[i] = (x[i] - mean) * inverse;
  if (dw) {
    T* __restrict sum = dw;
    for (std::int64_t i = 0; i < n; ++i) sum[i] += g[i] * normalized[i];
  }
  if (db) {
    T* __restrict sum = db;
    for (std::int64_t i = 0; i < n; ++i) sum[i] += g[i];
  }
  if (weight) {
    for (std::int64_t i = 0; i < n; ++i) dx[i] = g[i] * weight[i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) dx[i] = g[i];
  }
  const auto count = static_cast<double>(n);
  T plain = 0;
  if constexpr (kCentred)
    plain = static_cast<T>(reduced<reduction::Sum>(static_cast<const T*>(dx), n) / count);
  const auto slope =
      static_cast<T>(dot(static_cast<const T*>(dx), static_cast<const T*>(normalized), n) / count);
  for (std::int64_t i = 0; i < n; ++i) dx[i] = (dx[i] - plain - normalized[i] * slope) * inverse;
}

}  // namespace pare::norm_rows
