// expand: axes of size 1, and new ones in front, repeated.
#include <algorithm>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

/// ONNX's form: a size of 1 on either side takes the other's.
void infer_broadcast(InferArgs& args) {
  const Shape& x = args.shape(0);
  const KnownSizes target = known_sizes(args, 1, "a shape");
  const int count = static_cast<int>(target.size());
  const int rank = std::max(count, x.rank());
  PARE_CHECK(rank <= Shape::kMaxRank, shape_mismatch, "expand", "expected at most {} axes, got {}",
             Shape::kMaxRank, rank);
  const SizeExpression one(1);
  Shape y;
  for (int a = 0; a < rank; ++a) {
    const int own = a - (rank - x.rank());
    const int given = a - (rank - count);
    const SizeExpression size = own < 0 ? one : SizeExpression::of(x, own);
    if (given >= 0 && !target[static_cast<std::size_t>(given)]) {
      // An axis of several elements stays; one whose size is not known may be one element.
      if (size.is_number() && size != one)
        y.append(size.constant());
      else
        append_unknown(y);
      continue;
    }
    const SizeExpression wanted = given < 0 ? one : *target[static_cast<std::size_t>(given)];
    const bool fits =
        size == one || wanted == one || size == wanted || !size.is_number() || !wanted.is_number();
    PARE_CHECK(fits && (!wanted.is_number() || wanted.constant() >= 0), shape_mismatch, "expand",
               "expected a shape that broadcasts with {}, got a size of {} at axis {}", x,
               wanted.to_string(), a);
    // A symbol beside a number: whatever it is, the result has the number's size.
    const bool takes_own = wanted == one || (size != one && size.is_number());
    (takes_own ? size : wanted).append_to(y);
  }
  args.output(0, y, args.dtype(0));
}

void infer_expand(InferArgs& args) {
  const Shape& x = args.shape(0);
  if (args.has(1)) {
    movable_bytes(args.dtype(0), "expand");
    return infer_broadcast(args);
  }
  const std::vector<std::int64_t>& target = args.call.attributes.as<ExpandAttributes>().shape;
  movable_bytes(args.dtype(0), "expand");
  const int added = static_cast<int>(target.size()) - x.rank();
  PARE_CHECK(added >= 0 && target.size() <= Shape::kMaxRank, shape_mismatch, "expand",
             "expected at least the {} axes of x {} and at most {}, got [{}]", x.rank(), x,
             Shape::kMaxRank, listed(target));
  Shape y;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const int axis = static_cast<int>(i) - added;
    if (target[i] == -1 && axis >= 0) {
      y.append(x, axis);
      continue;
    }
    const bool fits = axis < 0 || (!x.symbolic(axis) && (x[axis] == 1 || x[axis] == target[i]));
    PARE_CHECK(fits && target[i] >= 0, shape_mismatch, "expand",
               "expected a shape that {} broadcasts to, got [{}]", x, listed(target));
    y.append(target[i]);
  }
  args.output(0, y, args.dtype(0));
}

void forward_expand(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  const Strides strides = strides_of(x);
  Strides repeated{};
  const int added = y.rank() - x.rank();
  for (int a = 0; a < x.rank(); ++a)
    if (x.dim(a) != 1)
      repeated[static_cast<std::size_t>(a + added)] = strides[static_cast<std::size_t>(a)];
  copy_strided(y.shape(), movable_bytes(x.dtype(), "expand"), {y.mutable_raw(), strides_of(y)},
               {x.raw(), repeated});
}

void backward_expand(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  const Shape& x = args.input_shape(0);
  const int added = g.rank() - x.rank();
  std::vector<std::int64_t> axes;
  for (int a = 0; a < g.rank(); ++a)
    if (a < added || (x[a - added] == 1 && g.dim(a) != 1)) axes.push_back(a);
  if (axes.empty()) {
    args.set(0, share_memory(g, x, g.format()));
    return;
  }
  args.set(0, share_memory(in_format(sum(g, axes, true), MemoryFormat::row_major), x));
}

bool resize_expand(Call& call, const ChannelResize& resize) {
  ExpandAttributes attr = call.attributes.as<ExpandAttributes>();
  for (std::size_t i = 0; i < attr.shape.size(); ++i)
    if (const auto* kept = resize.kept(out(0), static_cast<int>(i)); kept && attr.shape[i] >= 0)
      attr.shape[i] = static_cast<std::int64_t>(kept->size());
  call.attributes = Attributes::of(attr);
  return true;
}

void emit_expand(const Call& call, OnnxEmitter& emitter) {
  // ONNX broadcasts both ways: a 1 keeps the input's size.
  std::vector<std::int64_t> shape = call.attributes.as<ExpandAttributes>().shape;
  for (std::int64_t& size : shape)
    if (size == -1) size = 1;
  const std::string target = integers_or_input(emitter, 1, shape);
  emitter.node("Expand", {emitter.input(0), target}, {emitter.output(0)});
}

}  // namespace

constinit const OpDef kExpand = {
    .name = "expand",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_expand,
    .forward = forward_expand,
    .backward = backward_expand,
    .defaults = [] { return Attributes::of(ExpandAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::movement, .resize = resize_expand},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Expand", .opset = 8, .emit = emit_expand},
};

Tensor expand(const Tensor& x, const std::vector<std::int64_t>& shape) {
  return apply({&kExpand, Attributes::of(ExpandAttributes{shape})}, detail::Borrowed(x));
}

}  // namespace pare
