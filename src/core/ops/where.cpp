// where: one of two values, by a condition; all three broadcast.
#include "core/elementwise_op.h"
#include "core/row_loops.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

/// y = b, of elements of T's size.
template <class T> void copy_row(const Row& row) {
  const T* __restrict b = static_cast<const T*>(row.b);
  T* __restrict y = static_cast<T*>(row.y);
  for (std::int64_t i = 0; i < row.count; ++i) y[i] = b[i * row.step_b];
}
/// y = b where the condition a holds.
template <class T> PARE_INLINE void choose(const Row& row) {
  const std::uint8_t* __restrict a = static_cast<const std::uint8_t*>(row.a);
  const T* __restrict b = static_cast<const T*>(row.b);
  T* __restrict y = static_cast<T*>(row.y);
  if (row.step_a == 1 && row.step_b == 1) {
    for (std::int64_t i = 0; i < row.count; ++i) y[i] = a[i] != 0 ? b[i] : y[i];
  } else if (row.step_a == 1 && row.step_b == 0) {
    const T value = *b;
    for (std::int64_t i = 0; i < row.count; ++i) y[i] = a[i] != 0 ? value : y[i];
  } else {
    for (std::int64_t i = 0; i < row.count; ++i)
      y[i] = a[i * row.step_a] != 0 ? b[i * row.step_b] : y[i];
  }
}
template <class T> void choose_row(const Row& row) {
  multiversion([=]() PARE_INLINE_LAMBDA { choose<T>(row); });
}

template <class T>
void where_of(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& y) {
  zip_rows(b, b, y, copy_row<T>);
  zip_rows(condition, a, y, choose_row<T>);
}

void infer_where(InferArgs& args) {
  PARE_CHECK(args.dtype(0) == DType::boolean, dtype_mismatch, "where",
             "expected a condition of bool, got {}", args.dtype(0));
  PARE_CHECK(args.dtype(1) == args.dtype(2), dtype_mismatch, "where",
             "expected both values of one dtype, got {} and {}", args.dtype(1), args.dtype(2));
  PARE_CHECK(traits(args.dtype(1)).bits >= 8, dtype_mismatch, "where",
             "expected an unpacked type, got {}", args.dtype(1));
  const Shape values = broadcast_shapes(args.shape(1), args.shape(2), "where");
  args.output(0, broadcast_shapes(args.shape(0), values, "where"), args.dtype(1));
}

void forward_where(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context&) {
  switch (traits(inputs[1].dtype()).bits) {
    case 64:
      return where_of<std::uint64_t>(inputs[0], inputs[1], inputs[2], outputs[0]);
    case 32:
      return where_of<std::uint32_t>(inputs[0], inputs[1], inputs[2], outputs[0]);
    case 16:
      return where_of<std::uint16_t>(inputs[0], inputs[1], inputs[2], outputs[0]);
    default:
      return where_of<std::uint8_t>(inputs[0], inputs[1], inputs[2], outputs[0]);
  }
}

/// Where a value was not chosen its gradient is nothing, whatever flows.
void backward_where(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  const Tensor nothing = Tensor::zeros({}, g.dtype());
  const Call call{&kWhere, {}};
  for (int i = 1; i <= 2; ++i) {
    if (!args.needs(i)) continue;
    const Tensor inputs[3] = {args.input(0), i == 1 ? g : nothing, i == 1 ? nothing : g};
    Tensor outputs[1] = {Tensor::empty(g.shape(), g.dtype(), g.format())};
    forward_where(call, inputs, outputs, context());
    give_summed(args, i, outputs[0]);
  }
}

}  // namespace

constinit const OpDef kWhere = {.name = "where",
                                .min_inputs = 3,
                                .max_inputs = 3,
                                .format = FormatRule::keep,
                                .infer = infer_where,
                                .forward = forward_where,
                                .backward = backward_where,
                                .saves_inputs = 1,
                                .channels = {.kind = ChannelFact::Kind::elementwise},
                                .onnx = {.op_type = "Where", .opset = 9}};

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  return apply({&kWhere, {}}, detail::Borrowed(condition, a, b));
}

}  // namespace pare
