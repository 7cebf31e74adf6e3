// argmax and argmin: where along an axis the first largest or smallest element lies.
#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

int axis_of(const Call& call, int rank) {
  return normalize_axis(call.attributes.as<AxisAttributes>().axis, rank, call.op->name);
}

void infer_index(InferArgs& args) {
  const char* where = args.call.op->name;
  const Shape& x = args.shape(0);
  PARE_CHECK(is_arithmetic(args.dtype(0)), dtype_mismatch, where, "expected a number type, got {}",
             args.dtype(0));
  const int axis = axis_of(args.call, x.rank());
  PARE_CHECK(x.symbolic(axis) || x[axis] > 0, invalid_argument, where,
             "expected at least one element along axis {}, got shape {}", axis, x);
  const bool keepdim = args.call.attributes.as<AxisAttributes>().keepdim;
  args.output(0, reduced_shape(x, 1U << axis, keepdim), DType::i64);
}

struct Larger {
  template <class T> static bool before(T best, T value) { return !(value <= best); }
  PARE_INLINE static float better(float a, float b) { return a < b ? b : a; }
};
struct Smaller {
  template <class T> static bool before(T best, T value) { return !(value >= best); }
  PARE_INLINE static float better(float a, float b) { return b < a ? b : a; }
};

/// The first index of a dense row's best element: first the value, then where it is, both in vector
/// code.
template <class Order> PARE_INLINE std::int64_t first_best(const float* row, std::int64_t length) {
  constexpr std::int64_t kLanes = 32;
  float best[kLanes];
  std::int32_t numbers[kLanes];
  for (std::int64_t l = 0; l < kLanes; ++l) best[l] = row[0];
  for (std::int64_t l = 0; l < kLanes; ++l) numbers[l] = -1;
  std::int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float v = row[i + l];
      best[l] = Order::better(best[l], v);
      numbers[l] &= v == v ? -1 : 0;
    }
  for (; i < length; ++i) {
    best[0] = Order::better(best[0], row[i]);
    numbers[0] &= row[i] == row[i] ? -1 : 0;
  }
  bool all_numbers = true;
  for (std::int64_t l = 0; l < kLanes; ++l) all_numbers &= numbers[l] == -1;
  if (!all_numbers) {
    std::int64_t k = 0;
    while (row[k] == row[k]) ++k;
    return k;
  }
  float value = best[0];
  for (std::int64_t l = 1; l < kLanes; ++l) value = Order::better(value, best[l]);
  std::int64_t k = 0;
  for (; k + kLanes <= length; k += kLanes) {
    std::int32_t found = 0;
    for (std::int64_t l = 0; l < kLanes; ++l) found |= row[k + l] == value ? 1 : 0;
    if (found != 0) break;
  }
  while (row[k] != value) ++k;
  return k;
}
/// The rows of a block, whose elements lie side by side.
template <class Order>
void dense_rows(const float* data, std::int64_t length, const LoopBlock& block,
                std::int64_t* index) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    const LoopBlock b = block;
    for (std::int64_t r = 0; r < b.rows; ++r)
      for (std::int64_t c = 0; c < b.columns; ++c)
        index[b.offset[1] + r * b.row[1] + c * b.column[1]] =
            first_best<Order>(data + b.offset[0] + r * b.row[0] + c * b.column[0], length);
  });
}

/// NaN comes before all, the first one.
template <class Order>
void forward_index(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const int axis = axis_of(call, x.rank());
  const std::int64_t length = x.shape()[axis];
  const std::int64_t step = strides_of(x)[static_cast<std::size_t>(axis)];
  // The nest runs over everything but the axis.
  Shape one = x.shape();
  one.set(axis, 1);
  const std::array operands{strides_of(x), result_strides(outputs[0], x.rank(), 1U << axis)};
  const LoopNest nest(one, x.format(), operands);
  auto* index = outputs[0].mutable_data<std::int64_t>();
  visit_arithmetic(x.dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const T* data = x.data<T>();
    for_each_block(nest, [&](const LoopBlock& b) {
      if constexpr (std::is_same_v<T, float>) {
        if (step == 1) return dense_rows<Order>(data, length, b, index);
      }
      for (std::int64_t r = 0; r < b.rows; ++r) {
        for (std::int64_t c = 0; c < b.columns; ++c) {
          const T* row = data + b.offset[0] + r * b.row[0] + c * b.column[0];
          std::int64_t best = 0;
          for (std::int64_t k = 1; k < length && row[best * step] == row[best * step]; ++k)
            if (Order::before(row[best * step], row[k * step])) best = k;
          index[b.offset[1] + r * b.row[1] + c * b.column[1]] = best;
        }
      }
    });
  });
}

void link_index(const Call& call, ChannelLinks& links) {
  const int axis = axis_of(call, links.shape(in(0)).rank());
  link_reduced(links, 1U << axis, call.attributes.as<AxisAttributes>().keepdim, false);
}

void emit_index(const Call& call, OnnxEmitter& e, const char* op_type) {
  const auto& a = call.attributes.as<AxisAttributes>();
  e.node(op_type, {e.input(0)}, {e.output(0)})
      .attribute("axis", a.axis)
      .attribute("keepdims", std::int64_t{a.keepdim});
}

}  // namespace

constinit const OpDef kArgmax = {
    .name = "argmax",
    .format = FormatRule::keep,
    .infer = infer_index,
    .forward = forward_index<Larger>,
    .defaults = [] { return Attributes::of(AxisAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_index},
    .onnx = {.op_type = "ArgMax",
             .emit = [](const Call& call, OnnxEmitter& e) { emit_index(call, e, "ArgMax"); }}};

constinit const OpDef kArgmin = {
    .name = "argmin",
    .format = FormatRule::keep,
    .infer = infer_index,
    .forward = forward_index<Smaller>,
    .defaults = [] { return Attributes::of(AxisAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_index},
    .onnx = {.op_type = "ArgMin",
             .emit = [](const Call& call, OnnxEmitter& e) { emit_index(call, e, "ArgMin"); }}};

Tensor argmax(const Tensor& x, int axis, bool keepdim) {
  if (is_scalar(x)) return argmax(line_of(x), axis);
  return apply({&kArgmax, Attributes::of(AxisAttributes{axis, keepdim})}, detail::Borrowed(x));
}
Tensor argmin(const Tensor& x, int axis, bool keepdim) {
  if (is_scalar(x)) return argmin(line_of(x), axis);
  return apply({&kArgmin, Attributes::of(AxisAttributes{axis, keepdim})}, detail::Borrowed(x));
}

}  // namespace pare
