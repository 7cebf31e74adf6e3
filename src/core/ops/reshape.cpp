// reshape: the same elements under another shape.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/defined.h"
#include "core/ops/exact_shape.h"
#include "core/ops/layout.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

bool has_no_elements(const Shape& shape) {
  for (int a = 0; a < shape.rank(); ++a)
    if (!shape.symbolic(a) && shape[a] == 0) return true;
  return false;
}

KnownSizes targets_of(const InferArgs& args) {
  if (args.has(1)) return known_sizes(args, 1, "a shape");
  KnownSizes sizes;
  for (const std::int64_t size : args.call.attributes.as<ReshapeAttributes>().shape)
    sizes.emplace_back(size);
  return sizes;
}

std::string written(const KnownSizes& sizes) {
  std::string text = "[";
  for (const auto& size : sizes) {
    if (text.size() > 1) text += ", ";
    text += size ? size->to_string() : "?";
  }
  return text + "]";
}

void infer_reshape(InferArgs& args) {
  const Shape& x = args.shape(0);
  const KnownSizes target = targets_of(args);
  PARE_CHECK(target.size() <= Shape::kMaxRank, invalid_argument, "reshape",
             "expected at most {} axes, got {}", Shape::kMaxRank, target.size());
  const auto is = [](const std::optional<SizeExpression>& size, std::int64_t number) {
    return size && *size == SizeExpression(number);
  };
  const auto copied = [&](std::size_t i) { return is(target[i], 0); };
  // Axes that are copied count on neither side, so that an empty batch leaves the -1 determined.
  SizeExpression rest(1);
  SizeExpression named(1);
  for (int a = 0; a < x.rank(); ++a)
    if (static_cast<std::size_t>(a) >= target.size() || !copied(static_cast<std::size_t>(a)))
      rest = rest * SizeExpression::of(x, a);
  int open = -1;  // the axis of the -1, or the only one of an unknown size
  int unknowns = 0;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const int axis = static_cast<int>(i);
    if (copied(i)) {
      PARE_CHECK(axis < x.rank(), shape_mismatch, "reshape",
                 "expected an axis {} to copy (0), got x {}", axis, x);
    } else if (is(target[i], -1)) {
      PARE_CHECK(open < 0 || !target[static_cast<std::size_t>(open)], invalid_argument, "reshape",
                 "expected at most one -1, got {}", written(target));
      open = axis;
    } else if (!target[i]) {
      ++unknowns;
      if (open < 0) open = axis;
    } else {
      PARE_CHECK(!target[i]->is_number() || target[i]->constant() >= 0, invalid_argument, "reshape",
                 "expected sizes of -1, 0 or more, got {}", written(target));
      named = named * *target[i];
    }
  }
  const bool has_rest = open >= 0 && is(target[static_cast<std::size_t>(open)], -1);
  const bool one_open = unknowns + (has_rest ? 1 : 0) == 1;
  std::optional<SizeExpression> quotient = rest.divided_exactly(named);
  // What does not go into it for certain may do so where the graph runs.
  if (!quotient && !rest.is_number() && (!named.is_number() || named.constant() > 0))
    quotient = rest.divided_down(named);
  Shape y;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const int axis = static_cast<int>(i);
    if (copied(i))
      y.append(x, axis);
    else if (axis == open && one_open && quotient)
      quotient->append_to(y);
    else if (!target[i] || is(target[i], -1))
      append_unknown(y);
    else
      target[i]->append_to(y);
  }
  const SizeExpression difference = rest - named;
  const bool same = !difference.is_number() || difference.constant() == 0 ||
                    (has_no_elements(x) && has_no_elements(y));
  const bool fits = open < 0 ? same : unknowns > 0 || quotient;
  PARE_CHECK(fits, shape_mismatch, "reshape", "expected a shape of {} elements, got {} for x {}",
             SizeExpression::product_of(x).to_string(), written(target), x);
  args.output(0, y, args.dtype(0));
}

/// Whether row-major order is the order in memory: there is one channel or one pixel.
bool lies_row_major(const Tensor& x) {
  if (!x.channels_last()) return true;
  return x.shape()[1] == 1 || x.shape().elements(2, x.rank()) == 1;
}

Tensor view_reshape(const Call&, const Tensor& x, const Shape& shape) {
  return lies_row_major(x) ? share_memory(x, shape) : Tensor();
}

void forward_reshape(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context&) {
  const Tensor x =
      lies_row_major(inputs[0]) ? inputs[0] : in_format(inputs[0], MemoryFormat::row_major);
  Tensor& y = outputs[0];
  if (y.channels_last()) {
    convert_format(share_memory(x, y.shape()), y);
  } else if (y.bytes() > 0) {
    std::memcpy(y.mutable_raw(), x.raw(), y.bytes());
  }
}

void backward_reshape(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  args.set(0, share_memory(lies_row_major(g) ? g : in_format(g, MemoryFormat::row_major),
                           args.input_shape(0)));
}

bool resize_reshape(Call& call, const ChannelResize& resize) {
  ReshapeAttributes attr = call.attributes.as<ReshapeAttributes>();
  const auto count = [&](Operand operand, int axis) -> std::int64_t {
    const std::vector<std::int64_t>* kept = resize.kept(operand, axis);
    return kept ? static_cast<std::int64_t>(kept->size()) : -1;
  };
  for (std::size_t i = 0; i < attr.shape.size(); ++i) {
    const int axis = static_cast<int>(i);
    const std::int64_t now = count(out(0), axis);
    if (attr.shape[i] > 0 && now >= 0) attr.shape[i] = now;
    if (attr.shape[i] == 0 && now != count(in(0), axis)) {
      const Shape& y = resize.shape(out(0));
      if (now < 0 && y.symbolic(axis)) return false;
      attr.shape[i] = now >= 0 ? now : y[axis];
    }
  }
  call.attributes = Attributes::of(attr);
  return true;
}

void emit_reshape(const Call& call, OnnxEmitter& emitter) {
  const std::vector<std::int64_t>& shape = call.attributes.as<ReshapeAttributes>().shape;
  const std::string target = integers_or_input(emitter, 1, shape);
  emitter.node("Reshape", {emitter.input(0), target}, {emitter.output(0)});
}

}  // namespace

constinit const OpDef kReshape = {
    .name = "reshape",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_reshape,
    .forward = forward_reshape,
    .view = view_reshape,
    .backward = backward_reshape,
    .defaults = [] { return Attributes::of(ReshapeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::movement, .resize = resize_reshape},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Reshape", .opset = 5, .emit = emit_reshape},
};

Tensor reshape(const Tensor& x, const std::vector<std::int64_t>& shape) {
  return apply({&kReshape, Attributes::of(ReshapeAttributes{shape})}, detail::Borrowed(x));
}

Tensor flatten(const Tensor& x, int start_axis, int end_axis) {
  require_defined(x, "flatten");
  // A scalar is taken for one axis, as in PyTorch.
  const int rank = std::max(x.rank(), 1);
  const int start = normalize_axis(start_axis, rank, "flatten");
  const int end = normalize_axis(end_axis, rank, "flatten");
  PARE_CHECK(start <= end, invalid_argument, "flatten",
             "expected a first axis before the last, got {} and {}", start_axis, end_axis);
  if (x.rank() == 0) return reshape(x, {1});
  // Axes before the merged one are copied by 0, so that their sizes may differ from run to run;
  // those after it have moved and are written out. A 0 among these would copy another axis: it is
  // left open instead of the merged one.
  std::vector<std::int64_t> shape(static_cast<std::size_t>(start), 0);
  std::int64_t merged = 1;
  for (int a = start; a <= end; ++a) merged *= x.dim(a);
  shape.push_back(-1);
  for (int a = end + 1; a < x.rank(); ++a) {
    std::int64_t size = x.dim(a);
    if (size == 0) {
      std::int64_t& open = shape[static_cast<std::size_t>(start)];
      if (open != -1 || merged == 0) {
        std::vector<std::int64_t> exact = x.shape().to_vector();
        exact.erase(exact.begin() + start, exact.begin() + end + 1);
        exact.insert(exact.begin() + start, merged);
        return reshape_exactly(x, exact);
      }
      open = merged;
      size = -1;
    }
    shape.push_back(size);
  }
  return reshape(x, shape);
}

}  // namespace pare
