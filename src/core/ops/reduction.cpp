// sum, mean, max and min over any axes, in either memory format.
#include "pare/core/ops/reduction.h"

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "core/reduce.h"

namespace pare {
namespace {

std::uint32_t axes_of(const Call& call, int rank) {
  return reduced_axes(call.attributes.as<ReduceAttributes>().axes, rank, call.op->name);
}

void infer_reduce(InferArgs& args, bool floating) {
  const char* where = args.call.op->name;
  const DType d = args.dtype(0);
  const bool extreme = args.call.op == &kMax || args.call.op == &kMin;
  const bool fits = floating ? is_floating(d)
                             : is_floating(d) || d == DType::i32 || d == DType::i64 ||
                                   (extreme && is_arithmetic(d));
  PARE_CHECK(fits, dtype_mismatch, where, "expected {}, got {}",
             floating ? "a floating type" : "a floating type, i32 or i64", d);
  const std::uint32_t mask = axes_of(args.call, args.shape(0).rank());
  const bool keepdim = args.call.attributes.as<ReduceAttributes>().keepdim;
  args.output(0, reduced_shape(args.shape(0), mask, keepdim), d);
}

template <Reduction Kind>
void forward_reduce(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto mask = axes_of(call, x.rank());
  reduce(Kind, x, mask, result_strides(outputs[0], x.rank(), mask), outputs[0]);
}

/// The gradient of every element of x is that of its result, times `scale`.
template <bool Mean> void backward_spread(BackwardArgs& args) {
  const Shape& shape = args.input_shape(0);
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const auto mask = axes_of(args.call(), shape.rank());
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

/// NaN is the largest and the smallest, as in PyTorch's max().
struct Extreme {
  template <class T> PARE_INLINE T operator()(T x, T y) const {
    return ((x == y) | (x != x)) ? T(1) : T(0);
  }
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

void backward_extreme(BackwardArgs& args) {
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor y = in_dtype(args.output(0), dtype);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), y.format());
  const int rank = x.rank();
  const auto mask = axes_of(args.call(), rank);
  const Strides to = result_strides(y, rank, mask);
  Tensor ties = Tensor::empty(x.shape(), dtype, x.format());
  Tensor count = Tensor::empty(y.shape(), dtype, y.format());
  const std::array operands{strides_of(ties), strides_of(x), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    T* tie = ties.mutable_data<T>();
    zip_strided(nest, x.data<T>(), y.data<T>(), tie, Extreme{});
    reduce(Reduction::sum, ties, mask, to, count);
    T* share = count.mutable_data<T>();
    zip_contiguous(g.data<T>(), share, share, count.elements(), Share{});
    zip_strided(nest, tie, share, tie, Times{});
  });
  args.set(0, in_dtype(ties, given));
}

template <bool Sum> void link_reduce(const Call& call, ChannelLinks& links) {
  link_reduced(links, axes_of(call, links.shape(in(0)).rank()),
               call.attributes.as<ReduceAttributes>().keepdim, Sum);
}

void emit_reduce(const Call& call, OnnxEmitter& e, const char* op_type, int axes_input_since) {
  const auto& a = call.attributes.as<ReduceAttributes>();
  emit_reduced(e, op_type, axes_input_since, e.input(0), e.output(0), a.axes, a.keepdim);
}

Tensor reduced(const OpDef& op, const Tensor& x, const std::vector<std::int64_t>& axes,
               bool keepdim) {
  const Call call{&op, Attributes::of(ReduceAttributes{axes_along(x, axes, op.name), keepdim})};
  return apply(call, detail::Borrowed(x));
}

Attributes default_axes() { return Attributes::of(ReduceAttributes{}); }

template <bool Floating> void infer_attributes(InferArgs& args) { infer_reduce(args, Floating); }

template <Reduction Kind, bool Floating, auto Backward>
constexpr ValueForm kForm{bind_axes<ReduceAttributes>, infer_unknown_axes<ReduceAttributes>,
                          infer_attributes<Floating>, forward_reduce<Kind>, Backward};

}  // namespace

constinit const OpDef kSum = {
    .name = "sum",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm<Reduction::sum, false, backward_spread<false>>>,
    .forward = forward_values<kForm<Reduction::sum, false, backward_spread<false>>>,
    .backward = backward_values<kForm<Reduction::sum, false, backward_spread<false>>>,
    .saves_inputs = 0b10,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<true>},
    .onnx = {.op_type = "ReduceSum", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceSum", 13);
             }}};

constinit const OpDef kMean = {
    .name = "mean",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm<Reduction::mean, true, backward_spread<true>>>,
    .forward = forward_values<kForm<Reduction::mean, true, backward_spread<true>>>,
    .backward = backward_values<kForm<Reduction::mean, true, backward_spread<true>>>,
    .saves_inputs = 0b10,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<false>},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "ReduceMean", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceMean", 18);
             }}};

constinit const OpDef kMax = {
    .name = "max",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm<Reduction::max, false, backward_extreme>>,
    .forward = forward_values<kForm<Reduction::max, false, backward_extreme>>,
    .backward = backward_values<kForm<Reduction::max, false, backward_extreme>>,
    .saves_inputs = 0b11,
    .saves_outputs = 1,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<false>},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "ReduceMax", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceMax", 18);
             }}};

constinit const OpDef kMin = {
    .name = "min",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm<Reduction::min, false, backward_extreme>>,
    .forward = forward_values<kForm<Reduction::min, false, backward_extreme>>,
    .backward = backward_values<kForm<Reduction::min, false, backward_extreme>>,
    .saves_inputs = 0b11,
    .saves_outputs = 1,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_reduce<false>},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "ReduceMin", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_reduce(call, e, "ReduceMin", 18);
             }}};

Tensor sum(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return reduced(kSum, x, axes, keepdim);
}
Tensor mean(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return reduced(kMean, x, axes, keepdim);
}
Tensor max(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return reduced(kMax, x, axes, keepdim);
}
Tensor min(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return reduced(kMin, x, axes, keepdim);
}

}  // namespace pare
