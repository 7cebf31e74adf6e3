// cumsum and cumprod: running sums and products along one axis, as ONNX's CumSum has them.
#include <algorithm>
#include <vector>

#include "core/dtype_switch.h"
#include "core/ops/lines.h"
#include "core/ops/reduced.h"
#include "core/ops/value_inputs.h"
#include "core/reduce_kernels.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

using reduction::Product;
using reduction::Sum;

int axis_of(const Call& call, int rank) {
  return normalize_axis(call.attributes.as<CumulativeAttributes>().axis, rank, call.op->name);
}

void infer_cumulative(InferArgs& args) {
  const DType d = args.dtype(0);
  PARE_CHECK(is_floating(d) || d == DType::i32 || d == DType::i64, dtype_mismatch,
             args.call.op->name, "expected a floating type, i32 or i64, got {}", d);
  axis_of(args.call, args.shape(0).rank());
  args.output(0, args.shape(0), d);
}

/// Whatever the axis is, the shape stays.
void infer_unknown_axis(InferArgs& args) { args.output(0, args.shape(0), args.dtype(0)); }

Attributes bind_cumulative(const Call& call, const Shape&, const Values& values) {
  CumulativeAttributes attr = call.attributes.as<CumulativeAttributes>();
  attr.axis = values.integer(1, call.op->name, "an axis");
  return Attributes::of(attr);
}

/// Lines that are worked on together: their sums do not wait for one another.
constexpr int kLines = 16;

/// Calls body(offsets, lines, step, length) for all lines along `axis`, up to kLines at a time, in
/// walking order: a reversed line begins at its end.
template <class Body>
void for_each_line(const Tensor& like, int axis, bool reverse, const Body& body) {
  const Lines lines(like, axis);
  for_lines(lines, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t offset[kLines];
    for (std::int64_t first = begin; first < end; first += kLines) {
      const int count = static_cast<int>(std::min<std::int64_t>(kLines, end - first));
      for (int l = 0; l < count; ++l)
        offset[l] = lines.begin(first + l) + (reverse ? (lines.length - 1) * lines.stride : 0);
      body(offset, count, reverse ? -lines.stride : lines.stride, lines.length);
    }
  });
}

template <class R, class T>
void run(const Tensor& x, Tensor& y, int axis, bool exclusive, bool reverse) {
  using A = typename R::template Accumulator<T>;
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  for_each_line(y, axis, reverse,
                [=](const std::int64_t* offset, int lines, std::int64_t step, std::int64_t length) {
                  A acc[kLines];
                  std::fill(acc, acc + kLines, R::template initial<A>());
                  for (std::int64_t k = 0; k < length; ++k) {
                    for (int l = 0; l < lines; ++l) {
                      const std::int64_t at = offset[l] + k * step;
                      const A before = acc[l];
                      R::combine(acc[l], static_cast<A>(from[at]));
                      to[at] = static_cast<T>(exclusive ? before : acc[l]);
                    }
                  }
                });
}

template <class R>
void forward_cumulative(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& a = call.attributes.as<CumulativeAttributes>();
  const Tensor x = in_format(inputs[0], outputs[0].format());
  const int axis = axis_of(call, x.rank());
  visit_arithmetic(x.dtype(), call.op->name, [&](auto type) {
    run<R, decltype(type)>(x, outputs[0], axis, a.exclusive, a.reverse);
  });
}

/// An element counts in all sums from its own on: the sums of the gradients, the other way.
void backward_cumsum(BackwardArgs& args) {
  const auto& a = args.call().attributes.as<CumulativeAttributes>();
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor g = in_dtype(args.grad_output(0), dtype);
  Tensor dx = Tensor::empty(g.shape(), dtype, g.format());
  const int axis = axis_of(args.call(), g.rank());
  visit_float(dtype, "cumsum",
              [&](auto type) { run<Sum, decltype(type)>(g, dx, axis, a.exclusive, !a.reverse); });
  args.set(0, in_dtype(dx, given));
}

/// Of one line. Up to its first zero Σ g·y / x; at that zero the sum of the products without it;
/// nothing beyond, where every product holds a zero.
template <class T>
void product_gradient(const T* x, const T* g, T* dx, std::int64_t step, std::int64_t length,
                      bool exclusive, std::vector<double>& y) {
  std::int64_t zero = length;
  double product = 1;
  double at_zero = 0;
  for (std::int64_t k = 0; k < length; ++k) {
    const auto value = static_cast<double>(x[k * step]);
    const auto gradient = static_cast<double>(g[k * step]);
    if (exclusive && zero < length) at_zero += gradient * product;
    y[static_cast<std::size_t>(k)] = zero < length ? 0 : product;
    if (zero == length && value == 0)
      zero = k;
    else
      product *= value;
    if (exclusive) continue;
    y[static_cast<std::size_t>(k)] = zero < length ? 0 : product;
    if (zero < length) at_zero += gradient * product;
  }
  double sum = 0;
  for (std::int64_t k = length; k-- > 0;) {
    const double term = static_cast<double>(g[k * step]) * y[static_cast<std::size_t>(k)];
    if (!exclusive) sum += term;
    const double slope = k < zero    ? sum / static_cast<double>(x[k * step])
                         : k == zero ? at_zero
                                     : 0;
    dx[k * step] = static_cast<T>(slope);
    if (exclusive) sum += term;
  }
}

void backward_cumprod(BackwardArgs& args) {
  const auto& a = args.call().attributes.as<CumulativeAttributes>();
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), x.format());
  Tensor dx = Tensor::empty(x.shape(), dtype, x.format());
  visit_float(dtype, "cumprod", [&](auto type) {
    using T = decltype(type);
    const T* from = x.data<T>();
    const T* gradient = g.data<T>();
    T* to = dx.mutable_data<T>();
    for_each_line(
        x, axis_of(args.call(), x.rank()), a.reverse,
        [&](const std::int64_t* offset, int lines, std::int64_t step, std::int64_t length) {
          std::vector<double> products(static_cast<std::size_t>(length));
          for (int l = 0; l < lines; ++l)
            product_gradient(from + offset[l], gradient + offset[l], to + offset[l], step, length,
                             a.exclusive, products);
        });
  });
  args.set(0, in_dtype(dx, given));
}

/// The axis itself stays as it is: what is cut to zero still has a sum.
void link_cumulative(const Call& call, ChannelLinks& links) {
  if (has_value_inputs(links)) return;
  const int rank = links.shape(in(0)).rank();
  const int own = axis_of(call, rank);
  for (int axis = 0; axis < rank; ++axis)
    if (axis != own) links.tie(in(0), axis, out(0), axis);
}

void emit_cumulative(const Call& call, OnnxEmitter& e, const char* op_type) {
  const auto& a = call.attributes.as<CumulativeAttributes>();
  const std::string axis =
      e.has_input(1) ? e.input(1)
                     : e.constant(Tensor::scalar(static_cast<double>(a.axis), DType::i64));
  e.node(op_type, {e.input(0), axis}, {e.output(0)})
      .attribute("exclusive", std::int64_t{a.exclusive})
      .attribute("reverse", std::int64_t{a.reverse});
}

Attributes default_cumulative() { return Attributes::of(CumulativeAttributes{}); }

constexpr ValueForm kSumForm{bind_cumulative, infer_unknown_axis, infer_cumulative,
                             forward_cumulative<Sum>, backward_cumsum};
constexpr ValueForm kProductForm{bind_cumulative, infer_unknown_axis, infer_cumulative,
                                 forward_cumulative<Product>, backward_cumprod};

}  // namespace

constinit const OpDef kCumsum = {
    .name = "cumsum",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kSumForm>,
    .forward = forward_values<kSumForm>,
    .backward = backward_values<kSumForm>,
    .saves_inputs = 0b10,
    .defaults = default_cumulative,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_cumulative},
    .onnx = {.op_type = "CumSum", .opset = 11, .emit = [](const Call& call, OnnxEmitter& e) {
               emit_cumulative(call, e, "CumSum");
             }}};

constinit const OpDef kCumprod = {
    .name = "cumprod",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kProductForm>,
    .forward = forward_values<kProductForm>,
    .backward = backward_values<kProductForm>,
    .saves_inputs = 0b11,
    .defaults = default_cumulative,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_cumulative},
    .onnx = {.op_type = "CumProd", .opset = 26, .emit = [](const Call& call, OnnxEmitter& e) {
               emit_cumulative(call, e, "CumProd");
             }}};

Tensor cumsum(const Tensor& x, int axis) { return cumsum(x, CumulativeAttributes{.axis = axis}); }
Tensor cumsum(const Tensor& x, const CumulativeAttributes& attributes) {
  if (is_scalar(x)) return scalar_of(cumsum(line_of(x), attributes));
  return apply({&kCumsum, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor cumprod(const Tensor& x, int axis) { return cumprod(x, CumulativeAttributes{.axis = axis}); }
Tensor cumprod(const Tensor& x, const CumulativeAttributes& attributes) {
  if (is_scalar(x)) return scalar_of(cumprod(line_of(x), attributes));
  return apply({&kCumprod, Attributes::of(attributes)}, detail::Borrowed(x));
}

}  // namespace pare
