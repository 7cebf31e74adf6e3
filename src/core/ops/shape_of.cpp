// shape and size: what a tensor's axes measure, as a tensor.
#include <algorithm>

#include "core/check.h"
#include "pare/core/ops/value.h"

namespace pare {
namespace {

struct AxisRange {
  std::int64_t begin, end;
};

AxisRange range_of(const Call& call, const Shape& x) {
  const auto& attr = call.attributes.as<ShapeAttributes>();
  const std::int64_t rank = x.rank();
  const auto place = [rank](std::int64_t i) {
    return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank);
  };
  const std::int64_t begin = place(attr.start);
  return {begin, std::max(begin, place(attr.end))};
}

void infer_shape(InferArgs& args) {
  const AxisRange range = range_of(args.call, args.shape(0));
  args.output(0, Shape{range.end - range.begin}, DType::i64);
}

void forward_shape(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context&) {
  const AxisRange range = range_of(call, inputs[0].shape());
  auto* sizes = outputs[0].mutable_data<std::int64_t>();
  for (std::int64_t a = range.begin; a < range.end; ++a)
    sizes[a - range.begin] = inputs[0].dim(static_cast<int>(a));
}

void emit_shape(const Call& call, OnnxEmitter& emitter) {
  const AxisRange range = range_of(call, emitter.input_shape(0));
  auto& node = emitter.node("Shape", {emitter.input(0)}, {emitter.output(0)});
  if (range.begin == 0 && range.end == emitter.input_shape(0).rank()) return;
  PARE_CHECK(emitter.opset() >= 15, unsupported, "shape",
             "expected opset 15 or later for a part of the axes, got {}", emitter.opset());
  node.attribute("start", range.begin).attribute("end", range.end);
}

}  // namespace

constinit const OpDef kShape = {
    .name = "shape",
    .format = FormatRule::keep,
    .infer = infer_shape,
    .forward = forward_shape,
    .defaults = [] { return Attributes::of(ShapeAttributes{}); },
    .onnx = {.op_type = "Shape", .opset = 13, .emit = emit_shape},
};

constinit const OpDef kSize = {
    .name = "size",
    .format = FormatRule::keep,
    .infer = [](InferArgs& args) { args.output(0, Shape{}, DType::i64); },
    .forward =
        [](const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs, const Context&) {
          *outputs[0].mutable_data<std::int64_t>() = inputs[0].elements();
        },
    .onnx = {.op_type = "Size", .opset = 13},
};

Tensor shape_of(const Tensor& x, const ShapeAttributes& attributes) {
  return apply({&kShape, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor size_of(const Tensor& x) { return apply({&kSize, {}}, detail::Borrowed(x)); }

}  // namespace pare
