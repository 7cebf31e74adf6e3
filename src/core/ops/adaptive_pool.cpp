// adaptive_average_pool, adaptive_max_pool: windows that follow from the size of the result.
#include <algorithm>

#include "core/check.h"
#include "core/defined.h"
#include "core/ops/layout.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/pooling.h"
#include "core/ops/reduced.h"

namespace pare {
namespace {

enum class Kind { average, max };

constexpr const char* name_of(Kind kind) {
  return kind == Kind::average ? "adaptive_average_pool" : "adaptive_max_pool";
}

template <Kind kind> void infer(InferArgs& args) {
  const char* name = name_of(kind);
  const auto& attr = args.call.attributes.as<AdaptivePoolAttributes>();
  const DType dtype = args.dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::i8 || dtype == DType::u8, dtype_mismatch, name,
             "expected f32, i8 or u8, got {}", dtype);
  const Shape& x = args.shape(0);
  const Shape y = adaptive_pool_shape(attr, x, name);
  args.output(0, y, dtype);
  // The largest window is not known for a symbolic axis: the wide type holds every tap.
  if (kind == Kind::max && dtype == DType::f32) args.output(1, y, DType::i32);
}

template <Kind kind>
void run(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs, const Context&) {
  Tensor& y = outputs[0];
  const Tensor x = in_format(inputs[0], y.format());
  const PoolSizes sizes(x.shape(), y.shape());
  Tensor none;
  if constexpr (kind == Kind::average)
    average_forward(sizes, x, y);
  else
    max_forward(sizes, x, y, outputs.size() > 1 ? outputs[1] : none);
}

void backward_average(BackwardArgs& args) {
  const MemoryFormat format = args.input_format(0);
  const Tensor grad = in_format(args.grad_output(0), format);
  const Shape& shape = args.input_shape(0);
  args.set(0, average_backward(PoolSizes(shape, grad.shape()), grad, shape, format));
}

void backward_max(BackwardArgs& args) {
  const Tensor& index = args.output(1);
  const Tensor g = in_format(args.grad_output(0), index.format());
  const Shape& shape = args.input_shape(0);
  args.set(0, max_backward(PoolSizes(shape, g.shape()), g, index, shape));
}

/// ONNX has no adaptive pooling: global pooling, pooling with equal windows, or for uneven ones
/// each window of each axis sliced out, reduced and joined again, one axis after the other (maxima
/// and means of boxes can be taken so).
template <Kind kind> void emit(const Call& call, OnnxEmitter& emitter) {
  const auto& output = call.attributes.as<AdaptivePoolAttributes>().output;
  const char* reduce = kind == Kind::average ? "ReduceMean" : "ReduceMax";
  if (std::all_of(output.begin(), output.end(), [](std::int64_t o) { return o == 1; })) {
    emitter.node(kind == Kind::average ? "GlobalAveragePool" : "GlobalMaxPool", {emitter.input(0)},
                 {emitter.output(0)});
    return;
  }
  const Shape& x = emitter.input_shape(0);
  const std::vector<std::int64_t> kernel = even_kernel(output, x);
  if (!kernel.empty()) {
    emitter
        .node(kind == Kind::average ? "AveragePool" : "MaxPool", {emitter.input(0)},
              {emitter.output(0)})
        .attribute("kernel_shape", kernel)
        .attribute("strides", kernel);
    return;
  }
  const auto constant = [&](std::int64_t v) { return onnx_integers(emitter, {v}); };
  std::string value = emitter.input(0);
  int last = 0;
  for (std::size_t i = 0; i < output.size(); ++i)
    if (output[i] != -1) last = static_cast<int>(i);
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (output[i] == -1) continue;
    const int axis = 2 + static_cast<int>(i);
    PARE_CHECK(!x.symbolic(axis), unsupported, name_of(kind),
               "expected a known size of axis {} for ONNX, got x {}", axis, x);
    std::vector<std::string> parts;
    for (std::int64_t o = 0; o < output[i]; ++o) {
      const std::int64_t begin = o * x[axis] / output[i];
      const std::int64_t end = ((o + 1) * x[axis] + output[i] - 1) / output[i];
      const std::string part = emitter.temporary();
      emitter.node("Slice", {value, constant(begin), constant(end), constant(axis)}, {part});
      parts.push_back(emitter.temporary());
      emit_reduced(emitter, reduce, 18, part, parts.back(), {axis}, true);
    }
    value = static_cast<int>(i) == last ? emitter.output(0) : emitter.temporary();
    emitter.node("Concat", parts, {value}).attribute("axis", std::int64_t{axis});
  }
}

}  // namespace

constinit const OpDef kAdaptiveAveragePool = {
    .name = name_of(Kind::average),
    .format = FormatRule::keep,
    .infer = infer<Kind::average>,
    .forward = run<Kind::average>,
    .backward = backward_average,
    .defaults = [] { return Attributes::of(AdaptivePoolAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "AveragePool", .opset = 13, .emit = emit<Kind::average>},
};

constinit const OpDef kAdaptiveMaxPool = {
    .name = name_of(Kind::max),
    .hidden_outputs = 1,
    .format = FormatRule::keep,
    .infer = infer<Kind::max>,
    .forward = run<Kind::max>,
    .backward = backward_max,
    .saves_outputs = 0b10,
    .defaults = [] { return Attributes::of(AdaptivePoolAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "MaxPool", .opset = 13, .emit = emit<Kind::max>},
};

namespace {

template <std::size_t N> Attributes even_attributes(const std::vector<std::int64_t>& kernel) {
  PoolAttributes<N> attr;
  std::copy_n(kernel.begin(), N, attr.kernel.begin());
  attr.stride = attr.kernel;
  return Attributes::of(attr);
}

/// The call with `ops`, the poolings over 1, 2, 3 axes, where all windows are alike.
Tensor adaptive(const OpDef& op, const OpDef* const (&ops)[3], const Tensor& x,
                const std::vector<std::int64_t>& output) {
  const AdaptivePoolAttributes attr{output};
  const Shape y = adaptive_pool_shape(attr, x.shape(), op.name);
  const std::vector<std::int64_t> kernel = even_kernel(output, x.shape());
  Call call{&op, Attributes::of(attr)};
  if (kernel.size() == 1) call = {ops[0], even_attributes<1>(kernel)};
  if (kernel.size() == 2) call = {ops[1], even_attributes<2>(kernel)};
  if (kernel.size() == 3) call = {ops[2], even_attributes<3>(kernel)};
  return apply(call, detail::Borrowed(x));
}

bool to_one(const std::vector<std::int64_t>& output, const Tensor& x) {
  return x.rank() >= 3 && static_cast<int>(output.size()) == x.rank() - 2 &&
         std::all_of(output.begin(), output.end(), [](std::int64_t o) { return o == 1; });
}

}  // namespace

Tensor adaptive_average_pool(const Tensor& x, const std::vector<std::int64_t>& output) {
  require_defined(x, "adaptive_average_pool");
  if (to_one(output, x)) return global_average_pool(x);
  static constexpr const OpDef* kOps[] = {&kAveragePool1d, &kAveragePool2d, &kAveragePool3d};
  return adaptive(kAdaptiveAveragePool, kOps, x, output);
}

Tensor adaptive_max_pool(const Tensor& x, const std::vector<std::int64_t>& output) {
  require_defined(x, "adaptive_max_pool");
  if (to_one(output, x))  // whatever the size of the pictures
    return apply({&kAdaptiveMaxPool, Attributes::of(AdaptivePoolAttributes{output})},
                 detail::Borrowed(x));
  static constexpr const OpDef* kOps[] = {&kMaxPool1d, &kMaxPool2d, &kMaxPool3d};
  return adaptive(kAdaptiveMaxPool, kOps, x, output);
}

Tensor global_max_pool(const Tensor& x) {
  require_defined(x, "global_max_pool");
  const int spatial = std::max(1, x.rank() - 2);
  return adaptive_max_pool(x, std::vector<std::int64_t>(static_cast<std::size_t>(spatial), 1));
}

}  // namespace pare
