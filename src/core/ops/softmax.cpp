// softmax and log_softmax along any axis, in either memory format.
#include <algorithm>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/softmax_rows.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

/// `outer` blocks of `length` steps along the axis of `inner` neighbours in memory.
struct Layout {
  std::int64_t outer, length, inner;
};

Layout layout_of(const Call& call, const Tensor& x) {
  if (x.rank() == 0) return {1, 1, 1};
  const int axis =
      normalize_axis(call.attributes.as<SoftmaxAttributes>().axis, x.rank(), call.op->name);
  const std::int64_t length = x.shape()[axis];
  const std::int64_t inner = strides_of(x)[static_cast<std::size_t>(axis)];
  const std::int64_t block = length * inner;
  return {block == 0 ? 0 : x.elements() / block, length, inner};
}

using rows::kTile;

template <class T> struct Softmax {
  PARE_INLINE static void row(const T* x, T* y, std::int64_t n) {
    const double sum = rows::exponentials(x, y, n, rows::largest(x, n));
    const auto factor = static_cast<T>(1.0 / sum);
    for (std::int64_t i = 0; i < n; ++i) y[i] *= factor;
  }
  PARE_INLINE static T factor(T sum) { return T(1) / sum; }
  PARE_INLINE static T finish(T, T e, T, T factor) { return e * factor; }
  PARE_INLINE static void gradient_row(const T* g, const T* y, T* __restrict dx, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) dx[i] = g[i] * y[i];
    const auto dot = static_cast<T>(rows::total(dx, n));
    for (std::int64_t i = 0; i < n; ++i) dx[i] -= y[i] * dot;
  }
  PARE_INLINE static T term(T g, T y) { return g * y; }
  PARE_INLINE static T gradient(T g, T y, T sum) { return (g - sum) * y; }
};

template <class T> struct LogSoftmax {
  PARE_INLINE static void row(const T* x, T* y, std::int64_t n) {
    const T m = rows::largest(x, n);
    const auto log_sum = static_cast<T>(std::log(rows::exponentials(x, y, n, m)));
    for (std::int64_t i = 0; i < n; ++i) y[i] = (x[i] - m) - log_sum;
  }
  PARE_INLINE static T factor(T sum) { return rows::logarithm(sum); }
  PARE_INLINE static T finish(T x, T, T m, T log_sum) { return (x - m) - log_sum; }
  PARE_INLINE static void gradient_row(const T* g, const T* y, T* __restrict dx, std::int64_t n) {
    const auto sum = static_cast<T>(rows::total(g, n));
    for (std::int64_t i = 0; i < n; ++i) dx[i] = g[i] - rows::exponential(y[i]) * sum;
  }
  PARE_INLINE static T term(T g, T) { return g; }
  PARE_INLINE static T gradient(T g, T y, T sum) { return g - rows::exponential(y) * sum; }
};

/// `width` ≤ kTile columns of `length` rows that lie `stride` apart.
template <class F, class T>
PARE_INLINE void forward_tile(const T* x, T* y, std::int64_t length, std::int64_t stride,
                              std::int64_t width) {
  T m[kTile];
  T sum[kTile];
  rows::column_exponentials(x, y, length, stride, width, m, sum);
  for (std::int64_t i = 0; i < width; ++i) sum[i] = F::factor(sum[i]);
  for (std::int64_t k = 0; k < length; ++k) {
    const T* row = x + k * stride;
    T* __restrict out = y + k * stride;
    for (std::int64_t i = 0; i < width; ++i) out[i] = F::finish(row[i], out[i], m[i], sum[i]);
  }
}

/// Rows [begin, end) of at most kShort elements.
template <class F, class T>
PARE_INLINE void forward_short_rows(const T* x, T* y, std::int64_t length, std::int64_t begin,
                                    std::int64_t end) {
  T from[rows::kShort * kTile];
  T to[rows::kShort * kTile];
  for (std::int64_t r = begin; r < end; r += kTile) {
    const std::int64_t width = std::min(kTile, end - r);
    rows::rows_to_columns(x + r * length, from, length, width);
    forward_tile<F, T>(from, to, length, kTile, width);
    rows::columns_to_rows(to, y + r * length, length, width);
  }
}

template <class F, class T>
PARE_INLINE void backward_tile(const T* g, const T* y, T* dx, Layout d, std::int64_t width) {
  T sum[kTile];
  for (std::int64_t i = 0; i < width; ++i) sum[i] = 0;
  for (std::int64_t k = 0; k < d.length; ++k)
    for (std::int64_t i = 0; i < width; ++i)
      sum[i] += F::term(g[k * d.inner + i], y[k * d.inner + i]);
  for (std::int64_t k = 0; k < d.length; ++k) {
    const T* given = g + k * d.inner;
    const T* value = y + k * d.inner;
    T* __restrict out = dx + k * d.inner;
    for (std::int64_t i = 0; i < width; ++i) out[i] = F::gradient(given[i], value[i], sum[i]);
  }
}

/// Calls row(first element) for each row, or tile(first element, width) for each strided tile.
template <class Row, class Tile>
PARE_INLINE void for_rows(Layout d, std::int64_t begin, std::int64_t end, Row row, Tile tile) {
  for (std::int64_t o = begin; o < end; ++o) {
    const std::int64_t base = o * d.length * d.inner;
    if (d.inner == 1) {
      row(base);
      continue;
    }
    for (std::int64_t i = 0; i < d.inner; i += kTile) tile(base + i, std::min(kTile, d.inner - i));
  }
}

std::int64_t grain(Layout d) {
  return kElementGrain / 4 / std::max<std::int64_t>(1, d.length * d.inner) + 1;
}

template <template <class> class F>
void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const Layout d = layout_of(call, inputs[0]);
  visit_float(inputs[0].dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const T* x = inputs[0].data<T>();
    T* y = outputs[0].mutable_data<T>();
    parallel_for(0, d.outer, grain(d), [&](std::int64_t begin, std::int64_t end) {
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        if (d.inner == 1 && d.length <= rows::kShort && end - begin > 1) {
          forward_short_rows<F<T>, T>(x, y, d.length, begin, end);
          return;
        }
        for_rows(
            d, begin, end,
            [=](std::int64_t at) PARE_INLINE_LAMBDA { F<T>::row(x + at, y + at, d.length); },
            [=](std::int64_t at, std::int64_t width) PARE_INLINE_LAMBDA {
              forward_tile<F<T>, T>(x + at, y + at, d.length, d.inner, width);
            });
      });
    });
  });
}

template <template <class> class F> void backward(BackwardArgs& args) {
  const DType given = args.input_dtype(0);
  const DType dtype = is_half(given) ? DType::f32 : given;
  const Tensor y = in_dtype(args.output(0), dtype);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), y.format());
  Tensor dx = Tensor::empty(y.shape(), dtype, y.format());
  const Layout d = layout_of(args.call(), y);
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    const T* from = g.data<T>();
    const T* value = y.data<T>();
    T* to = dx.mutable_data<T>();
    parallel_for(0, d.outer, grain(d), [&](std::int64_t begin, std::int64_t end) {
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        for_rows(
            d, begin, end,
            [=](std::int64_t at) PARE_INLINE_LAMBDA {
              F<T>::gradient_row(from + at, value + at, to + at, d.length);
            },
            [=](std::int64_t at, std::int64_t width) PARE_INLINE_LAMBDA {
              backward_tile<F<T>, T>(from + at, value + at, to + at, d, width);
            });
      });
    });
  });
  args.set(0, in_dtype(dx, given));
}

void infer(InferArgs& args) {
  const char* where = args.call.op->name;
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, where, "expected a floating type, got {}",
             args.dtype(0));
  const int rank = args.shape(0).rank();
  if (rank > 0) normalize_axis(args.call.attributes.as<SoftmaxAttributes>().axis, rank, where);
  args.output(0, args.shape(0), args.dtype(0));
}

void emit(const Call& call, OnnxEmitter& e, const char* op_type) {
  PARE_CHECK(e.input_shape(0).rank() > 0, unsupported, call.op->name,
             "expected at least one axis for ONNX, got none");
  e.node(op_type, {e.input(0)}, {e.output(0)})
      .attribute("axis", call.attributes.as<SoftmaxAttributes>().axis);
}

Attributes defaults() { return Attributes::of(SoftmaxAttributes{}); }

}  // namespace

constinit const OpDef kSoftmax = {
    .name = "softmax",
    .format = FormatRule::keep,
    .infer = infer,
    .forward = forward<Softmax>,
    .backward = backward<Softmax>,
    .saves_outputs = 1,
    .defaults = defaults,
    .channels = {.kind = ChannelFact::Kind::elementwise, .statistics = true},
    .quantization = {.kind = QuantizationFact::Kind::fixed, .scale = 1.0 / 256, .zero_point = 0},
    .onnx = {.op_type = "Softmax",
             .emit = [](const Call& call, OnnxEmitter& e) { emit(call, e, "Softmax"); }}};

constinit const OpDef kLogSoftmax = {
    .name = "log_softmax",
    .format = FormatRule::keep,
    .infer = infer,
    .forward = forward<LogSoftmax>,
    .backward = backward<LogSoftmax>,
    .saves_outputs = 1,
    .defaults = defaults,
    .channels = {.kind = ChannelFact::Kind::elementwise, .statistics = true},
    .onnx = {.op_type = "LogSoftmax",
             .emit = [](const Call& call, OnnxEmitter& e) { emit(call, e, "LogSoftmax"); }}};

Tensor softmax(const Tensor& x, int axis) {
  return apply({&kSoftmax, Attributes::of(SoftmaxAttributes{axis})}, detail::Borrowed(x));
}
Tensor log_softmax(const Tensor& x, int axis) {
  return apply({&kLogSoftmax, Attributes::of(SoftmaxAttributes{axis})}, detail::Borrowed(x));
}

}  // namespace pare
