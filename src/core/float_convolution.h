// Convolutions in f32 on AVX2 that beat oneDNN's: 3 by 3 ones, and those of few channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "pare/core/ops/contraction.h"
#include "pare/core/tensor.h"

namespace pare {

struct FloatConvolutionSpec {
  std::int64_t batch = 1, height = 1, width = 1;
  Tensor weight;  ///< f32 [O, C, kH, kW], row-major
  Tensor bias;    ///< [O] or undefined
  Conv2dAttributes attributes;
  bool residual = false;  ///< the destination holds what is added to the result, then clipped
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

class FloatConvolution {
 public:
  /// Null where this CPU or the shape has no use for it: more than AVX2, groups, output channels
  /// that are no multiple of 16, many input channels. Made for max_threads() threads.
  static std::unique_ptr<FloatConvolution> make(const FloatConvolutionSpec& spec);
  virtual ~FloatConvolution() = default;
  virtual const char* name() const = 0;
  virtual std::size_t constant_bytes() const = 0;
  virtual std::size_t scratch_bytes() const = 0;
  /// Writes constant_bytes at a 64-byte aligned address and drops the weights.
  virtual void fill(std::byte* constants) = 0;
  /// The weights again, out of what fill wrote; but for rounding where they were transformed.
  virtual Tensor weight(const std::byte* constants) const = 0;
  /// Whether two fillings are of the same weights, or of the same but for that rounding.
  virtual bool same(const std::byte* a, const std::byte* b) const;
  /// Channels-last source and destination; in max_threads() threads.
  virtual void run(const std::byte* constants, const float* source, float* destination,
                   std::byte* scratch) const = 0;
};

}  // namespace pare
