// Convolutions of codes as convolutions of pictures: lines, some volumes, and transposed ones.
#pragma once

#include <cstdint>
#include <vector>

#include "pare/core/op.h"
#include "runtime/primitives.h"
#include "runtime/steps.h"

namespace pare::runtime {

/// One axis of a transposed convolution as a convolution of stride 1. Output o is number o +
/// padding = stride · q + phase, and every phase has taps of its own: k · dilation = phase (mod
/// stride), which reads the input at q − k · dilation / stride.
struct Phases {
  std::int64_t stride = 1, kernel = 1, dilation = 1, padding = 0;
  std::int64_t size = 1;  ///< of the input
  std::int64_t out = 1;   ///< of the result

  std::int64_t phase(std::int64_t tap) const { return tap * dilation % stride; }
  std::int64_t place(std::int64_t tap) const { return reach() - tap * dilation / stride; }
  std::int64_t reach() const { return (kernel - 1) * dilation / stride; }
  std::int64_t first() const { return padding / stride; }  ///< the first q
  std::int64_t count() const { return (padding + out - 1) / stride - first() + 1; }
  std::int64_t padding_before() const { return reach() - first(); }
  std::int64_t padding_after() const { return count() - size + reach() - padding_before(); }
  /// The first output of a phase, and the number of the q that it has less the first.
  std::int64_t begin(std::int64_t phase) const;
  std::int64_t skipped(std::int64_t phase) const { return stride * first() + phase < padding; }
};

/// How the pixels of a transposed convolution, computed phase by phase as channels
/// [group, phase y, phase x, channel], come together. Empty where they are together.
struct Interleaving {
  Shape shape;  ///< [N, phases · O, rows, columns]
  Phases y, x;
  std::int64_t groups = 1;
  bool empty() const { return shape.rank() == 0; }
  /// The pieces of a rearrangement to `result`, both channels-last.
  std::vector<CopyPiece> pieces(int from, const Shape& result) const;
};

/// Fills in sizes and attributes of a convolution from x to y, whose weight [O, C/groups, …],
/// scales and bias are there, and turns these into those of pictures. Gives the reason why it has
/// no such form, or null.
const char* as_pictures(const Call& call, const Shape& x, const Shape& y, ConvolutionSpec& spec,
                        Interleaving& between);

/// A transposed convolution's weight [C, O/groups, …] as [O, C/groups, …].
Tensor outputs_first(const Tensor& weight, std::int64_t groups);

/// Products of codes of either kind of convolution; `weight` is the call's.
std::int64_t convolution_macs(const Call& call, const Shape& x, const Shape& y,
                              const Shape& weight);

}  // namespace pare::runtime
