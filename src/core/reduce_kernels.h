// Sums, products and extremes of neighbouring elements, always inline: the inner loops of
// reductions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/multiversion.h"

namespace pare::reduction {

using V8 = float __attribute__((vector_size(32)));
// As standard attributes: after an alias's type clang drops the alignment.
using V8Unaligned [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = float;

/// Takes eight neighbours, lane by lane. They are copied first: a reference to them would claim
/// V8's alignment.
template <class R> PARE_INLINE void take8(V8& lanes, const float* p) {
  const V8 values = *reinterpret_cast<const V8Unaligned*>(p);
  R::take(lanes, values);
}

// Each kind has take (an element) and combine (two results), the same but for those of |x| and x².
struct Sum {
  template <class T>
  using Accumulator = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;
  template <class A> static constexpr A initial() { return A{0}; }
  // Integers wrap, as NumPy's do.
  template <class A> PARE_INLINE static void combine(A& into, A value) {
    if constexpr (std::is_integral_v<A>)
      into = static_cast<A>(static_cast<std::uint64_t>(into) + static_cast<std::uint64_t>(value));
    else
      into += value;
  }
  PARE_INLINE static void combine(V8& into, const V8& value) { into += value; }
  template <class A> PARE_INLINE static void take(A& into, const A& value) { combine(into, value); }
};

struct Product {
  template <class T> using Accumulator = Sum::Accumulator<T>;
  template <class A> static constexpr A initial() { return A{1}; }
  template <class A> PARE_INLINE static void combine(A& into, A value) {
    if constexpr (std::is_integral_v<A>)
      into = static_cast<A>(static_cast<std::uint64_t>(into) * static_cast<std::uint64_t>(value));
    else
      into *= value;
  }
  PARE_INLINE static void combine(V8& into, const V8& value) { into *= value; }
  template <class A> PARE_INLINE static void take(A& into, const A& value) { combine(into, value); }
};

struct Max {
  template <class T> using Accumulator = T;
  template <class A> static constexpr A initial() {
    if constexpr (std::is_floating_point_v<A>)
      return -std::numeric_limits<A>::infinity();
    else
      return std::numeric_limits<A>::lowest();
  }
  template <class A> PARE_INLINE static void combine(A& into, A value) {
    into = value > into || value != value ? value : into;
  }
  PARE_INLINE static void combine(V8& into, const V8& value) {
    const auto takes = (value > into) | (value != value);
    into = takes ? value : into;
  }
  template <class A> PARE_INLINE static void take(A& into, const A& value) { combine(into, value); }
};

struct Min {
  template <class T> using Accumulator = T;
  template <class A> static constexpr A initial() {
    if constexpr (std::is_floating_point_v<A>)
      return std::numeric_limits<A>::infinity();
    else
      return std::numeric_limits<A>::max();
  }
  template <class A> PARE_INLINE static void combine(A& into, A value) {
    into = value < into || value != value ? value : into;
  }
  PARE_INLINE static void combine(V8& into, const V8& value) {
    const auto takes = (value < into) | (value != value);
    into = takes ? value : into;
  }
  template <class A> PARE_INLINE static void take(A& into, const A& value) { combine(into, value); }
};

/// Of |x|; floating types alone.
template <class R> struct OfMagnitude : R {
  template <class A> PARE_INLINE static void take(A& into, const A& value) {
    const A magnitude = value < A{} ? -value : value;
    R::combine(into, magnitude);
  }
};
struct SumOfSquares : Sum {
  template <class A> PARE_INLINE static void take(A& into, const A& value) {
    combine(into, value * value);
  }
};

/// Combines x[0 … count) into `acc`: for f32 in 32 lanes over runs of at most 8192 elements.
template <class R, class T>
PARE_INLINE void reduce_row(const T* x, std::int64_t count,
                            typename R::template Accumulator<T>& acc) {
  using A = typename R::template Accumulator<T>;
  std::int64_t i = 0;
  if constexpr (std::is_same_v<T, float>) {
    while (count - i >= 8) {
      constexpr float kStart = R::template initial<float>();
      V8 lane[4];
      for (V8& l : lane) l = V8{} + kStart;
      const std::int64_t end = i + std::min<std::int64_t>(count - i, 8192);
      for (; i + 32 <= end; i += 32)
        for (int k = 0; k < 4; ++k) take8<R>(lane[k], x + i + k * 8);
      for (; i + 8 <= end; i += 8) take8<R>(lane[0], x + i);
      R::combine(lane[0], lane[1]);
      R::combine(lane[2], lane[3]);
      R::combine(lane[0], lane[2]);
      // In pairs: eight steps in a row would wait for one another.
      A last[4];
      for (int k = 0; k < 4; ++k) {
        last[k] = static_cast<A>(lane[0][k]);
        R::combine(last[k], static_cast<A>(lane[0][k + 4]));
      }
      R::combine(last[0], last[2]);
      R::combine(last[1], last[3]);
      R::combine(last[0], last[1]);
      R::combine(acc, last[0]);
    }
  }
  for (; i < count; ++i) R::take(acc, static_cast<A>(x[i]));
}

}  // namespace pare::reduction
