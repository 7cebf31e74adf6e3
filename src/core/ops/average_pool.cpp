// average_pool1d, average_pool2d, average_pool3d: the mean of each window.
#include <algorithm>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

constexpr const char* kNames[] = {"average_pool1d", "average_pool2d", "average_pool3d"};

template <std::size_t N> void infer(InferArgs& args) {
  const char* name = kNames[N - 1];
  const auto& attr = args.call.attributes.as<PoolAttributes<N>>();
  const DType dtype = args.dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::i8 || dtype == DType::u8, dtype_mismatch, name,
             "expected f32, i8 or u8, got {}", dtype);
  PARE_CHECK(attr.dilation == detail::filled<N>(1), unsupported, name,
             "expected no dilation, got {}", attr.dilation[0]);
  const bool padded =
      std::any_of(attr.padding.begin(), attr.padding.end(), [](std::int64_t p) { return p != 0; });
  PARE_CHECK(dtype == DType::f32 || !padded || !attr.count_include_pad, unsupported, name,
             "expected no counted padding for {} codes, whose zero is not known here", dtype);
  PARE_CHECK(dtype == DType::f32 || attr.divisor_override == 0, unsupported, name,
             "expected the mean of {} codes, got the divisor {}, with which their zero would move",
             dtype, attr.divisor_override);
  args.output(0, pool_shape(attr, args.shape(0), name), dtype);
}

template <std::size_t N>
void run(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
         const Context&) {
  Tensor& y = outputs[0];
  const Tensor x = in_format(inputs[0], y.format());
  average_forward(PoolSizes(call.attributes.as<PoolAttributes<N>>(), x.shape(), y.shape()), x, y);
}

template <std::size_t N> void backward(BackwardArgs& args) {
  const MemoryFormat format = args.input_format(0);
  const Tensor grad = in_format(args.grad_output(0), format);
  const Shape& shape = args.input_shape(0);
  const PoolSizes sizes(args.call().attributes.as<PoolAttributes<N>>(), shape, grad.shape());
  args.set(0, average_backward(sizes, grad, shape, format));
}

/// ONNX has no divisor of its own choice. It becomes the mean over whole windows times a number;
/// for whole windows the padding takes what ceil_mode lets hang over.
template <std::size_t N> void emit(const Call& call, OnnxEmitter& emitter) {
  PoolAttributes<N> attr = call.attributes.as<PoolAttributes<N>>();
  const std::int64_t divisor = attr.divisor_override;
  std::string mean = emitter.output(0);
  double taps = 1;
  if (divisor != 0) {
    mean = emitter.temporary();
    attr.count_include_pad = true;
    attr.ceil_mode = false;
    for (std::size_t i = 0; i < N; ++i) {
      const int a = 2 + static_cast<int>(i);
      taps *= static_cast<double>(attr.kernel[i]);
      if (emitter.input_shape(0).symbolic(a)) continue;
      attr.padding[i + N] = std::max(
          attr.padding[i + N], (emitter.output_shape(0)[a] - 1) * attr.stride[i] + attr.kernel[i] -
                                   emitter.input_shape(0)[a] - attr.padding[i]);
    }
  }
  OnnxEmitter::Node& node = emitter.node("AveragePool", {emitter.input(0)}, {mean});
  emit_pool(attr, emitter, node);
  node.attribute("count_include_pad", std::int64_t{attr.count_include_pad});
  if (divisor == 0) return;
  const Tensor factor = Tensor::scalar(taps / static_cast<double>(divisor));
  emitter.node("Mul", {mean, emitter.constant(factor)}, {emitter.output(0)});
}

template <std::size_t N> constexpr OpDef record() {
  return {
      .name = kNames[N - 1],
      .format = FormatRule::keep,
      .infer = infer<N>,
      .forward = run<N>,
      .backward = backward<N>,
      .defaults = [] { return Attributes::of(PoolAttributes<N>{}); },
      .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
      .quantization = {.kind = QuantizationFact::Kind::own_range},
      .onnx = {.op_type = "AveragePool", .opset = 10, .emit = emit<N>},
  };
}

}  // namespace

constinit const OpDef kAveragePool1d = record<1>();
constinit const OpDef kAveragePool2d = record<2>();
constinit const OpDef kAveragePool3d = record<3>();

Tensor average_pool1d(const Tensor& x, const Attributes& attributes) {
  return apply({&kAveragePool1d, attributes}, detail::Borrowed(x));
}
Tensor average_pool1d(const Tensor& x, const Pool1dAttributes& attributes) {
  return average_pool1d(x, Attributes::of(attributes));
}
Tensor average_pool2d(const Tensor& x, const Attributes& attributes) {
  return apply({&kAveragePool2d, attributes}, detail::Borrowed(x));
}
Tensor average_pool2d(const Tensor& x, const Pool2dAttributes& attributes) {
  return average_pool2d(x, Attributes::of(attributes));
}
Tensor average_pool3d(const Tensor& x, const Attributes& attributes) {
  return apply({&kAveragePool3d, attributes}, detail::Borrowed(x));
}
Tensor average_pool3d(const Tensor& x, const Pool3dAttributes& attributes) {
  return average_pool3d(x, Attributes::of(attributes));
}

}  // namespace pare
