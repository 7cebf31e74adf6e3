// max_pool1d, max_pool2d, max_pool3d: the largest value of each window.
#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

constexpr const char* kNames[] = {"max_pool1d", "max_pool2d", "max_pool3d"};

/// What oneDNN's indices would be is not used: ours is the tap within the window, in the smallest
/// type that holds it, and only backward reads it.
template <std::size_t N> void infer(InferArgs& args) {
  const char* name = kNames[N - 1];
  const auto& attr = args.call.attributes.as<PoolAttributes<N>>();
  const DType dtype = args.dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::i8 || dtype == DType::u8, dtype_mismatch, name,
             "expected f32, i8 or u8, got {}", dtype);
  const Shape y = pool_shape(attr, args.shape(0), name);
  args.output(0, y, dtype);
  std::int64_t taps = 1;
  for (const std::int64_t k : attr.kernel) taps *= k;
  if (dtype == DType::f32) args.output(1, y, max_index_dtype(taps));
}

template <std::size_t N>
void run(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
         const Context&) {
  Tensor& y = outputs[0];
  const Tensor x = in_format(inputs[0], y.format());
  Tensor none;
  max_forward(PoolSizes(call.attributes.as<PoolAttributes<N>>(), x.shape(), y.shape()), x, y,
              outputs.size() > 1 ? outputs[1] : none);
}

template <std::size_t N> void backward(BackwardArgs& args) {
  const Tensor& index = args.output(1);
  const Tensor g = in_format(args.grad_output(0), index.format());
  const Shape& shape = args.input_shape(0);
  const PoolSizes sizes(args.call().attributes.as<PoolAttributes<N>>(), shape, g.shape());
  args.set(0, max_backward(sizes, g, index, shape));
}

template <std::size_t N> void emit(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<PoolAttributes<N>>();
  OnnxEmitter::Node& node = emitter.node("MaxPool", {emitter.input(0)}, {emitter.output(0)});
  emit_pool(attr, emitter, node);
  node.attribute("dilations", attr.dilation);
}

template <std::size_t N> constexpr OpDef record() {
  return {
      .name = kNames[N - 1],
      .hidden_outputs = 1,
      .format = FormatRule::keep,
      .infer = infer<N>,
      .forward = run<N>,
      .backward = backward<N>,
      .saves_outputs = 0b10,
      .defaults = [] { return Attributes::of(PoolAttributes<N>{}); },
      .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
      .quantization = {.kind = QuantizationFact::Kind::same_as_input},
      .onnx = {.op_type = "MaxPool", .opset = 12, .emit = emit<N>},
  };
}

}  // namespace

constinit const OpDef kMaxPool1d = record<1>();
constinit const OpDef kMaxPool2d = record<2>();
constinit const OpDef kMaxPool3d = record<3>();

Tensor max_pool1d(const Tensor& x, const Attributes& attributes) {
  return apply({&kMaxPool1d, attributes}, detail::Borrowed(x));
}
Tensor max_pool1d(const Tensor& x, const Pool1dAttributes& attributes) {
  return max_pool1d(x, Attributes::of(attributes));
}
Tensor max_pool2d(const Tensor& x, const Attributes& attributes) {
  return apply({&kMaxPool2d, attributes}, detail::Borrowed(x));
}
Tensor max_pool2d(const Tensor& x, const Pool2dAttributes& attributes) {
  return max_pool2d(x, Attributes::of(attributes));
}
Tensor max_pool3d(const Tensor& x, const Attributes& attributes) {
  return apply({&kMaxPool3d, attributes}, detail::Borrowed(x));
}
Tensor max_pool3d(const Tensor& x, const Pool3dAttributes& attributes) {
  return max_pool3d(x, Attributes::of(attributes));
}

}  // namespace pare
