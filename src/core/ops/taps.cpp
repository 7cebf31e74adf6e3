// Along one axis every element of the result is a weighted sum of a few of the input: what resizing
// and borders are made of.
#include "core/ops/taps.h"

#include <algorithm>
#include <cstring>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/strided.h"

namespace pare {
namespace {

/// A tensor in memory order as [outer, in, inner] and another as [outer, out, inner].
struct AxisSizes {
  AxisSizes(const Tensor& x, int axis, std::int64_t other)
      : in(x.dim(axis)), out(other), inner(strides_of(x)[static_cast<std::size_t>(axis)]) {
    outer = in * inner == 0 ? 0 : x.elements() / (in * inner);
  }
  std::int64_t outer, in, out, inner;
};

constexpr std::int64_t kWideRow = 8;  ///< from here on rows are worth a loop of their own

/// Pieces of rows of the result, on several threads: body(o, j) for each.
template <class Body> void for_result_rows(const AxisSizes& s, const Body& body) {
  const std::int64_t grain =
      std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, s.inner));
  parallel_for(0, s.outer * s.out, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row / s.out, row % s.out);
  });
}

template <class T>
void select(const AxisSizes& s, const Taps& taps, const void* source, void* target) {
  const T* x = static_cast<const T*>(source);
  T* y = static_cast<T*>(target);
  const std::int32_t* index = taps.index.data();
  if (s.inner >= kWideRow) {
    for_result_rows(s, [&](std::int64_t o, std::int64_t j) {
      std::memcpy(y + (o * s.out + j) * s.inner, x + (o * s.in + index[j]) * s.inner,
                  static_cast<std::size_t>(s.inner) * sizeof(T));
    });
    return;
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (s.out * s.inner));
  parallel_for(0, s.outer, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      const T* from = x + o * s.in * s.inner;
      T* to = y + o * s.out * s.inner;
      if (s.inner == 1) {
        for (std::int64_t j = 0; j < s.out; ++j) to[j] = from[index[j]];
        continue;
      }
      for (std::int64_t j = 0; j < s.out; ++j)
        for (std::int64_t c = 0; c < s.inner; ++c)
          to[j * s.inner + c] = from[index[j] * s.inner + c];
    }
  });
}

/// to = Σ weight · row of x; `kCount` 0: any number of taps.
template <int kCount, class T>
PARE_INLINE void sum_rows(const T* x, const std::int32_t* index, const T* weight, std::int64_t taps,
                          std::int64_t inner, T* target) {
  T* __restrict to = target;
  if constexpr (kCount == 2) {
    const T* a = x + index[0] * inner;
    const T* b = x + index[1] * inner;
    const T u = weight[0], v = weight[1];
    for (std::int64_t c = 0; c < inner; ++c) to[c] = u * a[c] + v * b[c];
  } else {
    const T first = weight[0];
    const T* a = x + index[0] * inner;
    for (std::int64_t c = 0; c < inner; ++c) to[c] = first * a[c];
    for (std::int64_t t = 1; t < taps; ++t) {
      const T* row = x + index[t] * inner;
      const T w = weight[t];
      for (std::int64_t c = 0; c < inner; ++c) to[c] += w * row[c];
    }
  }
}

/// One row of short stretches: to[j] = Σ weight · x at index.
template <int kCount, class T>
PARE_INLINE void sum_points(const T* x, const std::int32_t* index, const T* weight,
                            std::int64_t taps, const AxisSizes& s, T* target) {
  T* __restrict to = target;
  const std::int64_t count = kCount > 0 ? kCount : taps;
  if (s.inner == 1) {
    for (std::int64_t j = 0; j < s.out; ++j) {
      T sum = weight[j * count] * x[index[j * count]];
      for (std::int64_t t = 1; t < count; ++t)
        sum += weight[j * count + t] * x[index[j * count + t]];
      to[j] = sum;
    }
    return;
  }
  for (std::int64_t j = 0; j < s.out; ++j)
    for (std::int64_t c = 0; c < s.inner; ++c) {
      T sum = weight[j * count] * x[index[j * count] * s.inner + c];
      for (std::int64_t t = 1; t < count; ++t)
        sum += weight[j * count + t] * x[index[j * count + t] * s.inner + c];
      to[j * s.inner + c] = sum;
    }
}

template <int kCount, class T>
void combine(const AxisSizes& s, const Taps& taps, const std::vector<T>& weights, const T* x,
             T* y) {
  const std::int32_t* index = taps.index.data();
  const T* weight = weights.data();
  const std::int64_t count = taps.count;
  if (s.inner >= kWideRow) {
    for_result_rows(s, [&](std::int64_t o, std::int64_t j) {
      const T* from = x + o * s.in * s.inner;
      T* to = y + (o * s.out + j) * s.inner;
      const std::int64_t inner = s.inner;
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        sum_rows<kCount>(from, index + j * count, weight + j * count, count, inner, to);
      });
    });
    return;
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (s.out * s.inner));
  parallel_for(0, s.outer, grain, [&](std::int64_t begin, std::int64_t end) {
    multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
      for (std::int64_t o = begin; o < end; ++o)
        sum_points<kCount>(x + o * s.in * s.inner, index, weight, count, s,
                           y + o * s.out * s.inner);
    });
  });
}

template <class T> std::vector<T> weights_of(const Taps& taps) {
  if (taps.weight.empty()) return std::vector<T>(taps.index.size(), T(1));
  return {taps.weight.begin(), taps.weight.end()};
}

/// The taps of the gradient: of each element of the input, the elements of the result that it went
/// into. Shorter lists repeat their last one with weight 0. No taps where a list is empty, or so
/// long that adding each element of the result where it belongs is less work.
Taps transposed(const Taps& taps, std::int64_t in) {
  std::vector<std::int64_t> length(static_cast<std::size_t>(in));
  for (const std::int32_t i : taps.index) ++length[static_cast<std::size_t>(i)];
  const auto [least, most] = std::minmax_element(length.begin(), length.end());
  if (*least == 0 || *most > 4) return {};
  Taps t{.out = in, .count = *most > 2 ? 4 : 2};
  const auto all = static_cast<std::size_t>(t.out * t.count);
  t.index.assign(all, 0);
  t.weight.assign(all, 0);
  std::fill(length.begin(), length.end(), 0);
  for (std::int64_t j = 0; j < taps.out; ++j)
    for (std::int64_t k = 0; k < taps.count; ++k) {
      const auto from = static_cast<std::size_t>(j * taps.count + k);
      const std::int64_t i = taps.index[from];
      const auto first = static_cast<std::size_t>(i * t.count);
      const auto at = first + static_cast<std::size_t>(length[static_cast<std::size_t>(i)]++);
      t.weight[at] = taps.weight.empty() ? 1 : taps.weight[from];
      std::fill(t.index.begin() + static_cast<std::ptrdiff_t>(at),
                t.index.begin() + static_cast<std::ptrdiff_t>(first) +
                    static_cast<std::ptrdiff_t>(t.count),
                static_cast<std::int32_t>(j));
    }
  return t;
}

template <class T>
void spread(const AxisSizes& s, const Taps& taps, const std::vector<T>& weights, const T* g,
            T* gx) {
  const std::int32_t* index = taps.index.data();
  const T* weight = weights.data();
  const std::int64_t count = taps.count;
  const auto columns = [=](std::int64_t o, std::int64_t begin, std::int64_t end) {
    multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
      T* to = gx + o * s.in * s.inner;
      for (std::int64_t i = 0; i < s.in; ++i)
        std::fill(to + i * s.inner + begin, to + i * s.inner + end, T(0));
      for (std::int64_t j = 0; j < s.out; ++j) {
        const T* __restrict from = g + (o * s.out + j) * s.inner;
        for (std::int64_t t = 0; t < count; ++t) {
          const T w = weight[j * count + t];
          T* __restrict row = to + index[j * count + t] * s.inner;
          for (std::int64_t c = begin; c < end; ++c) row[c] += w * from[c];
        }
      }
    });
  };
  if (s.inner < kWideRow && s.outer > 1) {
    const bool copies = taps.weight.empty();
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (s.out * s.inner));
    parallel_for(0, s.outer, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) {
        T* to = gx + o * s.in * s.inner;
        const T* from = g + o * s.out * s.inner;
        std::fill_n(to, s.in * s.inner, T(0));
        if (s.inner == 1 && copies) {
          for (std::int64_t j = 0; j < s.out; ++j) to[index[j]] += from[j];
          continue;
        }
        for (std::int64_t j = 0; j < s.out; ++j)
          for (std::int64_t t = 0; t < count; ++t)
            for (std::int64_t c = 0; c < s.inner; ++c)
              to[index[j * count + t] * s.inner + c] +=
                  weight[j * count + t] * from[j * s.inner + c];
      }
    });
    return;
  }
  // Threads part the outer axes, or the columns where there are none: no two write one sum.
  if (s.outer > 1) {
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (s.out * s.inner));
    parallel_for(0, s.outer, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) columns(o, 0, s.inner);
    });
    return;
  }
  parallel_for(0, s.inner, std::max<std::int64_t>(16, kElementGrain / s.out),
               [&](std::int64_t begin, std::int64_t end) { columns(0, begin, end); });
}

}  // namespace

void apply_taps(const Taps& taps, int axis, const Tensor& x, Tensor& y) {
  if (y.elements() == 0) return;
  const AxisSizes sizes(x, axis, taps.out);
  if (taps.weight.empty()) {
    switch (movable_bytes(x.dtype(), "resize")) {
      case 1:
        return select<std::uint8_t>(sizes, taps, x.raw(), y.mutable_raw());
      case 2:
        return select<std::uint16_t>(sizes, taps, x.raw(), y.mutable_raw());
      case 4:
        return select<std::uint32_t>(sizes, taps, x.raw(), y.mutable_raw());
      default:
        return select<std::uint64_t>(sizes, taps, x.raw(), y.mutable_raw());
    }
  }
  visit_float(x.dtype(), "resize", [&](auto type) {
    using T = decltype(type);
    const std::vector<T> weights = weights_of<T>(taps);
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    if (taps.count == 2) return combine<2>(sizes, taps, weights, from, to);
    if (taps.count == 4) return combine<4>(sizes, taps, weights, from, to);
    combine<0>(sizes, taps, weights, from, to);
  });
}

void transpose_taps(const Taps& taps, int axis, const Tensor& g, Tensor& gx) {
  if (gx.elements() == 0) return;
  if (g.elements() == 0) {
    gx.fill(0);
    return;
  }
  const AxisSizes sizes(gx, axis, taps.out);
  if (sizes.inner == 1 && sizes.outer > 1) {
    const Taps back = transposed(taps, sizes.in);
    if (back.out > 0) return apply_taps(back, axis, g, gx);
  }
  visit_float(gx.dtype(), "resize", [&](auto type) {
    using T = decltype(type);
    spread<T>(sizes, taps, weights_of<T>(taps), g.data<T>(), gx.mutable_data<T>());
  });
}

}  // namespace pare
