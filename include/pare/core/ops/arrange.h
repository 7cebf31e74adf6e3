// Ops that put a tensor's elements in another order: split, stack, tile, flip, roll, borders, ….
#pragma once

#include <string>
#include <vector>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kTile, kRoll, kTrilu, kPadBorder, kRange;

struct TileAttributes {
  std::vector<std::int64_t> repeats = {};  ///< one per axis
  void fields(AttributeVisitor& visit) { visit("repeats", repeats); }
};
/// One shift per axis in `axes`; an axis that comes twice is shifted by the sum.
struct RollAttributes {
  std::vector<std::int64_t> shifts = {}, axes = {};
  void fields(AttributeVisitor& visit) {
    visit("shifts", shifts);
    visit("axes", axes);
  }
};
struct TriluAttributes {
  bool upper = false;         ///< keeps what lies on and above the diagonal, else on and below
  std::int64_t diagonal = 0;  ///< 0: the main one, above it positive
  void fields(AttributeVisitor& visit) {
    visit("upper", upper);
    visit("diagonal", diagonal);
  }
};
/// Per axis the numbers of elements before and after, filled from the tensor itself: "reflect"
/// (mirrored at the outermost element, which is not repeated), "replicate" (the outermost
/// repeated; ONNX's "edge") or "circular" (from the other end; ONNX's "wrap").
struct PadBorderAttributes {
  std::vector<std::int64_t> before = {}, after = {};
  std::string mode = "reflect";
  void fields(AttributeVisitor& visit) {
    visit("before", before);
    visit("after", after);
    visit("mode", mode);
  }
};

/// Output axis k is axis `axes`[k]; negative ones count from the end. Throws invalid_argument.
PARE_API Tensor permute(const Tensor& x, const std::vector<std::int64_t>& axes);
/// Two axes exchanged (torch.transpose). Throws out_of_range.
PARE_API Tensor swapaxes(const Tensor& x, int a, int b);
/// Axis `source` becomes axis `destination`, the others stay in order. Throws out_of_range.
PARE_API Tensor movedim(const Tensor& x, int source, int destination);

/// Parts of `size` along an axis; the last may be smaller. Throws invalid_argument, out_of_range.
PARE_API Tensors split(const Tensor& x, std::int64_t size, int axis = 0);
/// Parts of these sizes, which add up to the axis. Throws invalid_argument, out_of_range.
PARE_API Tensors split(const Tensor& x, const std::vector<std::int64_t>& sizes, int axis = 0);
/// At most `chunks` parts of one size, rounded up; the last may be smaller. Throws
/// invalid_argument, out_of_range.
PARE_API Tensors chunk(const Tensor& x, std::int64_t chunks, int axis = 0);
/// Tensors of one shape along a new axis. Throws invalid_argument, shape_mismatch.
PARE_API Tensor stack(const Tensors& xs, int axis = 0);

/// Without its axes of size 1.
PARE_API Tensor squeeze(const Tensor& x);
/// Without `axis` if its size is 1, else itself. Throws out_of_range.
PARE_API Tensor squeeze(const Tensor& x, int axis);
/// With a new axis of size 1 at `axis` of the result. Throws out_of_range.
PARE_API Tensor unsqueeze(const Tensor& x, int axis);
/// One axis as several of these sizes, of which one may be −1. Throws invalid_argument,
/// out_of_range, shape_mismatch.
PARE_API Tensor unflatten(const Tensor& x, int axis, const std::vector<std::int64_t>& sizes);

/// numpy.tile: the tensor `repeats`[k] times along each axis; the shorter of both lists of axes is
/// filled with ones in front. Throws invalid_argument.
PARE_API Tensor tile(const Tensor& x, const std::vector<std::int64_t>& repeats);
/// torch.Tensor.repeat: as tile, with at least as many repeats as axes. Throws invalid_argument.
PARE_API Tensor repeat(const Tensor& x, const std::vector<std::int64_t>& repeats);
/// Every element along `axis` `repeats` times in a row. Throws invalid_argument, out_of_range.
PARE_API Tensor repeat_interleave(const Tensor& x, std::int64_t repeats, int axis);

/// Backwards along these axes. Throws invalid_argument, out_of_range.
PARE_API Tensor flip(const Tensor& x, const std::vector<std::int64_t>& axes);
/// Element i along an axis goes to i + shift, those that leave at the end return at the start.
/// Throws invalid_argument, out_of_range.
PARE_API Tensor roll(const Tensor& x, const std::vector<std::int64_t>& shifts,
                     const std::vector<std::int64_t>& axes);
/// The matrices in the last two axes with 0 above the diagonal. Throws shape_mismatch.
PARE_API Tensor tril(const Tensor& x, std::int64_t diagonal = 0);
/// The matrices in the last two axes with 0 below the diagonal. Throws shape_mismatch.
PARE_API Tensor triu(const Tensor& x, std::int64_t diagonal = 0);

/// A border taken from the tensor itself. Throws invalid_argument for negative amounts, another
/// mode, and a border that the mode cannot fill from the axis (reflect: below its size; circular:
/// up to it; replicate: of at least one element).
PARE_API Tensor pad(const Tensor& x, const PadBorderAttributes& attributes);

/// ONNX's Range: start, start + delta, … below (or above) limit, in their dtype (f32, f64, i64,
/// i32 or i16, each of one element). Throws dtype_mismatch, invalid_argument, and unsupported where
/// values are not known when the graph is built.
PARE_API Tensor range(const Tensor& start, const Tensor& limit, const Tensor& delta);

struct ArangeOptions {
  double start = 0;
  double end = 0;  ///< is not reached
  double step = 1;
  DType dtype = DType::i64;
};
/// start, start + step, … before end. Throws invalid_argument.
PARE_API Tensor arange(const ArangeOptions& options);
/// 0, 1, … end − 1, as i64. Throws invalid_argument.
PARE_API Tensor arange(std::int64_t end);

}  // namespace pare
