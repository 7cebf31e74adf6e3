// What the reductions share: which axes they take, where their results lie, their channel rule.
#include "core/ops/reduced.h"

#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/onnx_integers.h"
#include "pare/core/ops/movement.h"

namespace pare {

std::uint32_t reduced_axes(const std::vector<std::int64_t>& axes, int rank, const char* where) {
  if (axes.empty()) return (1U << rank) - 1U;
  std::uint32_t mask = 0;
  for (const std::int64_t axis : axes) {
    const auto bit = 1U << normalize_axis(axis, rank, where);
    PARE_CHECK((mask & bit) == 0, invalid_argument, where, "expected every axis once, got {} twice",
               axis);
    mask |= bit;
  }
  return mask;
}

std::vector<std::int64_t> axes_along(const Tensor& x, const std::vector<std::int64_t>& axes,
                                     const char* where) {
  if (!is_scalar(x)) return axes;
  reduced_axes(axes, 1, where);
  return {};
}

Tensor line_of(const Tensor& scalar) { return reshape(scalar, {1}); }
Tensor scalar_of(const Tensor& line) { return reshape(line, {}); }

Shape reduced_shape(const Shape& x, std::uint32_t mask, bool keepdim) {
  Shape out;
  for (int a = 0; a < x.rank(); ++a) {
    if (!has_bit(mask, a))
      out.append(x, a);
    else if (keepdim)
      out.append(1);
  }
  return out;
}

Strides result_strides(const Tensor& result, int rank, std::uint32_t mask) {
  const Strides own = strides_of(result);
  const bool kept = result.rank() == rank;
  Strides out{};
  int next = 0;
  for (int a = 0; a < rank; ++a) {
    if (!has_bit(mask, a)) out[static_cast<std::size_t>(a)] = own[static_cast<std::size_t>(next)];
    if (kept || !has_bit(mask, a)) ++next;
  }
  return out;
}

std::int64_t reduced_count(const Shape& x, std::uint32_t mask) {
  std::int64_t count = 1;
  for (int a = 0; a < x.rank(); ++a)
    if (has_bit(mask, a)) count *= x[a];
  return count;
}

void link_reduced(ChannelLinks& links, std::uint32_t mask, bool keepdim, bool zeros_vanish) {
  if (has_value_inputs(links)) return;
  const int rank = links.shape(in(0)).rank();
  int next = 0;
  for (int axis = 0; axis < rank; ++axis) {
    const bool reduced = has_bit(mask, axis);
    if (!reduced) links.tie(in(0), axis, out(0), next);
    if (reduced && zeros_vanish) links.tie(in(0), axis, in(0), axis);
    if (!reduced || keepdim) ++next;
  }
}

void emit_reduced(OnnxEmitter& e, const char* op_type, int axes_input_since, const std::string& x,
                  const std::string& y, const std::vector<std::int64_t>& axes, bool keepdim) {
  std::vector<std::string> inputs{x};
  // A norm that is written out has its weight there.
  if (e.has_input(1) && !is_floating(e.input_dtype(1))) {
    PARE_CHECK(e.opset() >= axes_input_since, unsupported, op_type,
               "expected opset {} or later for axes that are computed, got {}", axes_input_since,
               e.opset());
    inputs.push_back(e.input(1));
    e.node(op_type, std::move(inputs), {y}).attribute("keepdims", std::int64_t{keepdim});
    return;
  }
  if (!axes.empty() && e.opset() >= axes_input_since) inputs.push_back(onnx_integers(e, axes));
  auto& node = e.node(op_type, std::move(inputs), {y});
  if (!axes.empty() && e.opset() < axes_input_since)
    node.attribute("axes", std::span<const std::int64_t>(axes));
  node.attribute("keepdims", std::int64_t{keepdim});
}

void infer_unknown_axes(InferArgs& args, bool keepdim) {
  const Shape& x = args.shape(0);
  const auto count = static_cast<int>(known_sizes(args, 1, "axes").size());
  PARE_CHECK(count <= x.rank(), invalid_argument, args.call.op->name,
             "expected at most {} axes of x {}, got {}", x.rank(), x, count);
  const bool all = count == 0 || count == x.rank();
  Shape y;
  for (int a = 0; a < (keepdim ? x.rank() : all ? 0 : x.rank() - count); ++a) {
    if (all)
      y.append(1);
    else
      append_unknown(y);
  }
  args.output(0, y, args.dtype(0));
}

DType computed_type(DType d) { return is_half(d) ? DType::f32 : d; }

}  // namespace pare
