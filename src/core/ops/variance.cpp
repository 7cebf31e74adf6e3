// var and std over any axes, in two passes: the mean, then the squares of what differs from it.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "core/reduce.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

std::uint32_t axes_of(const Call& call, int rank) {
  return reduced_axes(call.attributes.as<VarianceAttributes>().axes, rank, call.op->name);
}

/// n − correction, at least 0.
double divisor_of(const Call& call, const Shape& x, std::uint32_t mask) {
  return std::max(0.0, static_cast<double>(reduced_count(x, mask)) -
                           call.attributes.as<VarianceAttributes>().correction);
}

void infer_variance(InferArgs& args) {
  const char* where = args.call.op->name;
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, where, "expected a floating type, got {}",
             args.dtype(0));
  const auto& a = args.call.attributes.as<VarianceAttributes>();
  PARE_CHECK(std::isfinite(a.correction), invalid_argument, where,
             "expected a finite correction, got {}", a.correction);
  const auto mask = axes_of(args.call, args.shape(0).rank());
  args.output(0, reduced_shape(args.shape(0), mask, a.keepdim), args.dtype(0));
}

struct Minus {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a - b; }
};

/// x less its mean over the axes of `mask`; results lie as those of `like`.
Tensor centred(const Tensor& x, std::uint32_t mask, const Tensor& like) {
  Tensor average = Tensor::empty(like.shape(), x.dtype(), like.format());
  const Strides to = result_strides(average, x.rank(), mask);
  reduce(Reduction::mean, x, mask, to, average);
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.format());
  const std::array operands{strides_of(out), strides_of(x), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  visit_float(x.dtype(), "var", [&](auto type) {
    using T = decltype(type);
    zip_strided(nest, x.data<T>(), average.data<T>(), out.mutable_data<T>(), Minus{});
  });
  return out;
}

template <bool Root>
void forward_variance(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto mask = axes_of(call, x.rank());
  Tensor& y = outputs[0];
  reduce(Reduction::sum_of_squares, centred(x, mask, y), mask, result_strides(y, x.rank(), mask),
         y);
  const double divisor = divisor_of(call, x.shape(), mask);
  visit_float(x.dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const auto d = static_cast<T>(divisor);
    T* data = y.mutable_data<T>();
    map_contiguous(data, data, y.elements(), [d](T v) PARE_INLINE_LAMBDA {
      v = v / d;
      return Root ? std::sqrt(v) : v;
    });
  });
}

/// What a gradient of the result weighs: times 2 / divisor, and by the root's own slope.
template <bool Root, class T> struct Weight {
  T factor;
  PARE_INLINE T operator()(T gradient, T root) const {
    if constexpr (!Root) return gradient * factor;
    return root == T(0) ? T(0) : gradient * factor / (root + root);
  }
};
struct Times {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a * b; }
};

template <bool Root> void backward_variance(BackwardArgs& args) {
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor g = in_dtype(args.grad_output(0), dtype);
  const auto mask = axes_of(args.call(), x.rank());
  Tensor dx = centred(x, mask, g);
  Tensor share = Tensor::empty(g.shape(), dtype, g.format());
  const Tensor root = Root ? in_format(in_dtype(args.output(0), dtype), g.format()) : g;
  const Strides to = result_strides(share, x.rank(), mask);
  const std::array operands{strides_of(dx), strides_of(dx), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  const double divisor = divisor_of(args.call(), x.shape(), mask);
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    zip_contiguous(g.data<T>(), root.data<T>(), share.mutable_data<T>(), share.elements(),
                   Weight<Root, T>{static_cast<T>(2.0 / divisor)});
    zip_strided(nest, dx.data<T>(), share.data<T>(), dx.mutable_data<T>(), Times{});
  });
  args.set(0, in_dtype(dx, given));
}

void link_variance(const Call& call, ChannelLinks& links) {
  link_reduced(links, axes_of(call, links.shape(in(0)).rank()),
               call.attributes.as<VarianceAttributes>().keepdim, false);
}

/// ONNX has no variance: Σ(x − mean)² / (n − correction).
void emit_variance(const Call& call, OnnxEmitter& e, bool root) {
  const auto& a = call.attributes.as<VarianceAttributes>();
  const Shape& x = e.input_shape(0);
  const auto mask = axes_of(call, x.rank());
  for (int axis = 0; axis < x.rank(); ++axis)
    PARE_CHECK(!has_bit(mask, axis) || !x.symbolic(axis), unsupported, call.op->name,
               "expected a known number of elements for ONNX, got shape {}", x);
  const std::string average = e.temporary();
  const std::string difference = e.temporary();
  const std::string square = e.temporary();
  const std::string sum = e.temporary();
  const std::string variance = root ? e.temporary() : e.output(0);
  emit_reduced(e, "ReduceMean", 18, e.input(0), average, a.axes, true);
  e.node("Sub", {e.input(0), average}, {difference});
  e.node("Mul", {difference, difference}, {square});
  emit_reduced(e, "ReduceSum", 13, square, sum, a.axes, a.keepdim);
  const Tensor divisor = Tensor::scalar(divisor_of(call, x, mask), e.input_dtype(0));
  e.node("Div", {sum, e.constant(divisor)}, {variance});
  if (root) e.node("Sqrt", {variance}, {e.output(0)});
}

Attributes default_variance() { return Attributes::of(VarianceAttributes{}); }

}  // namespace

constinit const OpDef kVar = {
    .name = "var",
    .format = FormatRule::keep,
    .infer = infer_variance,
    .forward = forward_variance<false>,
    .backward = backward_variance<false>,
    .saves_inputs = 1,
    .defaults = default_variance,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_variance},
    .onnx = {.op_type = "ReduceMean",
             .emit = [](const Call& call, OnnxEmitter& e) { emit_variance(call, e, false); }}};

constinit const OpDef kStd = {
    .name = "std",
    .format = FormatRule::keep,
    .infer = infer_variance,
    .forward = forward_variance<true>,
    .backward = backward_variance<true>,
    .saves_inputs = 1,
    .saves_outputs = 1,
    .defaults = default_variance,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_variance},
    .onnx = {.op_type = "ReduceMean",
             .emit = [](const Call& call, OnnxEmitter& e) { emit_variance(call, e, true); }}};

Tensor var(const Tensor& x, const VarianceAttributes& attributes) {
  VarianceAttributes own = attributes;
  own.axes = axes_along(x, own.axes, kVar.name);
  return apply({&kVar, Attributes::of(std::move(own))}, detail::Borrowed(x));
}
Tensor stddev(const Tensor& x, const VarianceAttributes& attributes) {
  VarianceAttributes own = attributes;
  own.axes = axes_along(x, own.axes, kStd.name);
  return apply({&kStd, Attributes::of(std::move(own))}, detail::Borrowed(x));
}

}  // namespace pare
