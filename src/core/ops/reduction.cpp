// sum, mean, max and argmax over any axes, in either memory format.
#include "pare/core/ops/reduction.h"

#include <algorithm>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/reduce.h"

namespace pare {
namespace {

/// Bit a is set where axis a is reduced.
std::uint32_t reduced_axes(const ReduceAttributes& a, int rank, const char* where) {
  if (a.axes.empty()) return (1U << rank) - 1U;
  std::uint32_t mask = 0;
  for (const std::int64_t axis : a.axes) {
    const auto bit = 1U << normalize_axis(axis, rank, where);
    PARE_CHECK((mask & bit) == 0, invalid_argument, where, "expected every axis once, got {} twice",
               axis);
    mask |= bit;
  }
  return mask;
}

bool has_bit(std::uint32_t mask, int axis) { return (mask >> axis & 1U) != 0; }

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

/// Where the result of a reduction of `rank` axes lies, per axis of the operand; 0 if reduced.
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

void infer_reduce(InferArgs& args, bool floating) {
  const char* where = args.call.op->name;
  const DType d = args.dtype(0);
  const bool fits = floating ? is_floating(d)
                             : is_floating(d) || d == DType::i32 || d == DType::i64 ||
                                   (args.call.op == &kMax && is_arithmetic(d));
  PARE_CHECK(fits, dtype_mismatch, where, "expected {}, got {}",
             floating ? "a floating type" : "a floating type, i32 or i64", d);
  const auto& a = args.call.attributes.as<ReduceAttributes>();
  const std::uint32_t mask = reduced_axes(a, args.shape(0).rank(), where);
  args.output(0, reduced_shape(args.shape(0), mask, a.keepdim), d);
}

template <Reduction Kind>
void forward_reduce(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto mask = reduced_axes(call.attributes.as<ReduceAttributes>(), x.rank(), call.op->name);
  reduce(Kind, x, mask, result_strides(outputs[0], x.rank(), mask), outputs[0]);
}

/// The gradient of every element of x is that of its result, times `scale`.
template <bool Mean> void backward_spread(BackwardArgs& args) {
  const Shape& shape = args.input_shape(0);
  const DType given = args.input_dtype(0);
  const DType dtype = is_half(given) ? DType::f32 : given;
  const auto mask = reduced_axes(args.call().attributes.as<ReduceAttributes>(), shape.rank(),
                                 args.call().op->name);
  double scale = 1;
  for (int a = 0; Mean && a < shape.rank(); ++a)
    if (has_bit(mask, a)) scale /= static_cast<double>(shape[a]);
  const Tensor g = in_dtype(args.grad_output(0), dtype);
  Tensor out = Tensor::empty(shape, dtype, args.input_format(0));
  const std::array operands{strides_of(out), result_strides(g, shape.rank(), mask)};
  const LoopNest nest(shape, out.format(), operands);
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    const auto factor = static_cast<T>(scale);
    map_strided(nest, g.data<T>(), out.mutable_data<T>(),
                [factor](T v) PARE_INLINE_LAMBDA { return v * factor; });
  });
  args.set(0, in_dtype(out, given));
}

struct Equal {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a == b ? T(1) : T(0); }
};
struct Share {
  template <class T> PARE_INLINE T operator()(T gradient, T count) const {
    return gradient / count;
  }
};
struct Times {
  template <class T> PARE_INLINE T operator()(T ties, T share) const {
    return ties == T(0) ? T(0) : share;
  }
};

void backward_max(BackwardArgs& args) {
  const DType given = args.input_dtype(0);
  const DType dtype = is_half(given) ? DType::f32 : given;
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor y = in_dtype(args.output(0), dtype);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), y.format());
  const int rank = x.rank();
  const auto mask =
      reduced_axes(args.call().attributes.as<ReduceAttributes>(), rank, args.call().op->name);
  const Strides to = result_strides(y, rank, mask);
  Tensor ties = Tensor::empty(x.shape(), dtype, x.format());
  Tensor count = Tensor::empty(y.shape(), dtype, y.format());
  const std::array operands{strides_of(ties), strides_of(x), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  visit_float(dtype, "max", [&](auto type) {
    using T = decltype(type);
    T* tie = ties.mutable_data<T>();
    zip_strided(nest, x.data<T>(), y.data<T>(), tie, Equal{});
    reduce(Reduction::sum, ties, mask, to, count);
    T* share = count.mutable_data<T>();
    zip_contiguous(g.data<T>(), share, share, count.elements(), Share{});
    zip_strided(nest, tie, share, tie, Times{});
  });
  args.set(0, in_dtype(ties, given));
}

/// The kept axes belong to those of the output. The reduced ones stay as they are, but for a sum,
/// to which a cut (zero) index contributes nothing.
template <bool Sum> void link_reduce(const Call& call, ChannelLinks& links) {
  const auto& a = call.attributes.as<ReduceAttributes>();
  const int rank = links.shape(in(0)).rank();
  const auto mask = reduced_axes(a, rank, call.op->name);
  int next = 0;
  for (int axis = 0; axis < rank; ++axis) {
    const bool reduced = has_bit(mask, axis);
    if (!reduced) links.tie(in(0), axis, out(0), next);
    if (reduced && Sum) links.tie(in(0), axis, in(0), axis);
    if (!reduced || a.keepdim) ++next;
  }
}

/// Axes are an input since the given opset, an attribute before.
void emit_reduce(const Call& call, OnnxEmitter& e, const char* op_type, int axes_input_since) {
  const auto& a = call.attributes.as<ReduceAttributes>();
  std::vector<std::string> inputs{e.input(0)};
  if (!a.axes.empty() && e.opset() >= axes_input_since)
    inputs.push_back(
        e.constant(Tensor::from(a.axes, Shape{static_cast<std::int64_t>(a.axes.size())})));
  auto& node = e.node(op_type, std::move(inputs), {e.output(0)});
  if (!a.axes.empty() && e.opset() < axes_input_since)
    node.attribute("axes", std::span<const std::int64_t>(a.axes));
  node.attribute("keepdims", std::int64_t{a.keepdim});
}

Attributes default_axes() { return Attributes::of(ReduceAttributes{}); }

Shape argmax_shape(const Shape& x, const AxisAttributes& a) {
  const int axis = normalize_axis(a.axis, x.rank(), "argmax");
  return reduced_shape(x, 1U << axis, a.keepdim);
}

void infer_argmax(InferArgs& args) {
  const Shape& x = args.shape(0);
  PARE_CHECK(is_arithmetic(args.dtype(0)), dtype_mismatch, "argmax",
             "expected a number type, got {}", args.dtype(0));
  const auto& a = args.call.attributes.as<AxisAttributes>();
  const Shape out = argmax_shape(x, a);
  const int axis = normalize_axis(a.axis, x.rank(), "argmax");
  PARE_CHECK(x.symbolic(axis) || x[axis] > 0, invalid_argument, "argmax",
             "expected at least one element along axis {}, got shape {}", axis, x);
  args.output(0, out, DType::i64);
}

void forward_argmax(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& a = call.attributes.as<AxisAttributes>();
  const int axis = normalize_axis(a.axis, x.rank(), "argmax");
  const std::int64_t length = x.shape()[axis];
  const std::int64_t step = strides_of(x)[static_cast<std::size_t>(axis)];
  // The nest runs over everything but the axis.
  Shape one = x.shape();
  one.set(axis, 1);
  const std::array operands{strides_of(x), result_strides(outputs[0], x.rank(), 1U << axis)};
  const LoopNest nest(one, x.format(), operands);
  auto* index = outputs[0].mutable_data<std::int64_t>();
  visit_arithmetic(x.dtype(), "argmax", [&](auto type) {
    using T = decltype(type);
    const T* data = x.data<T>();
    for_each_block(nest, [&](const LoopBlock& b) {
      for (std::int64_t r = 0; r < b.rows; ++r) {
        for (std::int64_t c = 0; c < b.columns; ++c) {
          const T* row = data + b.offset[0] + r * b.row[0] + c * b.column[0];
          std::int64_t best = 0;
          // NaN is the largest of all, the first one too.
          for (std::int64_t k = 1; k < length && row[best * step] == row[best * step]; ++k)
            if (!(row[k * step] <= row[best * step])) best = k;
          index[b.offset[1] + r * b.row[1] + c * b.column[1]] = best;
        }
      }
    });
  });
}

}  // namespace

constinit const OpDef kSum = {
    .name = "sum",
    .format = FormatRule::keep,
    .infer = [](InferArgs& args) { infer_reduce(args, false); },
    .forward = forward_reduce<Reduction::sum>,
    .backward = backward_spread<false>,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<true>},
    .onnx = {.op_type = "ReduceSum", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceSum", 13);
             }}};

constinit const OpDef kMean = {
    .name = "mean",
    .format = FormatRule::keep,
    .infer = [](InferArgs& args) { infer_reduce(args, true); },
    .forward = forward_reduce<Reduction::mean>,
    .backward = backward_spread<true>,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<false>},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "ReduceMean", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceMean", 18);
             }}};

constinit const OpDef kMax = {
    .name = "max",
    .format = FormatRule::keep,
    .infer = [](InferArgs& args) { infer_reduce(args, false); },
    .forward = forward_reduce<Reduction::max>,
    .backward = backward_max,
    .saves_inputs = 1,
    .saves_outputs = 1,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<false>},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "ReduceMax", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceMax", 18);
             }}};

constinit const OpDef kArgmax = {
    .name = "argmax",
    .format = FormatRule::keep,
    .infer = infer_argmax,
    .forward = forward_argmax,
    .defaults = [] { return Attributes::of(AxisAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       const auto& a = call.attributes.as<AxisAttributes>();
                       const Call as_reduction{
                           &kArgmax, Attributes::of(
                                         ReduceAttributes{.axes = {a.axis}, .keepdim = a.keepdim})};
                       link_reduce<false>(as_reduction, links);
                     }},
    .onnx = {.op_type = "ArgMax", .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<AxisAttributes>();
               e.node("ArgMax", {e.input(0)}, {e.output(0)})
                   .attribute("axis", a.axis)
                   .attribute("keepdims", std::int64_t{a.keepdim});
             }}};

Tensor sum(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kSum, Attributes::of(ReduceAttributes{axes, keepdim})}, detail::Borrowed(x));
}
Tensor mean(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kMean, Attributes::of(ReduceAttributes{axes, keepdim})}, detail::Borrowed(x));
}
Tensor max(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kMax, Attributes::of(ReduceAttributes{axes, keepdim})}, detail::Borrowed(x));
}
Tensor argmax(const Tensor& x, int axis, bool keepdim) {
  return apply({&kArgmax, Attributes::of(AxisAttributes{axis, keepdim})}, detail::Borrowed(x));
}

}  // namespace pare
