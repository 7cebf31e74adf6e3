// conv2d and conv3d of f32, multiplied in f32 or bf16, forward and backward, on oneDNN's
// convolutions.
#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "core/check.h"
#include "core/ops/conv2d_depthwise.h"
#include "core/strides.h"
#include "core/threads.h"
#include "onednn/api.h"
#include "onednn/cache.h"
#include "onednn/conv2d_gemm.h"
#include "onednn/convolution_bounds.h"
#include "onednn/kernels.h"
#include "onednn/runner.h"
#include "pare/core/context.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/parallel.h"

namespace pare::onednn {
namespace {

enum class Direction : std::int32_t { forward, data, weights };

/// One convolution over two or three axes with its shapes and formats; `source_format` and the
/// others are those of the tensor or of its gradient.
struct Case {
  Direction direction;
  const Shape* source;
  const Shape* weights;
  const Shape* destination;
  MemoryFormat source_format, weights_format, destination_format;
  std::span<const std::int64_t> stride, padding, dilation;
  std::int64_t groups;
  bool bias;
  bool training;
  Type product;  ///< what it multiplies in; sums and results are f32
};

template <std::size_t N> void set_attributes(Case& c, const ConvolutionAttributes<N>& a) {
  c.stride = a.stride;
  c.padding = a.padding;
  c.dilation = a.dilation;
  c.groups = a.groups;
}

/// Whether the elements lie channels-last; where both orders are the same memory they do.
bool is_channels_last(const Shape& s, MemoryFormat format) {
  return format == MemoryFormat::channels_last || s[1] == 1 || s.elements(2, s.rank()) == 1;
}

Desc activations(const Shape& s, MemoryFormat format) {
  const bool last = is_channels_last(s, format);
  const Tag tag = s.rank() == 4 ? (last ? Tag::nhwc : Tag::nchw) : (last ? Tag::ndhwc : Tag::ncdhw);
  return Desc(s.to_vector(), Type::f32, tag);
}

Desc weights_desc(const Shape& s, std::int64_t groups, std::optional<MemoryFormat> format,
                  Type type) {
  Dims dims = s.to_vector();
  if (groups > 1) {
    dims[0] /= groups;
    dims.insert(dims.begin(), groups);
  }
  if (!format) return Desc(dims, type, Tag::any);
  const bool last = format == MemoryFormat::channels_last;
  const std::int64_t taps = s.elements(2, s.rank());
  // Outputs, then (last) taps and channels or channels and taps; taps among themselves row-major.
  Dims strides(dims.size());
  std::int64_t step = last ? s[1] : 1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(s.rank() - 2); ++i) {
    const std::size_t at = dims.size() - 1 - i;
    strides[at] = step;
    step *= dims[at];
  }
  const std::size_t output = dims.size() - static_cast<std::size_t>(s.rank());
  strides[output + 1] = last ? 1 : taps;
  strides[output] = s[1] * taps;
  if (groups > 1) strides[0] = dims[1] * s[1] * taps;
  return Desc(dims, type, strides);
}

/// The operands that are multiplied are of c.product, what is summed up is f32: the destination, or
/// the gradient of the source or of the weights.
ConvolutionProblem problem_of(const Case& c, Direction direction, bool blocked) {
  const Shape& s = *c.source;
  const Shape& d = *c.destination;
  const Tag tag = blocked ? Tag::any : s.rank() == 4 ? Tag::nhwc : Tag::ndhwc;
  const auto axes = static_cast<std::ptrdiff_t>(c.stride.size());
  Dims dilation(c.dilation.begin(), c.dilation.end());
  for (std::int64_t& v : dilation) --v;
  const auto type = [&](Direction summed) { return direction == summed ? Type::f32 : c.product; };
  return {.source = Desc(s.to_vector(), type(Direction::data), tag),
          .weights = weights_desc(*c.weights, c.groups, std::nullopt, type(Direction::weights)),
          .bias = c.bias ? Desc({d[1]}, Type::f32, Tag::a) : Desc(),
          .destination = Desc(d.to_vector(), type(Direction::forward), tag),
          .stride = Dims(c.stride.begin(), c.stride.end()),
          .dilation = dilation,
          .padding_low = Dims(c.padding.begin(), c.padding.begin() + axes),
          .padding_high = Dims(c.padding.begin() + axes, c.padding.end())};
}

bool is_reference(const std::string& name) { return name.find("ref") != std::string::npos; }

Runner make_runner(const Case& c, bool blocked) {
  const ConvolutionProblem p = problem_of(c, c.direction, blocked);
  const auto attr = user_scratchpad();
  // Of the gradients it is a hint only.
  const auto forward =
      convolution_forward(problem_of(c, Direction::forward, blocked), c.training, attr);
  const Desc source = activations(*c.source, c.source_format);
  const Desc weights = weights_desc(*c.weights, c.groups, c.weights_format, Type::f32);
  const Desc destination = activations(*c.destination, c.destination_format);
  std::vector<Runner::Operand> operands;
  switch (c.direction) {
    case Direction::forward:
      operands = {{DNNL_ARG_SRC, source, forward.src_desc(), false},
                  {DNNL_ARG_WEIGHTS, weights, forward.weights_desc(), false},
                  {DNNL_ARG_DST, destination, forward.dst_desc(), true}};
      if (c.bias) operands.push_back({DNNL_ARG_BIAS, p.bias, p.bias, false});
      return Runner(dnnl::convolution_forward(forward), forward.scratchpad_desc(),
                    forward.impl_info_str(), operands);
    case Direction::data: {
      const auto data = convolution_backward_data(p, forward, attr);
      operands = {{DNNL_ARG_DIFF_SRC, source, data.diff_src_desc(), true},
                  {DNNL_ARG_WEIGHTS, weights, data.weights_desc(), false},
                  {DNNL_ARG_DIFF_DST, destination, data.diff_dst_desc(), false}};
      return Runner(dnnl::convolution_backward_data(data), data.scratchpad_desc(),
                    data.impl_info_str(), operands);
    }
    case Direction::weights:
      break;
  }
  const auto gradient = convolution_backward_weights(p, forward, attr);
  operands = {{DNNL_ARG_SRC, source, gradient.src_desc(), false},
              {DNNL_ARG_DIFF_WEIGHTS, weights, gradient.diff_weights_desc(), true},
              {DNNL_ARG_DIFF_DST, destination, gradient.diff_dst_desc(), false}};
  if (c.bias) operands.push_back({DNNL_ARG_DIFF_BIAS, p.bias, p.bias, true});
  return Runner(dnnl::convolution_backward_weights(gradient), gradient.scratchpad_desc(),
                gradient.impl_info_str(), operands);
}

/// Channels-last first: on AVX2 it was as fast as blocked for ResNet-20 and LeNet-5, and needs no
/// reorders. Empty where oneDNN has nothing better than its reference.
std::optional<Runner> try_runner(const Case& c) {
  for (const bool blocked : {false, true}) {
    try {
      Runner runner = make_runner(c, blocked);
      if (!is_reference(runner.name())) return runner;
    } catch (const dnnl::error& error) {
      PARE_CHECK(error.status == dnnl_unimplemented, internal, "oneDNN",
                 "convolution failed with {}", error.message);
    }
  }
  return std::nullopt;
}

Key key_of(const Case& c) {
  Key key{};
  std::size_t i = 0;
  const auto put = [&](std::int64_t v) { key[i++] = static_cast<std::int32_t>(v); };
  put(static_cast<std::int64_t>(c.direction));
  put(max_threads());
  put(static_cast<int>(c.source_format) | static_cast<int>(c.weights_format) << 1 |
      static_cast<int>(c.destination_format) << 2 | static_cast<int>(c.bias) << 3 |
      static_cast<int>(c.training) << 4 | static_cast<int>(c.product == Type::bf16) << 5);
  put(c.source->rank());
  for (int a = 0; a < c.source->rank(); ++a) put((*c.source)[a]);
  put((*c.weights)[0]);
  for (int a = 2; a < c.weights->rank(); ++a) put((*c.weights)[a]);
  for (const std::int64_t v : c.stride) put(v);
  for (const std::int64_t v : c.padding) put(v);
  for (const std::int64_t v : c.dilation) put(v);
  put(c.groups);
  return key;
}

Runner* runner_for(const Case& c) {
  thread_local Cache<std::optional<Runner>> cache(1024);
  auto& found = cache.get(key_of(c), [&] { return try_runner(c); });
  return found ? &*found : nullptr;
}

Type product_type() {
  return context().precision == Precision::bf16 && has_bf16() ? Type::bf16 : Type::f32;
}

/// oneDNN adds and multiplies settings in 32 bits: the large ones that hardly anybody has are not
/// for it.
template <std::size_t N>
bool fits(const Shape& source, const Shape& destination, const ConvolutionAttributes<N>& a) {
  return elements_fit(source) && elements_fit(destination) && settings_fit(a);
}

template <std::size_t N>
bool forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context& context) {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  const bool bias = inputs.size() > 2 && inputs[2].defined();
  if (x.dtype() != DType::f32 || weight.dtype() != DType::f32 ||
      !fits(x.shape(), outputs[0].shape(), call.attributes.as<ConvolutionAttributes<N>>()))
    return false;
  const ThreadScope threads;
  Case c{.direction = Direction::forward,
         .source = &x.shape(),
         .weights = &weight.shape(),
         .destination = &outputs[0].shape(),
         .source_format = x.format(),
         .weights_format = weight.format(),
         .destination_format = outputs[0].format(),
         .stride = {},
         .padding = {},
         .dilation = {},
         .groups = 1,
         .bias = bias,
         .training = context.training,
         .product = product_type()};
  set_attributes(c, call.attributes.as<ConvolutionAttributes<N>>());
  Runner* runner = runner_for(c);
  if (!runner) return false;
  const void* pointers[] = {x.raw(), weight.raw(), outputs[0].mutable_raw(),
                            bias ? inputs[2].raw() : nullptr};
  runner->run({pointers, bias ? 4U : 3U});
  return true;
}

template <std::size_t N> bool backward(BackwardArgs& args) {
  const Shape& shape = args.input_shape(0);
  const Shape& weights = args.input_shape(1);
  const bool bias = args.inputs() > 2 && args.has_input(2) && args.needs(2);
  const Tensor& gradient = args.grad_output(0);
  const auto& attributes = args.call().attributes.as<ConvolutionAttributes<N>>();
  if (args.input_dtype(0) != DType::f32 || args.input_dtype(1) != DType::f32 ||
      !gradient.defined() || !fits(shape, gradient.shape(), attributes) || (bias && !args.needs(1)))
    return false;
  const ThreadScope threads;
  Case c{.direction = Direction::data,
         .source = &shape,
         .weights = &weights,
         .destination = &gradient.shape(),
         .source_format = args.input_format(0),
         .weights_format = args.input_format(1),
         .destination_format = gradient.format(),
         .stride = {},
         .padding = {},
         .dilation = {},
         .groups = 1,
         .bias = false,
         .training = true,
         .product = product_type()};
  set_attributes(c, attributes);
  bool by_gemm = false;
  bool depthwise = false;
  if constexpr (N == 2) {
    const bool last = args.needs(0) && c.product == Type::f32 &&
                      is_channels_last(shape, c.source_format) &&
                      is_channels_last(gradient.shape(), c.destination_format);
    by_gemm = last && prefers_gemm(attributes, shape, weights) &&
              c.weights_format == MemoryFormat::row_major;
    depthwise = last && prefers_depthwise(attributes, shape, weights);
  }
  const bool by_runner = args.needs(0) && !by_gemm && !depthwise;
  // All or nothing: nothing is set before both are known to have a kernel.
  if (by_runner && !runner_for(c)) return false;
  if (args.needs(1)) {
    Case w = c;
    w.direction = Direction::weights;
    w.bias = bias;
    Runner* runner = runner_for(w);
    if (!runner) return false;
    Tensor weight_gradient = Tensor::empty(weights, DType::f32, c.weights_format);
    Tensor bias_gradient = bias ? Tensor::empty(args.input_shape(2)) : Tensor();
    const void* pointers[] = {args.input(0).raw(), weight_gradient.mutable_raw(), gradient.raw(),
                              bias ? bias_gradient.mutable_raw() : nullptr};
    runner->run({pointers, bias ? 4U : 3U});
    args.set(1, std::move(weight_gradient));
    if (bias) args.set(2, std::move(bias_gradient));
  }
  if (args.needs(0)) {
    Tensor source_gradient = Tensor::empty(shape, DType::f32, c.source_format);
    if constexpr (N == 2) {
      if (by_gemm) conv2d_source_gradient(attributes, args.input(1), gradient, source_gradient);
      if (depthwise)
        depthwise_source_gradient(attributes, args.input(1), gradient, source_gradient);
    }
    if (by_runner) {
      const void* pointers[] = {source_gradient.mutable_raw(), args.input(1).raw(), gradient.raw()};
      runner_for(c)->run(pointers);
    }
    args.set(0, std::move(source_gradient));
  }
  return true;
}

}  // namespace

bool conv2d_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  return forward<2>(call, inputs, outputs, context);
}
bool conv3d_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  return forward<3>(call, inputs, outputs, context);
}
bool conv2d_backward(BackwardArgs& args) { return backward<2>(args); }
bool conv3d_backward(BackwardArgs& args) { return backward<3>(args); }

}  // namespace pare::onednn
