// The loops of max pooling, over one to three spatial axes.
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/multiversion.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

// Results that one piece of work keeps beside their taps.
constexpr std::int64_t kBlock = 64;

/// take ? a : b without a branch, which random pictures would mispredict half the time.
template <class T> PARE_INLINE T select(bool take, T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    const std::uint32_t mask = 0U - static_cast<std::uint32_t>(take);
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(a) & mask) |
                                (std::bit_cast<std::uint32_t>(b) & ~mask));
  } else {
    return take ? a : b;
  }
}

/// Takes the larger of best and x for each of `count` neighbours, the first of equals, NaN always
/// (PyTorch's rule). An index below 0 says that there is no best yet.
template <bool kIndexed, class T>
PARE_INLINE void take_larger(T* best, std::int32_t* at, const T* x, std::int64_t step,
                             std::int64_t count, std::int32_t tap) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = x[i * step];
    // One condition for both, so that it stays a select.
    const bool take = (value > best[i]) | (value != value) | (kIndexed && at[i] < 0);
    best[i] = select(take, value, best[i]);
    if constexpr (kIndexed) at[i] = take ? tap : at[i];
  }
}

template <class T>
constexpr T kLowest = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                           : std::numeric_limits<T>::lowest();

/// The `count` results from `y` on, of neighbours in memory; visit(tap, first of them inside, past
/// the last, value of x under the first) goes through the taps.
template <bool kIndexed, class T, class Index, class Taps>
PARE_INLINE void one_block(T* y, Index* index, std::int64_t count, std::int64_t step,
                           const Taps& taps) {
  T best[kBlock];
  std::int32_t at[kBlock];
  for (std::int64_t i = 0; i < count; ++i) {
    best[i] = kLowest<T>;
    at[i] = -1;
  }
  taps([&](std::int64_t tap, std::int64_t begin, std::int64_t end, const T* x) PARE_INLINE_LAMBDA {
    const auto number = static_cast<std::int32_t>(tap);
    // Known steps become vector loads.
    if (step == 1) {
      take_larger<kIndexed>(best + begin, at + begin, x, 1, end - begin, number);
    } else if (step == 2) {
      take_larger<kIndexed>(best + begin, at + begin, x, 2, end - begin, number);
    } else {
      take_larger<kIndexed>(best + begin, at + begin, x, step, end - begin, number);
    }
  });
  for (std::int64_t i = 0; i < count; ++i) y[i] = best[i];
  if constexpr (kIndexed)
    for (std::int64_t i = 0; i < count; ++i) index[i] = static_cast<Index>(at[i]);
}

/// Rows [begin, end) of the result, counted over batch, depth and height: neighbours are channels.
template <bool kIndexed, class T, class Index>
void forward_last(const PoolSizes& s, const T* x, T* y, Index* index, std::int64_t begin,
                  std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin; row < end; ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      const T* picture = x + row / s.rows() * s.pixels() * s.channels;
      for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
        const PoolWindow& wx = s.x(ox);
        const T* corner = picture + s.corner(wz, wy, wx) * s.channels;
        const std::int64_t out = (row * s.width.outputs + ox) * s.channels;
        for (std::int64_t c = 0; c < s.channels; c += kBlock) {
          const std::int64_t count = std::min(kBlock, s.channels - c);
          one_block<kIndexed>(y + out + c, index + (kIndexed ? out + c : 0), count, 1,
                              [&](const auto& visit) PARE_INLINE_LAMBDA {
                                for (std::int64_t kz = wz.begin; kz < wz.end; ++kz)
                                  for (std::int64_t ky = wy.begin; ky < wy.end; ++ky)
                                    for (std::int64_t kx = wx.begin; kx < wx.end; ++kx)
                                      visit(s.tap(kz, ky, kx), 0, count,
                                            corner + s.offset(kz, ky, kx) * s.channels + c);
                              });
        }
      }
    }
  });
}

/// One window of a plane. Later values are rarely larger: a branch that is predicted.
template <bool kIndexed, class T, class Index>
PARE_INLINE void one_window(const PoolSizes& s, const PoolWindow& wz, const PoolWindow& wy,
                            const PoolWindow& wx, const T* plane, T* y, Index* index) {
  const T* corner = plane + s.corner(wz, wy, wx);
  T best = corner[s.offset(wz.begin, wy.begin, wx.begin)];
  std::int64_t at = s.tap(wz.begin, wy.begin, wx.begin);
  for (std::int64_t kz = wz.begin; kz < wz.end; ++kz)
    for (std::int64_t ky = wy.begin; ky < wy.end; ++ky) {
      const T* row = corner + s.offset(kz, ky, 0);
      const std::int64_t tap = s.tap(kz, ky, 0);
      for (std::int64_t kx = wx.begin; kx < wx.end; ++kx) {
        const T value = row[kx * s.width.dilation];
        if (value <= best) continue;
        if (value > best || value != value) {  // not where only `best` is NaN
          best = value;
          at = tap + kx;
        }
      }
    }
  *y = best;
  if constexpr (kIndexed) *index = static_cast<Index>(at);
}

/// Planes [begin, end), counted over batch and channels: neighbours are columns, where their
/// windows lie one stride apart.
template <bool kIndexed, class T, class Index>
void forward_rows(const PoolSizes& s, const T* x, T* y, Index* index, std::int64_t begin,
                  std::int64_t end) {
  const std::int64_t stride = s.width.stride;
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin * s.rows(); row < end * s.rows(); ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      const T* picture = x + row / s.rows() * s.pixels();
      if (!s.width.regular) {
        for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
          const std::int64_t out = row * s.width.outputs + ox;
          one_window<kIndexed>(s, wz, wy, s.x(ox), picture, y + out, index + (kIndexed ? out : 0));
        }
        continue;
      }
      for (std::int64_t ox = 0; ox < s.width.outputs; ox += kBlock) {
        const std::int64_t count = std::min(kBlock, s.width.outputs - ox);
        const std::int64_t out = row * s.width.outputs + ox;
        const PoolWindow& wx = s.x(ox);
        const T* corner = picture + s.corner(wz, wy, wx);
        one_block<kIndexed>(
            y + out, index + (kIndexed ? out : 0), count, stride,
            [&](const auto& visit) PARE_INLINE_LAMBDA {
              for (std::int64_t kz = wz.begin; kz < wz.end; ++kz)
                for (std::int64_t ky = wy.begin; ky < wy.end; ++ky)
                  for (std::int64_t kx = 0; kx < s.width.kernel; ++kx) {
                    const std::int64_t column = wx.first + kx * s.width.dilation;
                    // 0 <= column + i * stride < width
                    const std::int64_t first = column >= 0 ? 0 : (-column + stride - 1) / stride;
                    const std::int64_t past =
                        column >= s.width.size ? 0 : (s.width.size - column - 1) / stride + 1;
                    const std::int64_t last = std::min(count, past);
                    if (first < last)
                      visit(s.tap(kz, ky, kx), first, last,
                            corner + s.offset(kz, ky, kx) + first * stride);
                  }
            });
      }
    }
  });
}

/// The commonest pooling of planes, 2x2 windows side by side, and of lines, pairs. Results lie one
/// after another across rows and planes: a block of them is first laid out tap by tap, whatever the
/// width of a row.
template <bool kIndexed, class T, class Index>
void forward_pairs(const PoolSizes& s, const T* x, T* y, Index* index, std::int64_t begin,
                   std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    T taps[4][kBlock] = {};
    T best[kBlock];
    std::int32_t at[kBlock];
    const std::int64_t size = s.height.outputs * s.width.outputs;
    const std::int64_t rows = s.height.kernel;
    for (std::int64_t first = begin * size; first < end * size; first += kBlock) {
      const std::int64_t count = std::min(kBlock, end * size - first);
      for (std::int64_t done = 0; done < count;) {
        const std::int64_t row = (first + done) / s.width.outputs;
        const std::int64_t column = (first + done) % s.width.outputs;
        const std::int64_t part = std::min(s.width.outputs - column, count - done);
        const T* top = x + row / s.height.outputs * s.pixels() +
                       row % s.height.outputs * rows * s.width.size + 2 * column;
        const T* bottom = top + s.width.size;
        for (std::int64_t i = 0; i < part; ++i) {
          taps[0][done + i] = top[2 * i];
          taps[1][done + i] = top[2 * i + 1];
        }
        for (std::int64_t i = 0; rows == 2 && i < part; ++i) {
          taps[2][done + i] = bottom[2 * i];
          taps[3][done + i] = bottom[2 * i + 1];
        }
        done += part;
      }
      for (std::int64_t i = 0; i < kBlock; ++i) {
        best[i] = taps[0][i];
        at[i] = 0;
      }
      for (std::int32_t tap = 1; tap < 2 * rows; ++tap)
        take_larger<kIndexed>(best, at, taps[tap], 1, kBlock, tap);
      std::copy_n(best, count, y + first);
      if constexpr (kIndexed)
        for (std::int64_t i = 0; i < count; ++i) index[first + i] = static_cast<Index>(at[i]);
    }
  });
}

/// Pairs of lines: results [begin, end) of all of them, where none has a rest.
template <bool kIndexed, class T, class Index>
void forward_line_pairs(const T* x, T* y, Index* index, std::int64_t begin, std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t i = begin; i < end; ++i) {
      const T a = x[2 * i];
      const T b = x[2 * i + 1];
      const bool second = (b > a) | (b != b);
      y[i] = select(second, b, a);
      if constexpr (kIndexed) index[i] = static_cast<Index>(second);
    }
  });
}

template <bool kIndexed, class T, class Index>
void run_forward(const PoolSizes& s, const Tensor& x, Tensor& y, Index* index) {
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  const std::int64_t row = s.width.outputs * s.taps();
  if (y.channels_last()) {
    parallel_for(0, s.batch * s.rows(), 1 + 16384 / (row * s.channels + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   forward_last<kIndexed>(s, from, to, index, begin, end);
                 });
    return;
  }
  const auto of_two = [](const PoolAxis& a) {
    return a.regular && a.kernel == 2 && a.stride == 2 && a.dilation == 1 && a.padding == 0 &&
           a.outputs * 2 <= a.size;
  };
  const auto single = [](const PoolAxis& a) {
    return a.size == 1 && a.kernel == 1 && a.padding == 0 && a.outputs == 1;
  };
  const bool pairs = single(s.depth) && (of_two(s.height) || single(s.height)) && of_two(s.width);
  const std::int64_t planes = s.batch * s.channels;
  if (pairs && single(s.height) && s.width.outputs * 2 == s.width.size) {
    parallel_for(0, planes * s.width.outputs, 8192, [&](std::int64_t begin, std::int64_t end) {
      forward_line_pairs<kIndexed>(from, to, index, begin, end);
    });
    return;
  }
  parallel_for(0, planes, 1 + 16384 / (row * s.rows() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 if (pairs) {
                   forward_pairs<kIndexed>(s, from, to, index, begin, end);
                 } else {
                   forward_rows<kIndexed>(s, from, to, index, begin, end);
                 }
               });
}

/// Pictures [begin, end).
template <class Index>
void backward_last(const PoolSizes& s, const float* g, const Index* index, float* gx,
                   std::int64_t begin, std::int64_t end) {
  const bool disjoint = s.disjoint();
  const bool clear = !s.tiles();
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    const std::int64_t size = s.pixels() * s.channels;
    if (clear) std::fill(gx + begin * size, gx + end * size, 0.0F);
    for (std::int64_t row = begin * s.rows(); row < end * s.rows(); ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
        const PoolWindow& wx = s.x(ox);
        float* corner = gx + row / s.rows() * size + s.corner(wz, wy, wx) * s.channels;
        const float* from = g + (row * s.width.outputs + ox) * s.channels;
        const Index* at = index + (row * s.width.outputs + ox) * s.channels;
        for (std::int64_t kz = wz.begin; kz < wz.end; ++kz)
          for (std::int64_t ky = wy.begin; ky < wy.end; ++ky)
            for (std::int64_t kx = wx.begin; kx < wx.end; ++kx) {
              float* to = corner + s.offset(kz, ky, kx) * s.channels;
              const auto tap = static_cast<std::int32_t>(s.tap(kz, ky, kx));
              if (disjoint) {
                for (std::int64_t c = 0; c < s.channels; ++c)
                  to[c] = static_cast<std::int32_t>(at[c]) == tap ? from[c] : 0.0F;
              } else {
                for (std::int64_t c = 0; c < s.channels; ++c)
                  to[c] += static_cast<std::int32_t>(at[c]) == tap ? from[c] : 0.0F;
              }
            }
      }
    }
  });
}

/// Planes [begin, end).
template <class Index>
void backward_rows(const PoolSizes& s, const float* g, const Index* index, float* gx,
                   std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> offsets;  // of each tap from the window's corner
  for (std::int64_t kz = 0; kz < s.depth.kernel; ++kz)
    for (std::int64_t ky = 0; ky < s.height.kernel; ++ky)
      for (std::int64_t kx = 0; kx < s.width.kernel; ++kx) offsets.push_back(s.offset(kz, ky, kx));
  std::fill(gx + begin * s.pixels(), gx + end * s.pixels(), 0.0F);
  for (std::int64_t row = begin * s.rows(); row < end * s.rows(); ++row) {
    const PoolWindow& wy = s.y(row % s.height.outputs);
    const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
    float* picture = gx + row / s.rows() * s.pixels();
    const std::int64_t out = row * s.width.outputs;
    for (std::int64_t ox = 0; ox < s.width.outputs; ++ox)
      picture[s.corner(wz, wy, s.x(ox)) + offsets[static_cast<std::size_t>(index[out + ox])]] +=
          g[out + ox];
  }
}

template <class Index>
void run_backward(const PoolSizes& s, const Tensor& grad, const Index* index, Tensor& gx) {
  const float* g = grad.data<float>();
  float* to = gx.mutable_data<float>();
  if (gx.channels_last()) {
    parallel_for(
        0, s.batch, 1 + 16384 / (s.pixels() * s.channels + 1),
        [&](std::int64_t begin, std::int64_t end) { backward_last(s, g, index, to, begin, end); });
  } else {
    parallel_for(
        0, s.batch * s.channels, 1 + 16384 / (s.pixels() + 1),
        [&](std::int64_t begin, std::int64_t end) { backward_rows(s, g, index, to, begin, end); });
  }
}

}  // namespace

DType max_index_dtype(std::int64_t taps) { return taps <= 256 ? DType::u8 : DType::i32; }

void max_forward(const PoolSizes& sizes, const Tensor& x, Tensor& y, Tensor& index) {
  if (y.elements() == 0) return;
  std::uint8_t* none = nullptr;
  if (x.dtype() == DType::i8) {
    run_forward<false, std::int8_t>(sizes, x, y, none);
  } else if (x.dtype() == DType::u8) {
    run_forward<false, std::uint8_t>(sizes, x, y, none);
  } else if (!index.defined()) {
    run_forward<false, float>(sizes, x, y, none);
  } else if (index.dtype() == DType::u8) {
    run_forward<true, float>(sizes, x, y, index.mutable_data<std::uint8_t>());
  } else {
    run_forward<true, float>(sizes, x, y, index.mutable_data<std::int32_t>());
  }
}

Tensor max_backward(const PoolSizes& sizes, const Tensor& gradient, const Tensor& index,
                    const Shape& shape) {
  Tensor gx = Tensor::empty(shape, DType::f32, index.format());
  if (index.dtype() == DType::u8) {
    run_backward(sizes, gradient, index.data<std::uint8_t>(), gx);
  } else {
    run_backward(sizes, gradient, index.data<std::int32_t>(), gx);
  }
  return gx;
}

}  // namespace pare
