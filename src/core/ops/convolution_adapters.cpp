// conv1d and the transposed convolutions on the kernels that conv2d and conv3d have.
#include "core/ops/convolution_adapters.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/convolution.h"
#include "core/ops/convolution_portable.h"
#include "core/ops/line_as_picture.h"

namespace pare {
namespace {

Tensor lowered(const Tensor& x, const Shape& shape) {
  return x.shape() == shape ? x : share_memory(x, shape, x.format());
}

/// The gradients of one convolution, asked of its kernels.
class Gradients final : public BackwardArgs {
 public:
  struct Source {
    Shape shape;
    MemoryFormat format;
  };
  Gradients(Call call, Source source, Tensor x, Tensor weight, Tensor gradient)
      : call_(std::move(call)),
        source_(std::move(source)),
        inputs_{std::move(x), std::move(weight)},
        gradient_(std::move(gradient)),
        weight_shape_(inputs_[1].defined() ? inputs_[1].shape() : Shape()) {}
  /// The weight where only its gradient is asked for.
  void describe_weight(const Shape& shape, MemoryFormat format) {
    weight_shape_ = shape;
    weight_format_ = format;
  }
  void want(int i) { needs_[i] = true; }
  void give_bias(const Shape& shape) { bias_ = shape; }

  /// Whether a kernel gave what is wanted.
  bool run() {
    const KernelList* list = call_.op->kernels;
    return list && std::ranges::any_of(list->backward, [&](const BackwardKernel& kernel) {
             return kernel.run(*this);
           });
  }
  Tensor& result(int i) { return results_[i]; }

  const Call& call() const override { return call_; }
  bool training() const override { return true; }
  int inputs() const override { return bias_.rank() > 0 ? 3 : 2; }
  bool needs(int i) const override { return needs_[i]; }
  bool has_input(int i) const override { return i < inputs(); }
  const Shape& input_shape(int i) const override {
    return i == 0 ? source_.shape : i == 1 ? weight_shape_ : bias_;
  }
  DType input_dtype(int) const override { return DType::f32; }
  MemoryFormat input_format(int i) const override {
    if (i == 0) return source_.format;
    return inputs_[1].defined() ? inputs_[1].format() : weight_format_;
  }
  const Tensor& input(int i) const override {
    PARE_ASSERT(i < 2 && inputs_[i].defined());
    return inputs_[i];
  }
  const Tensor& output(int) const override { PARE_ASSERT(false); }
  const Tensor& grad_output(int) const override { return gradient_; }
  void set(int i, Tensor gradient) override { results_[i] = std::move(gradient); }

 private:
  const Call call_;
  const Source source_;
  const Tensor inputs_[2];
  const Tensor gradient_;
  Shape weight_shape_;
  MemoryFormat weight_format_ = MemoryFormat::row_major;
  Shape bias_;
  bool needs_[3] = {};
  Tensor results_[3];
};

bool run_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  const KernelList* list = call.op->kernels;
  return list && std::ranges::any_of(list->forward, [&](const ForwardKernel& kernel) {
           return kernel.run(call, inputs, outputs, context);
         });
}

}  // namespace

bool conv1d_by_conv2d(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context) {
  const Call picture{&kConv2d, Attributes::of(with_height(call.attributes.as<Conv1dAttributes>()))};
  const Tensor operands[] = {with_height(inputs[0]), with_height(inputs[1]),
                             inputs.size() > 2 ? inputs[2] : Tensor()};
  Tensor results[] = {with_height(outputs[0])};
  return run_forward(picture, {operands, inputs.size()}, results, context);
}

bool conv1d_backward_by_conv2d(BackwardArgs& args) {
  if (!args.grad_output(0).defined()) return false;
  const Call picture{&kConv2d,
                     Attributes::of(with_height(args.call().attributes.as<Conv1dAttributes>()))};
  Gradients gradients(picture, {with_height(args.input_shape(0)), args.input_format(0)},
                      with_height(args.input(0)), with_height(args.input(1)),
                      with_height(args.grad_output(0)));
  const bool bias = args.inputs() > 2 && args.has_input(2);
  if (bias) gradients.give_bias(args.input_shape(2));
  const int count = bias ? 3 : 2;
  for (int i = 0; i < count; ++i)
    if (args.needs(i)) gradients.want(i);
  if (!gradients.run()) return false;
  for (int i = 0; i < count; ++i)
    if (args.needs(i)) args.set(i, lowered(gradients.result(i), args.input_shape(i)));
  return true;
}

namespace {

/// The convolution whose gradient the call is, of two or three axes; no op where kernels do not
/// take its padding (below −stride, from an output padding that only dilation allows).
Call convolution_call(const Call& call) {
  const auto fits = [](const auto& attr) {
    const std::size_t n = attr.stride.size();
    for (std::size_t i = 0; i < n; ++i)
      if (attr.padding[n + i] + attr.stride[i] <= 0) return false;
    return true;
  };
  if (call.op == &kConvTranspose3d) {
    const auto attr = convolution_of(call.attributes.as<ConvTranspose3dAttributes>());
    return fits(attr) ? Call{&kConv3d, Attributes::of(attr)} : Call{};
  }
  const Conv2dAttributes attr =
      call.op == &kConvTranspose1d
          ? with_height(convolution_of(call.attributes.as<ConvTranspose1dAttributes>()))
          : convolution_of(call.attributes.as<ConvTranspose2dAttributes>());
  return fits(attr) ? Call{&kConv2d, Attributes::of(attr)} : Call{};
}

}  // namespace

bool conv_transpose_by_gradient(const Call& call, std::span<const Tensor> inputs,
                                std::span<Tensor> outputs, const Context&) {
  const Call convolution = convolution_call(call);
  Tensor& y = outputs[0];
  if (!convolution.op || y.elements() == 0) return false;
  Gradients gradients(convolution, {with_height(y.shape()), y.format()}, Tensor(),
                      with_height(inputs[1]), with_height(in_format(inputs[0], y.format())));
  gradients.want(0);
  if (!gradients.run()) return false;
  const Tensor& sum = gradients.result(0);
  add_bias(lowered(sum, y.shape()), inputs.size() > 2 ? inputs[2] : Tensor(), y);
  return true;
}

bool conv_transpose_backward_by_convolution(BackwardArgs& args) {
  const Call convolution = convolution_call(args.call());
  if (!convolution.op || !args.grad_output(0).defined()) return false;
  const MemoryFormat format = args.input_format(0);
  // Both convolutions read it, and their kernels want it channels-last: it is brought there once.
  const bool twice = args.needs(0) && args.needs(1) && convolution.op == &kConv2d;
  const MemoryFormat wanted = twice ? MemoryFormat::channels_last : format;
  const Tensor given = in_format(args.grad_output(0), wanted);
  const Tensor g = with_height(given);
  Tensor gx;
  Tensor gw;
  if (args.needs(0)) {
    gx = Tensor::empty(args.input_shape(0), DType::f32, format);
    const Tensor operands[] = {g, with_height(args.input(1))};
    Tensor results[] = {with_height(gx)};
    if (!run_forward(convolution, operands, results, context())) return false;
  }
  if (args.needs(1)) {
    Gradients gradients(convolution, {g.shape(), wanted}, g, Tensor(),
                        with_height(in_format(args.input(0), format)));
    gradients.describe_weight(with_height(args.input_shape(1)), args.input_format(1));
    gradients.want(1);
    if (!gradients.run()) return false;
    gw = lowered(gradients.result(1), args.input_shape(1));
  }
  if (gx.defined()) args.set(0, std::move(gx));
  if (gw.defined()) args.set(1, std::move(gw));
  if (args.inputs() > 2 && args.has_input(2) && args.needs(2)) args.set(2, bias_gradient(given));
  return true;
}

}  // namespace pare
