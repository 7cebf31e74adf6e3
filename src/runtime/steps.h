// The kinds of steps, one function each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/byte_lookup.h"
#include "core/ops/pooling.h"
#include "core/strides.h"
#include "graph/integer_call.h"
#include "pare/core/op.h"
#include "runtime/primitives.h"
#include "runtime/step.h"

namespace pare::runtime {

struct Program;
struct Packed;

/// Bytes as they are.
std::unique_ptr<Step> copy_step(int from, int to, std::size_t bytes);

/// One piece of a rearrangement: element (i, j, …) of the piece lies at begin + Σ index · stride,
/// in elements.
struct CopyPiece {
  int from = -1;  ///< slot
  Shape shape;
  std::int64_t from_begin = 0;
  Strides from_strides{};
  std::int64_t to_begin = 0;
  Strides to_strides{};
  std::shared_ptr<const ByteTable> table;  ///< codes go through it; null: as they are
};
/// Fills the destination with `fill` (its first element_bytes bytes), where wanted, and copies the
/// pieces into it: concat, slice, pad, transpose and changes of memory format.
struct Rearrangement {
  int to = -1;
  std::size_t element_bytes = 4;
  std::size_t bytes = 0;  ///< of the destination
  bool filled = false;
  std::array<std::byte, 8> fill{};
  std::vector<CopyPiece> pieces;
};
std::unique_ptr<Step> rearrange_step(Rearrangement what);

/// f32 → codes by the one arithmetic of quantization; a picture given channel by channel becomes
/// channels-last at once.
struct QuantizeStepSpec {
  int from = -1;
  int to = -1;
  std::int64_t batch = 1;
  std::int64_t channels = 1;  ///< 1 where the order stays
  std::int64_t pixels = 1;
  bool to_channels_last = false;
  Encoding encoding;
  int qmin = 0;
  int qmax = 255;
};
std::unique_ptr<Step> quantize_step(const QuantizeStepSpec& spec);
/// Codes → f32.
std::unique_ptr<Step> dequantize_step(int from, int to, std::int64_t count,
                                      const Encoding& encoding);
/// Codes through a table.
std::unique_ptr<Step> table_step(int from, int to, std::int64_t count,
                                 std::shared_ptr<const ByteTable> table);

/// clip(a + b) in f32, or of codes with requantization.
struct AddStepSpec {
  int a = -1;
  int b = -1;
  int to = -1;
  std::int64_t count = 0;
  Encoding a_encoding;
  Encoding b_encoding;
  Encoding to_encoding;
  float low = 0;  ///< real units
  float high = 0;
  int qmin = 0;
  int qmax = 255;
};
std::unique_ptr<Step> add_step(const AddStepSpec& spec);
/// clip(x) in f32.
std::unique_ptr<Step> clip_step(int from, int to, std::int64_t count, float low, float high);

/// Pooling of a channels-last tensor, f32 or 8-bit codes.
struct PoolStepSpec {
  bool max;  ///< else the mean
  PoolSizes sizes;
  const char* kernel;  ///< how the plan names it
  int from = -1;
  int to = -1;
  Encoding source;  ///< for max the destination's too
  Encoding destination;
  int qmin = 0;
  int qmax = 255;
};
std::unique_ptr<Step> pool_step(const PoolStepSpec& spec);

/// A convolution or dense layer, whose constants are packed before it is bound.
std::unique_ptr<Step> primitive_step(int from, int to, std::shared_ptr<const Packed> packed);

/// Any call, through pare::forward. Slots −1: an input left out, an output not produced.
std::unique_ptr<Step> call_step(const Program& program, const Call& call,
                                const std::vector<int>& inputs, const std::vector<int>& outputs);

/// A recurrent layer on its weights' codes, each the primitive of a RecurrentWeight. Slots as
/// above, −1 for weights too.
std::unique_ptr<Step> recurrent_step(const Program& program, const Call& call,
                                     const std::vector<int>& inputs,
                                     const std::vector<int>& outputs,
                                     const std::vector<std::shared_ptr<Packed>>& weights);

/// An integer call in its reference. It allocates as it runs.
std::unique_ptr<Step> integer_step(const Program& program, const IntegerCall& integer,
                                   const Call& call, const std::vector<int>& inputs, int output);

}  // namespace pare::runtime
