// oneDNN's int8 arithmetic in plain C++: the float forms of docs/numerics.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/primitives.h"

namespace pare::test {

/// One output channel's constants.
struct ChannelModel {
  float multiplier;  ///< source scale · weight scale / destination scale, rounded once
  float bias;
  bool biased;
};

/// `sum_bias`: integer bias and what source zero points put there, in units of the sum.
inline ChannelModel channel_model(bool version3, const runtime::Encoding& source,
                                  double weight_scale, const runtime::Encoding& destination,
                                  std::int64_t sum_bias, bool biased) {
  const bool real = destination.dtype == DType::f32;
  const double m = source.scale * weight_scale / (real ? 1.0 : destination.scale);
  const double zero = real ? 0.0 : destination.zero_point;
  const double bias = version3 ? static_cast<double>(sum_bias) * m + zero
                               : static_cast<double>(sum_bias) + zero / m;
  return {static_cast<float>(m), static_cast<float>(bias), biased || zero != 0};
}

/// What the primitive stores for a sum of products: the code, or the real value for f32.
inline double model_output(bool version3, std::int64_t sum, const ChannelModel& channel,
                           const runtime::Epilogue& epilogue, const runtime::Encoding& destination,
                           double previous) {
  const bool real = destination.dtype == DType::f32;
  const double scale = real ? 1.0 : destination.scale;
  const double zero = real ? 0.0 : destination.zero_point;
  const auto s = static_cast<float>(sum);
  float v = 0;
  if (version3) {
    v = s * channel.multiplier;
    if (channel.biased) v = v + channel.bias;
  } else {
    v = channel.biased ? (s + channel.bias) * channel.multiplier : s * channel.multiplier;
  }
  if (epilogue.residual) {
    const auto& other = epilogue.residual_encoding;
    const bool quantized = other.dtype != DType::f32;
    const auto ratio = static_cast<float>((quantized ? other.scale : 1.0) / scale);
    v = std::fma(static_cast<float>(previous - (quantized ? other.zero_point : 0)), ratio, v);
  }
  const auto bound = [&](double x) { return static_cast<float>(x / scale + zero); };
  v = std::min(std::max(v, bound(epilogue.low)), bound(epilogue.high));
  if (real) return v;
  const float low = destination.dtype == DType::u8 ? 0.0F : -128.0F;
  const float high = destination.dtype == DType::u8 ? 255.0F : 127.0F;
  return std::nearbyint(std::min(std::max(v, low), high));
}

}  // namespace pare::test
