// What the reductions share: which axes they take, where their results lie, their channel rule.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops/value_inputs.h"
#include "core/strides.h"
#include "pare/core/op.h"

namespace pare {

/// Bit a is set where axis a is reduced: all of them where `axes` is empty. Throws out_of_range,
/// and invalid_argument for an axis named twice.
std::uint32_t reduced_axes(const std::vector<std::int64_t>& axes, int rank, const char* where);

/// The axes of a reduction of x: none for a scalar, of which PyTorch takes 0 and −1. Throws
/// out_of_range for others of a scalar.
std::vector<std::int64_t> axes_along(const Tensor& x, const std::vector<std::int64_t>& axes,
                                     const char* where);

/// For ops along one axis: a scalar is the line of one element that PyTorch takes it for.
inline bool is_scalar(const Tensor& x) { return x.defined() && x.rank() == 0; }
Tensor line_of(const Tensor& scalar);
Tensor scalar_of(const Tensor& line);

inline bool has_bit(std::uint32_t mask, int axis) { return (mask >> axis & 1U) != 0; }

Shape reduced_shape(const Shape& x, std::uint32_t mask, bool keepdim);

/// Where the result of a reduction of `rank` axes lies, per axis of the operand; 0 if reduced.
Strides result_strides(const Tensor& result, int rank, std::uint32_t mask);

/// The number of elements behind each result.
std::int64_t reduced_count(const Shape& x, std::uint32_t mask);

/// The kept axes belong to those of the output. The reduced ones stay as they are, but where zeros
/// contribute nothing to the result (`zeros_vanish`).
void link_reduced(ChannelLinks& links, std::uint32_t mask, bool keepdim, bool zeros_vanish);

/// The reductions take their axes as a second input too.
void infer_unknown_axes(InferArgs& args, bool keepdim);
template <class A> void infer_unknown_axes(InferArgs& args) {
  infer_unknown_axes(args, args.call.attributes.as<A>().keepdim);
}
template <class A> Attributes bind_axes(const Call& call, const Shape&, const Values& values) {
  A attributes = call.attributes.as<A>();
  attributes.axes = values.integers(1, call.op->name, "axes");
  return Attributes::of(attributes);
}

/// Begins ReduceSum and its like: from input `x` to `y`, axes as an input since the given opset, an
/// attribute before. Throws unsupported for computed axes where they are an attribute.
void emit_reduced(OnnxEmitter& e, const char* op_type, int axes_input_since, const std::string& x,
                  const std::string& y, const std::vector<std::int64_t>& axes, bool keepdim);

/// The type in which a result of type d is computed.
DType computed_type(DType d);

}  // namespace pare
