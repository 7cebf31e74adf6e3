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

// The part of the picture under the kernel at one place of the output.
struct Window {
  std::int64_t y0, y1, x0, x1;
};

Window window_at(const PoolStepSpec& s, std::int64_t oy, std::int64_t ox) {
  if (s.kind == PoolStepSpec::Kind::global_average) return {0, s.height, 0, s.width};
  const auto& a = s.attributes;
  const std::int64_t y = oy * a.stride[0] - a.padding[0];
  const std::int64_t x = ox * a.stride[1] - a.padding[1];
  return {std::max<std::int64_t>(y, 0), std::min(y + a.kernel[0], s.height),
          std::max<std::int64_t>(x, 0), std::min(x + a.kernel[1], s.width)};
}

// How many elements an average divides by.
std::int64_t divisor_at(const PoolStepSpec& s, const Window& w, std::int64_t oy, std::int64_t ox) {
  const auto& a = s.attributes;
  if (s.kind == PoolStepSpec::Kind::global_average || !a.count_include_pad)
    return (w.y1 - w.y0) * (w.x1 - w.x0);
  // PyTorch: padding counts, what lies beyond the padded picture does not.
  const std::int64_t y = oy * a.stride[0] - a.padding[0];
  const std::int64_t x = ox * a.stride[1] - a.padding[1];
  return (std::min(y + a.kernel[0], s.height + a.padding[2]) - y) *
         (std::min(x + a.kernel[1], s.width + a.padding[3]) - x);
}

template <class T>
PARE_INLINE void maximum_body(const T* picture, std::int64_t width, std::int64_t channels,
                              const Window& window, T* out) {
  const Window w = window;
  const T* first = picture + (w.y0 * width + w.x0) * channels;
  for (std::int64_t c = 0; c < channels; ++c) out[c] = first[c];
  for (std::int64_t y = w.y0; y < w.y1; ++y)
    for (std::int64_t x = w.x0; x < w.x1; ++x) {
      const T* in = picture + (y * width + x) * channels;
      // A NaN, once there, stays: it compares false against everything.
      for (std::int64_t c = 0; c < channels; ++c) {
        if constexpr (std::is_floating_point_v<T>)
          out[c] = in[c] > out[c] || in[c] != in[c] ? in[c] : out[c];
        else
          out[c] = in[c] > out[c] ? in[c] : out[c];
      }
    }
}

// Sums channels [c0, c0 + some) over the window: f32 in float, codes as whole numbers.
constexpr std::int64_t kBlock = 64;
template <class T, class Sum>
PARE_INLINE void sum_body(const T* picture, std::int64_t width, std::int64_t channels,
                          std::int64_t some, const Window& window, Sum* sums) {
  const Window w = window;
  for (std::int64_t c = 0; c < kBlock; ++c) sums[c] = 0;
  for (std::int64_t y = w.y0; y < w.y1; ++y)
    for (std::int64_t x = w.x0; x < w.x1; ++x) {
      const T* in = picture + (y * width + x) * channels;
      for (std::int64_t c = 0; c < some; ++c) sums[c] += static_cast<Sum>(in[c]);
    }
}

using U = std::uint8_t;
using S = std::int8_t;
using F = float;
using I = std::int64_t;
using I32 = std::int32_t;
#define PARE_POOL_KERNELS(T, Sum, suffix)                                                        \
  PARE_INLINE void maximum_##suffix##_body(const T* p, I width, I channels, const Window& w,     \
                                           T* out) {                                             \
    maximum_body(p, width, channels, w, out);                                                    \
  }                                                                                              \
  PARE_MULTIVERSION(void, maximum_##suffix,                                                      \
                    (const T* p, I width, I channels, const Window& w, T* out),                  \
                    (p, width, channels, w, out))                                                \
  PARE_INLINE void sum_##suffix##_body(const T* p, I width, I channels, I some, const Window& w, \
                                       Sum* sums) {                                              \
    sum_body(p, width, channels, some, w, sums);                                                 \
  }                                                                                              \
  PARE_MULTIVERSION(void, sum_##suffix,                                                          \
                    (const T* p, I width, I channels, I some, const Window& w, Sum* sums),       \
                    (p, width, channels, some, w, sums))
PARE_POOL_KERNELS(F, F, f32)
PARE_POOL_KERNELS(U, I32, u8)
PARE_POOL_KERNELS(S, I32, i8)
#undef PARE_POOL_KERNELS

void maximum(const F* p, I width, I c, const Window& w, F* out) {
  maximum_f32(p, width, c, w, out);
}
void maximum(const U* p, I width, I c, const Window& w, U* out) { maximum_u8(p, width, c, w, out); }
void maximum(const S* p, I width, I c, const Window& w, S* out) { maximum_i8(p, width, c, w, out); }
void sum(const F* p, I width, I c, I n, const Window& w, F* s) { sum_f32(p, width, c, n, w, s); }
void sum(const U* p, I width, I c, I n, const Window& w, I32* s) { sum_u8(p, width, c, n, w, s); }
void sum(const S* p, I width, I c, I n, const Window& w, I32* s) { sum_i8(p, width, c, n, w, s); }

class PoolStep final : public Step {
 public:
  explicit PoolStep(const PoolStepSpec& spec) : spec_(spec) {
    reads = {spec.from};
    writes = {spec.to};
    info.kernel = spec.kind == PoolStepSpec::Kind::max       ? "max pool"
                  : spec.kind == PoolStepSpec::Kind::average ? "average pool"
                                                             : "global average pool";
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
    const T* from = frame.at<const T>(spec_.from);
    const std::int64_t places = spec_.batch * spec_.out_height * spec_.out_width;
    const std::int64_t work =
        spec_.channels * (spec_.kind == PoolStepSpec::Kind::global_average
                              ? spec_.height * spec_.width
                              : spec_.attributes.kernel[0] * spec_.attributes.kernel[1]);
    const std::int64_t grain =
        std::max<std::int64_t>(1, (1 << 16) / std::max<std::int64_t>(1, work));
    parallel_for(0, places, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t ox = i % spec_.out_width;
        const std::int64_t oy = i / spec_.out_width % spec_.out_height;
        const std::int64_t n = i / (spec_.out_width * spec_.out_height);
        const T* picture = from + n * spec_.height * spec_.width * spec_.channels;
        const Window w = window_at(spec_, oy, ox);
        if (spec_.kind == PoolStepSpec::Kind::max)
          maximum(picture, spec_.width, spec_.channels, w,
                  frame.at<T>(spec_.to) + i * spec_.channels);
        else
          average(frame, picture, w, divisor_at(spec_, w, oy, ox), i * spec_.channels);
      }
    });
  }

  template <class T>
  void average(const Frame& frame, const T* picture, const Window& w, std::int64_t divisor,
               std::int64_t out) const {
    using Sum = std::conditional_t<std::is_same_v<T, F>, F, I32>;
    Sum sums[kBlock];
    const auto count = static_cast<std::int32_t>((w.y1 - w.y0) * (w.x1 - w.x0));
    for (std::int64_t c0 = 0; c0 < spec_.channels; c0 += kBlock) {
      const std::int64_t some = std::min(kBlock, spec_.channels - c0);
      sum(picture + c0, spec_.width, spec_.channels, some, w, sums);
      for (std::int64_t c = 0; c < some; ++c) {
        float total = 0;
        if constexpr (std::is_same_v<T, F>)
          total = sums[c];
        else
          total = static_cast<float>(sums[c] - count * spec_.source.zero_point) *
                  static_cast<float>(spec_.source.scale);
        store(frame, out + c0 + c, total / static_cast<float>(divisor));
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
