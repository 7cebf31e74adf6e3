// The rows of softmax and log-softmax, always inline: what their ops and cross-entropy share.
#pragma once

#include <cmath>

#include "core/reduce_kernels.h"
#include "core/vector_math.h"

namespace pare::rows {

PARE_INLINE float exponential(float x) { return vec::exp(x); }
inline double exponential(double x) { return std::exp(x); }

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

}  // namespace pare::rows
