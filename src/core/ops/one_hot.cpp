// one_hot: indices as vectors with one value at the index and another elsewhere.
#include <algorithm>
#include <cstring>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/ops/indexed.h"
#include "core/ops/layout.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/indexing.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

int axis_of(const OneHotAttributes& attr, const Shape& indices) {
  return normalize_axis(attr.axis, indices.rank() + 1, "one_hot");
}

void check_one_hot(const InferArgs& args, DType dtype) {
  check_indices(args.dtype(0), "one_hot");
  movable_bytes(dtype, "one_hot");
  PARE_CHECK(args.shape(0).rank() < Shape::kMaxRank, unsupported, "one_hot",
             "expected indices of fewer than {} axes, got {}", Shape::kMaxRank, args.shape(0));
}

/// The indices' shape with the classes, of a number that may not be known, as a new axis.
Shape with_classes(const OneHotAttributes& attr, const Shape& indices,
                   const std::optional<SizeExpression>& depth) {
  const int axis = axis_of(attr, indices);
  Shape y;
  for (int a = 0; a <= indices.rank(); ++a) {
    if (a == axis) {
      if (depth)
        depth->append_to(y);
      else
        append_unknown(y);
    }
    if (a < indices.rank()) y.append(indices, a);
  }
  return y;
}

void infer_one_hot(InferArgs& args) {
  const auto& attr = args.call.attributes.as<OneHotAttributes>();
  check_one_hot(args, attr.dtype);
  PARE_CHECK(attr.depth >= 1, invalid_argument, "one_hot", "expected at least 1 class, got {}",
             attr.depth);
  args.output(0, with_classes(attr, args.shape(0), SizeExpression(attr.depth)), attr.dtype);
}

void infer_unknown_one_hot(InferArgs& args) {
  const auto& attr = args.call.attributes.as<OneHotAttributes>();
  const DType dtype = args.has(2) ? args.dtype(2) : attr.dtype;
  check_one_hot(args, dtype);
  KnownSizes depth{SizeExpression(attr.depth)};
  if (args.has(1)) depth = known_sizes(args, 1, "a number of classes");
  PARE_CHECK(depth.size() == 1, shape_mismatch, "one_hot",
             "expected a number of classes of one element, got {}", depth.size());
  args.output(0, with_classes(attr, args.shape(0), depth[0]), dtype);
}

Attributes bind_one_hot(const Call& call, const Shape&, const Values& values) {
  OneHotAttributes attr = call.attributes.as<OneHotAttributes>();
  if (values.has(1)) attr.depth = values.integer(1, "one_hot", "a number of classes");
  if (values.has(2)) {
    PARE_CHECK(values[2].shape() == Shape{2}, shape_mismatch, "one_hot",
               "expected two values, off and on, got {}", values[2].shape());
    const Tensor wide = in_dtype(values[2], DType::f64);
    attr.off = wide.data<double>()[0];
    attr.on = wide.data<double>()[1];
    attr.dtype = values[2].dtype();
  }
  return Attributes::of(attr);
}

/// One value among depth others for each index: a row of `inner` indices is a block of depth rows.
template <class T>
void mark(const Tensor& indices, Tensor& y, std::int64_t inner, std::int64_t depth,
          const Tensor& values) {
  const T off = static_cast<const T*>(values.raw())[0];
  const T on = static_cast<const T*>(values.raw())[1];
  T* out = static_cast<T*>(y.mutable_raw());
  const std::int64_t count = indices.elements();
  const std::int64_t grain = std::max<std::int64_t>(1, 32768 / (depth * inner));
  const auto fill = [&](const auto* index) {
    parallel_for(0, count / inner, grain, [&](std::int64_t begin, std::int64_t end) {
      std::fill(out + begin * inner * depth, out + end * inner * depth, off);
      for (std::int64_t o = begin; o < end; ++o)
        for (std::int64_t i = 0; i < inner; ++i) {
          std::int64_t k = index[o * inner + i];
          PARE_CHECK(k >= -depth && k < depth, out_of_range, "one_hot",
                     "expected indices from {} to {}, got {}", -depth, depth - 1, k);
          if (k < 0) k += depth;
          out[(o * depth + k) * inner + i] = on;
        }
    });
  };
  if (indices.dtype() == DType::i64)
    fill(indices.data<std::int64_t>());
  else
    fill(indices.data<std::int32_t>());
}

Tensor values_of(const OneHotAttributes& attr) {
  return Tensor::from(std::vector<double>{attr.off, attr.on}, {2}).to(attr.dtype);
}

void forward_one_hot(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context&) {
  const auto& attr = call.attributes.as<OneHotAttributes>();
  const Tensor& indices = inputs[0];
  Tensor& y = outputs[0];
  if (y.elements() == 0) return;
  const std::int64_t inner =
      indices.shape().elements(axis_of(attr, indices.shape()), indices.rank());
  const NoGrad no_grad;
  ContextScope scope;
  scope->tracer = nullptr;
  const Tensor values = values_of(attr);
  switch (movable_bytes(attr.dtype, "one_hot")) {
    case 1:
      return mark<std::uint8_t>(indices, y, inner, attr.depth, values);
    case 2:
      return mark<std::uint16_t>(indices, y, inner, attr.depth, values);
    case 4:
      return mark<std::uint32_t>(indices, y, inner, attr.depth, values);
    default:
      return mark<std::uint64_t>(indices, y, inner, attr.depth, values);
  }
}

void emit_one_hot(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<OneHotAttributes>();
  PARE_CHECK(emitter.input_shape(0).rank() > 0, unsupported, "one_hot",
             "expected at least one axis of indices for ONNX, got none");
  const std::string depth =
      emitter.has_input(1)
          ? emitter.input(1)
          : emitter.constant(Tensor::scalar(static_cast<double>(attr.depth), DType::i64));
  const std::string values =
      emitter.has_input(2) ? emitter.input(2) : emitter.constant(values_of(attr));
  emitter.node("OneHot", {emitter.input(0), depth, values}, {emitter.output(0)})
      .attribute("axis", attr.axis);
}

constexpr ValueForm kForm{bind_one_hot, infer_unknown_one_hot, infer_one_hot, forward_one_hot};

}  // namespace

constinit const OpDef kOneHot = {
    .name = "one_hot",
    .max_inputs = 3,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .defaults = [] { return Attributes::of(OneHotAttributes{}); },
    .onnx = {.op_type = "OneHot", .opset = 11, .emit = emit_one_hot},
};

Tensor one_hot(const Tensor& indices, const OneHotAttributes& attributes) {
  return apply({&kOneHot, Attributes::of(attributes)}, detail::Borrowed(indices));
}
Tensor one_hot(const Tensor& indices, std::int64_t classes) {
  return one_hot(indices, OneHotAttributes{.depth = classes});
}

}  // namespace pare
