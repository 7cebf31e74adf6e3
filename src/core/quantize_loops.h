// Loops of quantization: a scale and zero point for all of a tensor, or for each channel of an
// axis.
#pragma once

#include <vector>

#include "core/broadcast.h"
#include "core/quantize_math.h"

namespace pare {

/// What one element is quantized by; low and high as in quantize_math.h.
struct CodeSpace {
  float scale;
  std::int32_t zero;
  float low;
  float high;
};

/// The scales and zero points of a call, and where their channels lie in memory.
struct QuantizeParameters {
  std::int64_t outer = 1;  ///< blocks of channels · inner elements
  std::int64_t channels = 1;
  std::int64_t inner = 1;  ///< neighbours in memory that share a channel
  std::vector<float> scale;
  std::vector<std::int32_t> zero;
  std::vector<float> low;
  std::vector<float> high;
  bool fits = true;  ///< all within the forms in float

  /// inputs: the tensor, its scale, its zero point (or none: 0).
  QuantizeParameters(const Tensor& x, const Tensor& scales, const Tensor& zeros, std::int64_t axis,
                     std::int64_t qmin, std::int64_t qmax);

  /// Throws invalid_argument naming `where` for a scale that is not finite and above 0.
  void check_scales(const char* where) const;

  CodeSpace at(std::int64_t channel) const {
    const auto c = static_cast<std::size_t>(channel);
    return {scale[c], zero[c], low[c], high[c]};
  }
};

/// Checks inputs 1 (scale) and 2 (zero point, which may be left out) against input 0 and `axis`.
/// The zero point is i32 or of the dtype of the codes.
void check_quantize_parameters(const InferArgs& args, std::int64_t axis, DType codes);

/// i8, u8, i16, u16 or i32.
bool is_code_type(DType dtype);

/// States that the scale and zero point belong to their axis of the tensor.
void link_quantize_channels(std::int64_t axis, ChannelLinks& links);
/// Adds QuantizeLinear to `dtype`, clipped where [qmin, qmax] is narrower than it, of input 0.
void emit_quantize(OnnxEmitter& e, DType dtype, std::int64_t axis, std::int64_t qmin,
                   std::int64_t qmax, const std::string& output);
/// Adds DequantizeLinear of `codes` with inputs 1 and 2.
void emit_dequantize(OnnxEmitter& e, const std::string& codes, DType dtype, std::int64_t axis);

/// y[i] = f(a[i], b[i], code space of element i); y may be a or b.
template <class A, class B, class Out, class F>
void map_codes(const QuantizeParameters& p, const A* a, const B* b, Out* y, F f) {
  if (p.outer == 0) return;
  const auto one_channel = [&](std::int64_t first, std::int64_t count, std::int64_t channel) {
    const CodeSpace space = p.at(channel);
    const A* from_a = a + first;
    const B* from_b = b + first;
    Out* to = y + first;
    multiversion([=]() PARE_INLINE_LAMBDA {
      const A* __restrict left = from_a;
      const B* __restrict right = from_b;
      Out* __restrict out = to;
      for (std::int64_t i = 0; i < count; ++i) out[i] = f(left[i], right[i], space);
    });
  };
  if (p.channels == 1) {
    parallel_for(0, p.inner, kElementGrain,
                 [&](std::int64_t begin, std::int64_t end) { one_channel(begin, end - begin, 0); });
    return;
  }
  if (p.inner > 1) {
    const std::int64_t grain = kElementGrain / p.inner + 1;
    parallel_for(0, p.outer * p.channels, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) one_channel(i * p.inner, p.inner, i % p.channels);
    });
    return;
  }
  const float* scale = p.scale.data();
  const std::int32_t* zero = p.zero.data();
  const float* low = p.low.data();
  const float* high = p.high.data();
  const std::int64_t channels = p.channels;
  const std::int64_t grain = kElementGrain / channels + 1;
  parallel_for(0, p.outer, grain, [&](std::int64_t begin, std::int64_t end) {
    multiversion([=]() PARE_INLINE_LAMBDA {
      for (std::int64_t r = begin; r < end; ++r) {
        const A* __restrict left = a + r * channels;
        const B* __restrict right = b + r * channels;
        Out* __restrict out = y + r * channels;
        for (std::int64_t c = 0; c < channels; ++c)
          out[c] = f(left[c], right[c], CodeSpace{scale[c], zero[c], low[c], high[c]});
      }
    });
  });
}

}  // namespace pare
