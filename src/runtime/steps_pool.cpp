// Pooling of channels-last tensors: maximum, average and global average, f32 and 8-bit codes.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "core/multiversion.h"
#include "core/quantize_math.h"
#include "pare/core/parallel.h"
#include "runtime/steps.h"

namespace pare::runtime {
namespace {

// The windows of one element of the result.
struct Window {
  PoolWindow z, y, x;
};
// Indices within a row of the result.
struct Span {
  std::int64_t begin, end;
};

/// The greatest codes of a window, of N neighbouring channels: a number that is known makes vectors
/// of them where there are fewer than this CPU's longest hold.
template <int N, class T>
PARE_INLINE void maximum_of(const PoolSizes& s, const T* corner, const Window& w,
                            T* __restrict out) {
  T best[N];
  const T* first = corner + s.offset(w.z.begin, w.y.begin, w.x.begin) * s.channels;
  for (int c = 0; c < N; ++c) best[c] = first[c];
  for (std::int64_t kz = w.z.begin; kz < w.z.end; ++kz)
    for (std::int64_t ky = w.y.begin; ky < w.y.end; ++ky)
      for (std::int64_t kx = w.x.begin; kx < w.x.end; ++kx) {
        const T* in = corner + s.offset(kz, ky, kx) * s.channels;
        for (int c = 0; c < N; ++c) best[c] = in[c] > best[c] ? in[c] : best[c];
      }
  for (int c = 0; c < N; ++c) out[c] = best[c];
}

template <class T>
PARE_INLINE void maximum_of_codes(const PoolSizes& s, const T* corner, const Window& w,
                                  T* __restrict out) {
  std::int64_t c = 0;
  for (; c + 64 <= s.channels; c += 64) maximum_of<64>(s, corner + c, w, out + c);
  for (; c + 16 <= s.channels; c += 16) maximum_of<16>(s, corner + c, w, out + c);
  for (; c < s.channels; ++c) maximum_of<1>(s, corner + c, w, out + c);
}

PARE_INLINE void maximum_of_floats(const PoolSizes& s, const float* corner, const Window& w,
                                   float* __restrict out) {
  const std::int64_t channels = s.channels;
  const float* first = corner + s.offset(w.z.begin, w.y.begin, w.x.begin) * channels;
  for (std::int64_t c = 0; c < channels; ++c) out[c] = first[c];
  for (std::int64_t kz = w.z.begin; kz < w.z.end; ++kz)
    for (std::int64_t ky = w.y.begin; ky < w.y.end; ++ky)
      for (std::int64_t kx = w.x.begin; kx < w.x.end; ++kx) {
        const float* __restrict in = corner + s.offset(kz, ky, kx) * channels;
        // A NaN, once there, stays: it compares false against everything.
        for (std::int64_t c = 0; c < channels; ++c)
          out[c] = in[c] > out[c] || in[c] != in[c] ? in[c] : out[c];
      }
}

/// The windows [begin, end) of a row of results.
template <class T>
PARE_INLINE void maximum_body(const PoolSizes& s, const T* picture, const PoolWindow& wz,
                              const PoolWindow& wy, Span span, T* __restrict out) {
  for (std::int64_t i = span.begin; i < span.end; ++i, out += s.channels) {
    const Window w{wz, wy, s.x(i)};
    const T* corner = picture + s.corner(w.z, w.y, w.x) * s.channels;
    if constexpr (std::is_floating_point_v<T>)
      maximum_of_floats(s, corner, w, out);
    else
      maximum_of_codes(s, corner, w, out);
  }
}

// Sums `some` channels from `picture` on over the window: f32 in float, codes as whole numbers.
constexpr std::int64_t kBlock = 64;
template <class T, class Sum>
PARE_INLINE void sum_body(const PoolSizes& s, const T* picture, std::int64_t some, const Window& w,
                          Sum* sums) {
  const T* corner = picture + s.corner(w.z, w.y, w.x) * s.channels;
  for (std::int64_t c = 0; c < kBlock; ++c) sums[c] = 0;
  for (std::int64_t kz = w.z.begin; kz < w.z.end; ++kz)
    for (std::int64_t ky = w.y.begin; ky < w.y.end; ++ky)
      for (std::int64_t kx = w.x.begin; kx < w.x.end; ++kx) {
        const T* in = corner + s.offset(kz, ky, kx) * s.channels;
        for (std::int64_t c = 0; c < some; ++c) sums[c] += static_cast<Sum>(in[c]);
      }
}

using U = std::uint8_t;
using S = std::int8_t;
using F = float;
using I = std::int64_t;
using I32 = std::int32_t;
#define PARE_POOL_KERNELS(T, Sum, suffix)                                                         \
  PARE_INLINE void maximum_##suffix##_body(const PoolSizes& s, const T* p, const PoolWindow& z,   \
                                           const PoolWindow& y, Span x, T* out) {                 \
    maximum_body(s, p, z, y, x, out);                                                             \
  }                                                                                               \
  PARE_MULTIVERSION(                                                                              \
      void, maximum_##suffix,                                                                     \
      (const PoolSizes& s, const T* p, const PoolWindow& z, const PoolWindow& y, Span x, T* out), \
      (s, p, z, y, x, out))                                                                       \
  PARE_INLINE void sum_##suffix##_body(const PoolSizes& s, const T* p, I some, const Window& w,   \
                                       Sum* sums) {                                               \
    sum_body(s, p, some, w, sums);                                                                \
  }                                                                                               \
  PARE_MULTIVERSION(void, sum_##suffix,                                                           \
                    (const PoolSizes& s, const T* p, I some, const Window& w, Sum* sums),         \
                    (s, p, some, w, sums))
PARE_POOL_KERNELS(F, F, f32)
PARE_POOL_KERNELS(U, I32, u8)
PARE_POOL_KERNELS(S, I32, i8)
#undef PARE_POOL_KERNELS

template <class T>
void maximum(const PoolSizes& s, const T* p, const PoolWindow& z, const PoolWindow& y, Span x,
             T* out) {
  if constexpr (std::is_same_v<T, F>)
    maximum_f32(s, p, z, y, x, out);
  else if constexpr (std::is_same_v<T, U>)
    maximum_u8(s, p, z, y, x, out);
  else
    maximum_i8(s, p, z, y, x, out);
}
void sum(const PoolSizes& s, const F* p, I n, const Window& w, F* to) { sum_f32(s, p, n, w, to); }
void sum(const PoolSizes& s, const U* p, I n, const Window& w, I32* to) { sum_u8(s, p, n, w, to); }
void sum(const PoolSizes& s, const S* p, I n, const Window& w, I32* to) { sum_i8(s, p, n, w, to); }

class PoolStep final : public Step {
 public:
  explicit PoolStep(const PoolStepSpec& spec) : spec_(spec) {
    reads = {spec.from};
    writes = {spec.to};
    info.kernel = spec.kernel;
  }

  void run(const Frame& frame, StepState* /*state*/) const override {
    switch (spec_.source.dtype) {
      case DType::f32:
        return run_as<F>(frame);
      case DType::u8:
        return run_as<U>(frame);
      default:
        return run_as<S>(frame);
    }
  }

 private:
  template <class T> void run_as(const Frame& frame) const {
    const PoolSizes& s = spec_.sizes;
    const T* from = frame.at<const T>(spec_.from);
    const std::int64_t places = s.batch * s.rows() * s.width.outputs;
    const std::int64_t work = s.channels * s.taps();
    const std::int64_t grain =
        std::max<std::int64_t>(1, (1 << 16) / std::max<std::int64_t>(1, work));
    parallel_for(0, places, grain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t width = s.width.outputs;
      for (std::int64_t i = begin; i < end;) {
        const std::int64_t row = i / width;
        const Span span{i - row * width, std::min(width, end - row * width)};
        const PoolWindow& z = s.z(row / s.height.outputs % s.depth.outputs);
        const PoolWindow& y = s.y(row % s.height.outputs);
        const T* picture = from + row / s.rows() * s.pixels() * s.channels;
        if (spec_.max)
          maximum(s, picture, z, y, span, frame.at<T>(spec_.to) + i * s.channels);
        else
          for (std::int64_t x = span.begin; x < span.end; ++x)
            average(frame, picture, {z, y, s.x(x)}, (row * width + x) * s.channels);
        i = row * width + span.end;
      }
    });
  }

  template <class T>
  void average(const Frame& frame, const T* picture, const Window& w, std::int64_t out) const {
    using Sum = std::conditional_t<std::is_same_v<T, F>, F, I32>;
    Sum sums[kBlock];
    const auto count = static_cast<std::int32_t>((w.z.end - w.z.begin) * (w.y.end - w.y.begin) *
                                                 (w.x.end - w.x.begin));
    const auto divisor = static_cast<float>(spec_.sizes.divisor(w.z, w.y, w.x));
    const std::int64_t channels = spec_.sizes.channels;
    for (std::int64_t c0 = 0; c0 < channels; c0 += kBlock) {
      const std::int64_t some = std::min(kBlock, channels - c0);
      sum(spec_.sizes, picture + c0, some, w, sums);
      for (std::int64_t c = 0; c < some; ++c) {
        float total = 0;
        if constexpr (std::is_same_v<T, F>)
          total = sums[c];
        else
          total = static_cast<float>(sums[c] - count * spec_.source.zero_point) *
                  static_cast<float>(spec_.source.scale);
        store(frame, out + c0 + c, total / divisor);
      }
    }
  }

  void store(const Frame& frame, std::int64_t at, float value) const {
    if (spec_.destination.dtype == DType::f32) {
      frame.at<float>(spec_.to)[at] = value;
      return;
    }
    const int z = spec_.destination.zero_point;
    const float centred =
        centred_code(value, static_cast<float>(spec_.destination.scale),
                     static_cast<float>(spec_.qmin - z), static_cast<float>(spec_.qmax - z));
    const int code = static_cast<int>(centred) + z;
    if (spec_.destination.dtype == DType::u8)
      frame.at<U>(spec_.to)[at] = static_cast<U>(code);
    else
      frame.at<S>(spec_.to)[at] = static_cast<S>(code);
  }

  PoolStepSpec spec_;
};

}  // namespace

std::unique_ptr<Step> pool_step(const PoolStepSpec& spec) {
  return std::make_unique<PoolStep>(spec);
}

}  // namespace pare::runtime
