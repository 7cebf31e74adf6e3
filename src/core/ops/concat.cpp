// concat: tensors one after another along an axis.
#include "core/check.h"
#include "core/ops/strided.h"
#include "core/size_agreement.h"
#include "core/size_expression.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

void infer_concat(InferArgs& args) {
  const Shape& first = args.shape(0);
  const int axis =
      normalize_axis(args.call.attributes.as<ConcatAttributes>().axis, first.rank(), "concat");
  movable_bytes(args.dtype(0), "concat");
  Shape y = first;
  SizeExpression total;
  for (int i = 0; i < args.inputs(); ++i) {
    const Shape& x = args.shape(i);
    PARE_CHECK(args.dtype(i) == args.dtype(0), dtype_mismatch, "concat",
               "expected inputs of one dtype, got {} and {} (input {})", args.dtype(0),
               args.dtype(i), i);
    bool fits = x.rank() == first.rank();
    for (int a = 0; fits && a < first.rank(); ++a) fits = a == axis || can_agree(x, a, first, a);
    PARE_CHECK(fits, shape_mismatch, "concat",
               "expected inputs equal but for axis {}, got {} and {} (input {})", axis, first, x,
               i);
    total = total + SizeExpression::of(x, axis);
    for (int a = 0; a < first.rank(); ++a)
      if (a != axis && y.symbolic(a) && !x.symbolic(a)) y.set(a, x[a]);
  }
  total.set_in(y, axis);
  args.output(0, y, args.dtype(0));
}

/// The elements of the joined tensor, from `start` along the axis on.
template <class Pointer>
Pointer part_of(Pointer whole, const Strides& strides, int axis, std::int64_t start,
                std::size_t element_bytes) {
  return whole +
         start * strides[static_cast<std::size_t>(axis)] * static_cast<std::int64_t>(element_bytes);
}

void forward_concat(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  Tensor& y = outputs[0];
  const int axis = normalize_axis(call.attributes.as<ConcatAttributes>().axis, y.rank(), "concat");
  const std::size_t bytes = movable_bytes(y.dtype(), "concat");
  const Strides strides = strides_of(y);
  std::int64_t start = 0;
  auto* whole = static_cast<std::byte*>(y.mutable_raw());
  for (const Tensor& x : inputs) {
    copy_strided(x.shape(), bytes, {part_of(whole, strides, axis, start, bytes), strides},
                 {x.raw(), strides_of(x)});
    start += x.dim(axis);
  }
}

void backward_concat(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  const int axis =
      normalize_axis(args.call().attributes.as<ConcatAttributes>().axis, g.rank(), "concat");
  const std::size_t bytes = movable_bytes(g.dtype(), "concat");
  const Strides strides = strides_of(g);
  std::int64_t start = 0;
  const auto* whole = static_cast<const std::byte*>(g.raw());
  for (int i = 0; i < args.inputs(); ++i) {
    const Shape& shape = args.input_shape(i);
    if (args.needs(i)) {
      Tensor part = Tensor::empty(shape, g.dtype(), args.input_format(i));
      copy_strided(shape, bytes, {part.mutable_raw(), strides_of(part)},
                   {part_of(whole, strides, axis, start, bytes), strides});
      args.set(i, std::move(part));
    }
    start += shape[axis];
  }
}

void emit_concat(const Call& call, OnnxEmitter& emitter) {
  std::vector<std::string> names;
  for (int i = 0; emitter.has_input(i); ++i) names.push_back(emitter.input(i));
  emitter.node("Concat", names, {emitter.output(0)})
      .attribute("axis", call.attributes.as<ConcatAttributes>().axis);
}

}  // namespace

constinit const OpDef kConcat = {
    .name = "concat",
    .min_inputs = 1,
    .max_inputs = -1,
    .format = FormatRule::keep,
    .infer = infer_concat,
    .forward = forward_concat,
    .backward = backward_concat,
    .defaults = [] { return Attributes::of(ConcatAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::movement},
    .quantization = {.kind = QuantizationFact::Kind::all_inputs_share},
    .onnx = {.op_type = "Concat", .opset = 4, .emit = emit_concat},
};

Tensor concat(const Tensors& xs, int axis) {
  for (const Tensor& x : xs)
    PARE_CHECK(x.defined(), invalid_argument, "concat",
               "expected defined tensors, got an undefined");
  return apply({&kConcat, Attributes::of(ConcatAttributes{axis})}, xs);
}

}  // namespace pare
