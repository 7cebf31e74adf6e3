// The loops of average pooling, over one to three spatial axes.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/multiversion.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

// Channels, or columns, that one piece of work keeps sums of beside their taps.
constexpr std::int64_t kBlock = 64;

template <class T> using Sum = std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>;

/// Codes are averaged with the scale they have: halves go to the even code.
template <class T> PARE_INLINE T mean_of(Sum<T> sum, float count) {
  if constexpr (std::is_same_v<T, float>) {
    return sum / count;
  } else {
    return static_cast<T>(std::nearbyint(static_cast<float>(sum) / count));
  }
}

/// Visits the pixels of a window, by their distance from its corner.
template <class Visit>
PARE_INLINE void each_tap(const PoolSizes& s, const PoolWindow& wz, const PoolWindow& wy,
                          const PoolWindow& wx, const Visit& visit) {
  for (std::int64_t kz = wz.begin; kz < wz.end; ++kz)
    for (std::int64_t ky = wy.begin; ky < wy.end; ++ky)
      for (std::int64_t kx = wx.begin; kx < wx.end; ++kx) visit(s.offset(kz, ky, kx));
}

/// Rows [begin, end) of the result, counted over batch, depth and height: channels-last.
template <class T>
void forward_last(const PoolSizes& s, const T* x, T* y, std::int64_t begin, std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    const std::int64_t channels = s.channels;
    for (std::int64_t row = begin; row < end; ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      const T* picture = x + row / s.rows() * s.pixels() * channels;
      for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
        const PoolWindow& wx = s.x(ox);
        const auto count = static_cast<float>(s.divisor(wz, wy, wx));
        const T* corner = picture + s.corner(wz, wy, wx) * channels;
        T* to = y + (row * s.width.outputs + ox) * channels;
        for (std::int64_t c = 0; c < channels; c += kBlock) {
          const std::int64_t width = std::min(kBlock, channels - c);
          Sum<T> sums[kBlock];
          for (std::int64_t i = 0; i < width; ++i) sums[i] = 0;
          each_tap(s, wz, wy, wx, [&](std::int64_t offset) PARE_INLINE_LAMBDA {
            const T* from = corner + offset * channels + c;
            for (std::int64_t i = 0; i < width; ++i) sums[i] += from[i];
          });
          for (std::int64_t i = 0; i < width; ++i) to[c + i] = mean_of<T>(sums[i], count);
        }
      }
    }
  });
}

/// Visits the taps of `count` windows side by side, from window ox on, which lie one stride apart:
/// visit(distance of the first one's tap from its corner, first of them inside, past the last).
template <class Visit>
PARE_INLINE void each_tap_of_row(const PoolSizes& s, const PoolWindow& wz, const PoolWindow& wy,
                                 const PoolWindow& wx, std::int64_t count, const Visit& visit) {
  const PoolAxis& a = s.width;
  for (std::int64_t kz = wz.begin; kz < wz.end; ++kz)
    for (std::int64_t ky = wy.begin; ky < wy.end; ++ky)
      for (std::int64_t kx = 0; kx < a.kernel; ++kx) {
        const std::int64_t column = wx.first + kx * a.dilation;
        // 0 <= column + i * stride < size
        const std::int64_t first = column >= 0 ? 0 : (-column + a.stride - 1) / a.stride;
        const std::int64_t past = column >= a.size ? 0 : (a.size - column - 1) / a.stride + 1;
        if (first < std::min(count, past))
          visit(s.offset(kz, ky, kx), first, std::min(count, past));
      }
}

/// Rows [begin, end) of the result, of planes: neighbours are columns.
template <class T>
void forward_rows(const PoolSizes& s, const T* x, T* y, std::int64_t begin, std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    const std::int64_t stride = s.width.stride;
    for (std::int64_t row = begin; row < end; ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      const T* plane = x + row / s.rows() * s.pixels();
      T* to = y + row * s.width.outputs;
      if (!s.width.regular) {
        for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
          const PoolWindow& wx = s.x(ox);
          const T* corner = plane + s.corner(wz, wy, wx);
          Sum<T> sum = 0;
          each_tap(s, wz, wy, wx,
                   [&](std::int64_t offset) PARE_INLINE_LAMBDA { sum += corner[offset]; });
          to[ox] = mean_of<T>(sum, static_cast<float>(s.divisor(wz, wy, wx)));
        }
        continue;
      }
      for (std::int64_t ox = 0; ox < s.width.outputs; ox += kBlock) {
        const std::int64_t count = std::min(kBlock, s.width.outputs - ox);
        const T* corner = plane + s.corner(wz, wy, s.x(ox));
        Sum<T> sums[kBlock] = {};
        each_tap_of_row(s, wz, wy, s.x(ox), count,
                        [&](std::int64_t offset, std::int64_t first, std::int64_t past)
                            PARE_INLINE_LAMBDA {
                              const T* from = corner + offset;
                              // A known stride becomes vector loads.
                              if (stride == 2) {
                                for (std::int64_t i = first; i < past; ++i) sums[i] += from[2 * i];
                              } else {
                                for (std::int64_t i = first; i < past; ++i)
                                  sums[i] += from[i * stride];
                              }
                            });
        float counts[kBlock];
        for (std::int64_t i = 0; i < count; ++i)
          counts[i] = static_cast<float>(s.divisor(wz, wy, s.x(ox + i)));
        for (std::int64_t i = 0; i < count; ++i) to[ox + i] = mean_of<T>(sums[i], counts[i]);
      }
    }
  });
}

template <class T> void run_forward(const PoolSizes& s, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  const bool last = y.channels_last();
  const std::int64_t work = s.width.outputs * s.taps() * (last ? s.channels : 1);
  parallel_for(0, (last ? s.batch : s.batch * s.channels) * s.rows(), 1 + 16384 / (work + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 if (last) {
                   forward_last(s, from, to, begin, end);
                 } else {
                   forward_rows(s, from, to, begin, end);
                 }
               });
}

/// Pictures [begin, end), channels-last.
void backward_last(const PoolSizes& s, const float* g, float* gx, std::int64_t begin,
                   std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    const std::int64_t channels = s.channels;
    const std::int64_t size = s.pixels() * channels;
    std::fill(gx + begin * size, gx + end * size, 0.0F);
    for (std::int64_t row = begin * s.rows(); row < end * s.rows(); ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
        const PoolWindow& wx = s.x(ox);
        const auto count = static_cast<float>(s.divisor(wz, wy, wx));
        const float* from = g + (row * s.width.outputs + ox) * channels;
        float* corner = gx + row / s.rows() * size + s.corner(wz, wy, wx) * channels;
        for (std::int64_t c = 0; c < channels; c += kBlock) {
          const std::int64_t width = std::min(kBlock, channels - c);
          float shares[kBlock];
          for (std::int64_t i = 0; i < width; ++i) shares[i] = from[c + i] / count;
          each_tap(s, wz, wy, wx, [&](std::int64_t offset) PARE_INLINE_LAMBDA {
            float* to = corner + offset * channels + c;
            for (std::int64_t i = 0; i < width; ++i) to[i] += shares[i];
          });
        }
      }
    }
  });
}

/// Planes [begin, end).
void backward_rows(const PoolSizes& s, const float* g, float* gx, std::int64_t begin,
                   std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    const std::int64_t stride = s.width.stride;
    const std::int64_t block = s.width.regular ? kBlock : 1;
    std::fill(gx + begin * s.pixels(), gx + end * s.pixels(), 0.0F);
    for (std::int64_t row = begin * s.rows(); row < end * s.rows(); ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      float* plane = gx + row / s.rows() * s.pixels();
      const float* from = g + row * s.width.outputs;
      for (std::int64_t ox = 0; ox < s.width.outputs; ox += block) {
        const std::int64_t count = std::min(block, s.width.outputs - ox);
        const PoolWindow& wx = s.x(ox);
        float* corner = plane + s.corner(wz, wy, wx);
        float shares[kBlock];
        for (std::int64_t i = 0; i < count; ++i)
          shares[i] = from[ox + i] / static_cast<float>(s.divisor(wz, wy, s.x(ox + i)));
        if (block == 1) {
          each_tap(s, wz, wy, wx,
                   [&](std::int64_t offset) PARE_INLINE_LAMBDA { corner[offset] += shares[0]; });
          continue;
        }
        each_tap_of_row(s, wz, wy, wx, count,
                        [&](std::int64_t offset, std::int64_t first, std::int64_t past)
                            PARE_INLINE_LAMBDA {
                              float* to = corner + offset;
                              for (std::int64_t i = first; i < past; ++i)
                                to[i * stride] += shares[i];
                            });
      }
    }
  });
}

}  // namespace

void average_forward(const PoolSizes& sizes, const Tensor& x, Tensor& y) {
  if (y.elements() == 0) return;
  if (x.dtype() == DType::i8) {
    run_forward<std::int8_t>(sizes, x, y);
  } else if (x.dtype() == DType::u8) {
    run_forward<std::uint8_t>(sizes, x, y);
  } else {
    run_forward<float>(sizes, x, y);
  }
}

Tensor average_backward(const PoolSizes& s, const Tensor& gradient, const Shape& shape,
                        MemoryFormat format) {
  Tensor gx = Tensor::empty(shape, DType::f32, format);
  const bool last = gx.channels_last();
  const float* g = gradient.data<float>();
  float* to = gx.mutable_data<float>();
  parallel_for(0, last ? s.batch : s.batch * s.channels,
               1 + 16384 / (s.pixels() * (last ? s.channels : 1) + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 if (last) {
                   backward_last(s, g, to, begin, end);
                 } else {
                   backward_rows(s, g, to, begin, end);
                 }
               });
  return gx;
}

}  // namespace pare
