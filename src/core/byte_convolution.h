// Convolution of u8 pictures with i8 weights on AVX2 without VNNI, exact in 32 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "pare/core/ops/contraction.h"
#include "pare/core/tensor.h"

namespace pare {

/// What becomes of a sum: v = sum · multiplier + (residual − residual_zero) · residual_scale,
/// clipped to [low, high]; as it is for f32, else round_half_even(v) + zero_point.
struct ByteEpilogue {
  DType destination = DType::u8;  ///< u8, i8 or f32
  bool residual = false;          ///< the destination holds it
  DType residual_dtype = DType::u8;
  float residual_zero = 0;
  float residual_scale = 1;
  /// False where the destination's own bounds do it, and v cannot leave 32 bits.
  bool clips = true;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  std::int32_t zero_point = 0;
};

struct ByteConvolutionSpec {
  std::int64_t batch = 1, height = 1, width = 1;
  Tensor weight;  ///< i8 [O, C, kH, kW], row-major
  Conv2dAttributes attributes;
  std::uint8_t source_zero = 0;
  std::vector<std::int32_t> bias;  ///< [O], in units of the sums; empty: none
  std::vector<float> multipliers;  ///< [O]
  ByteEpilogue epilogue;
};

/// 3 by 3 convolutions of stride 1 go through byte_winograd.h, depthwise ones through
/// byte_depthwise.h. Else: the CPU multiplies 32 pairs of
/// bytes at once but adds neighbours in 16 bits, saturating. Weights are laid so that what is added
/// in 16 bits cannot reach the bounds whatever the picture: then two products of neighbours share
/// the widening to 32 bits, which costs as much as a product. Weights for which there is no such
/// order, and a copy of the picture, are widened to 16 bits; their products are summed in 32.
class ByteConvolution {
 public:
  /// Null where it is not for this CPU (VNNI) or this convolution: groups of several channels.
  /// Made for max_threads() threads.
  static std::unique_ptr<ByteConvolution> make(const ByteConvolutionSpec& spec);
  virtual ~ByteConvolution() = default;
  virtual const char* name() const = 0;
  virtual std::size_t constant_bytes() const = 0;
  virtual std::size_t scratch_bytes() const = 0;
  /// Writes constant_bytes at a 64-byte aligned address and drops the weights.
  virtual void fill(std::byte* constants) = 0;
  /// The weights again, out of what fill wrote.
  virtual Tensor weight(const std::byte* constants) const = 0;
  /// Channels-last source and destination; in max_threads() threads.
  virtual void run(const std::byte* constants, const std::uint8_t* source, void* destination,
                   std::byte* scratch) const = 0;
};

}  // namespace pare
