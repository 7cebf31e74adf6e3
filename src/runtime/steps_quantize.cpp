// Quantization, dequantization and sums: between f32 and codes, element by element.
#include <algorithm>

#include "core/multiversion.h"
#include "core/quantize_math.h"
#include "pare/core/parallel.h"
#include "runtime/steps.h"

namespace pare::runtime {
namespace {

constexpr std::int64_t kGrain = 1 << 15;

// An encoding in the form the loops read.
struct Code {
  float scale, zero, low, high;  // low and high: of the code less its zero point
  std::int32_t whole_zero;
  Code(const Encoding& e, int qmin, int qmax)
      : scale(static_cast<float>(e.scale)),
        zero(static_cast<float>(e.zero_point)),
        low(static_cast<float>(qmin - e.zero_point)),
        high(static_cast<float>(qmax - e.zero_point)),
        whole_zero(e.zero_point) {}
};

template <class Q>
PARE_INLINE void quantize_body(const float* x, Q* y, std::int64_t n, const Code& c) {
  const Code code = c;
  for (std::int64_t i = 0; i < n; ++i)
    y[i] = static_cast<Q>(quantized(x[i], code.scale, code.whole_zero, code.low, code.high));
}
PARE_INLINE void to_u8_body(const float* x, std::uint8_t* y, std::int64_t n, const Code& c) {
  quantize_body(x, y, n, c);
}
PARE_INLINE void to_i8_body(const float* x, std::int8_t* y, std::int64_t n, const Code& c) {
  quantize_body(x, y, n, c);
}
PARE_MULTIVERSION(void, to_u8, (const float* x, std::uint8_t* y, std::int64_t n, const Code& c),
                  (x, y, n, c))
PARE_MULTIVERSION(void, to_i8, (const float* x, std::int8_t* y, std::int64_t n, const Code& c),
                  (x, y, n, c))

template <class Q>
PARE_INLINE void dequantize_body(const Q* x, float* y, std::int64_t n, const Code& c) {
  const Code code = c;
  for (std::int64_t i = 0; i < n; ++i)
    y[i] = (static_cast<float>(static_cast<std::int32_t>(x[i])) - code.zero) * code.scale;
}
PARE_INLINE void from_u8_body(const std::uint8_t* x, float* y, std::int64_t n, const Code& c) {
  dequantize_body(x, y, n, c);
}
PARE_INLINE void from_i8_body(const std::int8_t* x, float* y, std::int64_t n, const Code& c) {
  dequantize_body(x, y, n, c);
}
PARE_MULTIVERSION(void, from_u8, (const std::uint8_t* x, float* y, std::int64_t n, const Code& c),
                  (x, y, n, c))
PARE_MULTIVERSION(void, from_i8, (const std::int8_t* x, float* y, std::int64_t n, const Code& c),
                  (x, y, n, c))

struct Sum {
  Code a, b, to;
  float low, high;
};

template <class A, class B, class Q>
PARE_INLINE void add_codes_body(const A* a, const B* b, Q* y, std::int64_t n, const Sum& s) {
  const Sum sum = s;
  for (std::int64_t i = 0; i < n; ++i) {
    const float left =
        (static_cast<float>(static_cast<std::int32_t>(a[i])) - sum.a.zero) * sum.a.scale;
    const float right =
        (static_cast<float>(static_cast<std::int32_t>(b[i])) - sum.b.zero) * sum.b.scale;
    float v = left + right;
    v = v > sum.low ? v : sum.low;
    v = v < sum.high ? v : sum.high;
    y[i] = static_cast<Q>(static_cast<std::int32_t>(
        centred_code(v, sum.to.scale, sum.to.low, sum.to.high) + sum.to.zero));
  }
}
using U = std::uint8_t;
using S = std::int8_t;
PARE_INLINE void add_uuu_body(const U* a, const U* b, U* y, std::int64_t n, const Sum& s) {
  add_codes_body(a, b, y, n, s);
}
PARE_MULTIVERSION(void, add_uuu, (const U* a, const U* b, U* y, std::int64_t n, const Sum& s),
                  (a, b, y, n, s))
PARE_INLINE void add_ssu_body(const S* a, const S* b, U* y, std::int64_t n, const Sum& s) {
  add_codes_body(a, b, y, n, s);
}
PARE_MULTIVERSION(void, add_ssu, (const S* a, const S* b, U* y, std::int64_t n, const Sum& s),
                  (a, b, y, n, s))
PARE_INLINE void add_sss_body(const S* a, const S* b, S* y, std::int64_t n, const Sum& s) {
  add_codes_body(a, b, y, n, s);
}
PARE_MULTIVERSION(void, add_sss, (const S* a, const S* b, S* y, std::int64_t n, const Sum& s),
                  (a, b, y, n, s))

PARE_INLINE void add_clip_body(const float* a, const float* b, float* y, std::int64_t n, float low,
                               float high) {
  for (std::int64_t i = 0; i < n; ++i) {
    // Written so that NaN passes, as it does through relu and clamp.
    float v = a[i] + b[i];
    v = v < low ? low : v;
    v = v > high ? high : v;
    y[i] = v;
  }
}
PARE_MULTIVERSION(void, add_clip,
                  (const float* a, const float* b, float* y, std::int64_t n, float low, float high),
                  (a, b, y, n, low, high))
PARE_INLINE void clip_body(const float* x, float* y, std::int64_t n, float low, float high) {
  for (std::int64_t i = 0; i < n; ++i) {
    float v = x[i];
    v = v < low ? low : v;
    v = v > high ? high : v;
    y[i] = v;
  }
}
PARE_MULTIVERSION(void, clip, (const float* x, float* y, std::int64_t n, float low, float high),
                  (x, y, n, low, high))

// Three channels one after the other become pixels of three.
template <class Q>
void interleave(const Q* planes, std::int64_t plane, std::int64_t channels, std::int64_t pixels,
                Q* y) {
  if (channels == 3) {
    const Q* r = planes;
    const Q* g = planes + plane;
    const Q* b = planes + 2 * plane;
    for (std::int64_t p = 0; p < pixels; ++p, y += 3) {
      y[0] = r[p];
      y[1] = g[p];
      y[2] = b[p];
    }
    return;
  }
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t p = 0; p < pixels; ++p) y[p * channels + c] = planes[c * plane + p];
}

class QuantizeStep final : public Step {
 public:
  explicit QuantizeStep(const QuantizeStepSpec& spec)
      : spec_(spec), code_(spec.encoding, spec.qmin, spec.qmax) {
    reads = {spec.from};
    writes = {spec.to};
    info.kernel = spec.to_channels_last ? "quantize to channels-last" : "quantize";
  }

  void run(const Frame& frame, StepState* /*state*/) const override {
    const auto* x = frame.at<const float>(spec_.from);
    if (spec_.encoding.dtype == DType::u8)
      run_as(x, frame.at<std::uint8_t>(spec_.to));
    else
      run_as(x, frame.at<std::int8_t>(spec_.to));
  }

 private:
  void quantize(const float* x, std::uint8_t* y, std::int64_t n) const { to_u8(x, y, n, code_); }
  void quantize(const float* x, std::int8_t* y, std::int64_t n) const { to_i8(x, y, n, code_); }

  template <class Q> void run_as(const float* x, Q* y) const {
    if (!spec_.to_channels_last) {
      parallel_for(0, spec_.batch * spec_.channels * spec_.pixels, kGrain,
                   [&](std::int64_t b, std::int64_t e) { quantize(x + b, y + b, e - b); });
      return;
    }
    // Blocks of pixels whose codes stay in the first cache until they are interleaved.
    constexpr std::int64_t kCodes = 4096;
    const std::int64_t channels = spec_.channels;
    const std::int64_t channel_block = std::min<std::int64_t>(channels, 64);
    const std::int64_t pixel_block = kCodes / channel_block;
    const std::int64_t blocks = (spec_.pixels + pixel_block - 1) / pixel_block;
    parallel_for(
        0, spec_.batch * blocks, std::max<std::int64_t>(1, kGrain / (pixel_block * channels)),
        [&](std::int64_t begin, std::int64_t end) {
          Q codes[kCodes];
          for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t n = i / blocks;
            const std::int64_t p = i % blocks * pixel_block;
            const std::int64_t count = std::min(pixel_block, spec_.pixels - p);
            for (std::int64_t c0 = 0; c0 < channels; c0 += channel_block) {
              const std::int64_t some = std::min(channel_block, channels - c0);
              for (std::int64_t c = 0; c < some; ++c)
                quantize(x + (n * channels + c0 + c) * spec_.pixels + p, codes + c * count, count);
              scatter(codes, count, some, y + (n * spec_.pixels + p) * channels + c0);
            }
          }
        });
  }
  template <class Q>
  void scatter(const Q* codes, std::int64_t count, std::int64_t some, Q* y) const {
    if (some == spec_.channels) return interleave(codes, count, some, count, y);
    for (std::int64_t c = 0; c < some; ++c)
      for (std::int64_t p = 0; p < count; ++p) y[p * spec_.channels + c] = codes[c * count + p];
  }

  QuantizeStepSpec spec_;
  Code code_;
};

class DequantizeStep final : public Step {
 public:
  DequantizeStep(int from, int to, std::int64_t count, const Encoding& encoding)
      : from_(from),
        to_(to),
        count_(count),
        is_u8_(encoding.dtype == DType::u8),
        code_(encoding, 0, 0) {
    reads = {from};
    writes = {to};
    info.kernel = "dequantize";
  }
  void run(const Frame& frame, StepState* /*state*/) const override {
    auto* y = frame.at<float>(to_);
    parallel_for(0, count_, kGrain, [&](std::int64_t b, std::int64_t e) {
      if (is_u8_)
        from_u8(frame.at<const std::uint8_t>(from_) + b, y + b, e - b, code_);
      else
        from_i8(frame.at<const std::int8_t>(from_) + b, y + b, e - b, code_);
    });
  }

 private:
  int from_, to_;
  std::int64_t count_;
  bool is_u8_;
  Code code_;
};

class AddStep final : public Step {
 public:
  explicit AddStep(const AddStepSpec& spec)
      : spec_(spec),
        sum_{Code(spec.a_encoding, 0, 0), Code(spec.b_encoding, 0, 0),
             Code(spec.to_encoding, spec.qmin, spec.qmax), spec.low, spec.high} {
    reads = {spec.a, spec.b};
    writes = {spec.to};
    info.kernel = spec.to_encoding.dtype == DType::f32 ? "add" : "add and requantize";
  }
  void run(const Frame& frame, StepState* /*state*/) const override {
    parallel_for(0, spec_.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t n = end - begin;
      if (spec_.to_encoding.dtype == DType::f32)
        add_clip(frame.at<const float>(spec_.a) + begin, frame.at<const float>(spec_.b) + begin,
                 frame.at<float>(spec_.to) + begin, n, spec_.low, spec_.high);
      else if (spec_.a_encoding.dtype == DType::u8)
        add_uuu(frame.at<const U>(spec_.a) + begin, frame.at<const U>(spec_.b) + begin,
                frame.at<U>(spec_.to) + begin, n, sum_);
      else if (spec_.to_encoding.dtype == DType::u8)
        add_ssu(frame.at<const S>(spec_.a) + begin, frame.at<const S>(spec_.b) + begin,
                frame.at<U>(spec_.to) + begin, n, sum_);
      else
        add_sss(frame.at<const S>(spec_.a) + begin, frame.at<const S>(spec_.b) + begin,
                frame.at<S>(spec_.to) + begin, n, sum_);
    });
  }

 private:
  AddStepSpec spec_;
  Sum sum_;
};

class ClipStep final : public Step {
 public:
  ClipStep(int from, int to, std::int64_t count, float low, float high)
      : from_(from), to_(to), count_(count), low_(low), high_(high) {
    reads = {from};
    writes = {to};
    info.kernel = "clip";
  }
  void run(const Frame& frame, StepState* /*state*/) const override {
    parallel_for(0, count_, kGrain, [&](std::int64_t b, std::int64_t e) {
      clip(frame.at<const float>(from_) + b, frame.at<float>(to_) + b, e - b, low_, high_);
    });
  }

 private:
  int from_, to_;
  std::int64_t count_;
  float low_, high_;
};

}  // namespace

std::unique_ptr<Step> quantize_step(const QuantizeStepSpec& spec) {
  return std::make_unique<QuantizeStep>(spec);
}

std::unique_ptr<Step> dequantize_step(int from, int to, std::int64_t count,
                                      const Encoding& encoding) {
  return std::make_unique<DequantizeStep>(from, to, count, encoding);
}

std::unique_ptr<Step> add_step(const AddStepSpec& spec) { return std::make_unique<AddStep>(spec); }

std::unique_ptr<Step> clip_step(int from, int to, std::int64_t count, float low, float high) {
  return std::make_unique<ClipStep>(from, to, count, low, high);
}

}  // namespace pare::runtime
