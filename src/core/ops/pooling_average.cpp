// The loops of average pooling, over one to three spatial axes.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/multiversion.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

// Channels that one piece of work keeps sums of beside their taps.
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

/// Rows [begin, end) of the result, counted over batch, depth and height; a plane of a row-major
/// tensor is a picture of one channel.
template <class T>
void forward_channels(const PoolSizes& s, std::int64_t channels, const T* x, T* y,
                      std::int64_t begin, std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin; row < end; ++row) {
      const PoolWindow& wy = s.y(row % s.height.outputs);
      const PoolWindow& wz = s.z(row / s.height.outputs % s.depth.outputs);
      const T* picture = x + row / s.rows() * s.pixels() * channels;
      for (std::int64_t ox = 0; ox < s.width.outputs; ++ox) {
        const PoolWindow& wx = s.x(ox);
        const auto count = static_cast<float>(s.divisor(wz, wy, wx));
        const T* corner = picture + s.corner(wz, wy, wx) * channels;
        T* to = y + (row * s.width.outputs + ox) * channels;
        if (channels == 1) {
          Sum<T> sum = 0;
          each_tap(s, wz, wy, wx,
                   [&](std::int64_t offset) PARE_INLINE_LAMBDA { sum += corner[offset]; });
          *to = mean_of<T>(sum, count);
          continue;
        }
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

template <class T> void run_forward(const PoolSizes& s, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  const std::int64_t channels = y.channels_last() ? s.channels : 1;
  const std::int64_t pictures = y.channels_last() ? s.batch : s.batch * s.channels;
  parallel_for(0, pictures * s.rows(), 1 + 16384 / (s.width.outputs * s.taps() * channels + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 forward_channels(s, channels, from, to, begin, end);
               });
}

/// Pictures [begin, end).
void backward_pictures(const PoolSizes& s, std::int64_t channels, const float* g, float* gx,
                       std::int64_t begin, std::int64_t end) {
  multiversion([=, &s]() PARE_INLINE_LAMBDA {
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
        each_tap(s, wz, wy, wx, [&](std::int64_t offset) PARE_INLINE_LAMBDA {
          float* to = corner + offset * channels;
          for (std::int64_t c = 0; c < channels; ++c) to[c] += from[c] / count;
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
  const std::int64_t channels = last ? s.channels : 1;
  const float* g = gradient.data<float>();
  float* to = gx.mutable_data<float>();
  parallel_for(0, last ? s.batch : s.batch * s.channels, 1 + 16384 / (s.pixels() * channels + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 backward_pictures(s, channels, g, to, begin, end);
               });
  return gx;
}

}  // namespace pare
