// logsumexp over any axes: the largest element is taken out first, so that nothing overflows.
#include <cmath>
#include <limits>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "core/reduce.h"
#include "core/softmax_rows.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

std::uint32_t axes_of(const Call& call, int rank) {
  return reduced_axes(call.attributes.as<ReduceAttributes>().axes, rank, "logsumexp");
}

void infer_logsumexp(InferArgs& args) {
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, "logsumexp",
             "expected a floating type, got {}", args.dtype(0));
  const auto mask = axes_of(args.call, args.shape(0).rank());
  const bool keepdim = args.call.attributes.as<ReduceAttributes>().keepdim;
  args.output(0, reduced_shape(args.shape(0), mask, keepdim), args.dtype(0));
}

template <class T> constexpr T kInfinity = std::numeric_limits<T>::infinity();

/// ∞ − ∞ would be NaN.
struct FiniteOrZero {
  template <class T> PARE_INLINE T operator()(T v) const {
    return v == kInfinity<T> || v == -kInfinity<T> ? T(0) : v;
  }
};
struct ExponentialOfDifference {
  template <class T> PARE_INLINE T operator()(T x, T m) const { return rows::exponential(x - m); }
};
struct LogarithmPlus {
  template <class T> PARE_INLINE T operator()(T sum, T m) const { return rows::logarithm(sum) + m; }
};
struct Times {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a * b; }
};

/// e^(x − m), where m lies as the results of the reduction.
template <class T> Tensor exponentials(const Tensor& x, const Tensor& m, const Strides& to) {
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.format());
  const std::array operands{strides_of(out), strides_of(x), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  zip_strided(nest, x.data<T>(), m.data<T>(), out.mutable_data<T>(), ExponentialOfDifference{});
  return out;
}

void forward_logsumexp(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto mask = axes_of(call, x.rank());
  Tensor& y = outputs[0];
  if (x.elements() == 0) return y.fill(-std::numeric_limits<double>::infinity());
  const Strides to = result_strides(y, x.rank(), mask);
  visit_float(x.dtype(), "logsumexp", [&](auto type) {
    using T = decltype(type);
    Tensor largest = Tensor::empty(y.shape(), y.dtype(), y.format());
    reduce(Reduction::max, x, mask, to, largest);
    T* m = largest.mutable_data<T>();
    map_contiguous(m, m, y.elements(), FiniteOrZero{});
    reduce(Reduction::sum, exponentials<T>(x, largest, to), mask, to, y);
    T* result = y.mutable_data<T>();
    zip_contiguous(result, m, result, y.elements(), LogarithmPlus{});
  });
}

void backward_logsumexp(BackwardArgs& args) {
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor y = in_dtype(args.output(0), dtype);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), y.format());
  const auto mask = axes_of(args.call(), x.rank());
  const Strides to = result_strides(y, x.rank(), mask);
  visit_float(dtype, "logsumexp", [&](auto type) {
    using T = decltype(type);
    Tensor finite = Tensor::empty(y.shape(), dtype, y.format());
    map_contiguous(y.data<T>(), finite.mutable_data<T>(), y.elements(), FiniteOrZero{});
    Tensor dx = exponentials<T>(x, finite, to);
    const std::array operands{strides_of(dx), strides_of(dx), to};
    const LoopNest nest(x.shape(), x.format(), operands);
    zip_strided(nest, dx.data<T>(), g.data<T>(), dx.mutable_data<T>(), Times{});
    args.set(0, in_dtype(dx, given));
  });
}

constexpr ValueForm kForm{bind_axes<ReduceAttributes>, infer_unknown_axes<ReduceAttributes>,
                          infer_logsumexp, forward_logsumexp, backward_logsumexp};

}  // namespace

constinit const OpDef kLogSumExp = {
    .name = "logsumexp",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b11,
    .saves_outputs = 1,
    .defaults = [] { return Attributes::of(ReduceAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_reduced(links, axes_of(call, links.shape(in(0)).rank()),
                                    call.attributes.as<ReduceAttributes>().keepdim, false);
                     }},
    .onnx = {.op_type = "ReduceLogSumExp", .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<ReduceAttributes>();
               emit_reduced(e, "ReduceLogSumExp", 18, e.input(0), e.output(0), a.axes, a.keepdim);
             }}};

Tensor logsumexp(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kLogSumExp,
                Attributes::of(ReduceAttributes{axes_along(x, axes, kLogSumExp.name), keepdim})},
               detail::Borrowed(x));
}

}  // namespace pare
