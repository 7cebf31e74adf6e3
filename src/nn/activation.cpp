// Activations as layers.
#include "pare/nn/activation.h"

#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/reduction.h"

namespace pare::nn {

Tensor ReLU::forward(const Tensor& x) { return relu(x); }
std::string ReLU::kind() const { return "ReLU"; }

Tensor ReLU6::forward(const Tensor& x) { return relu6(x); }
std::string ReLU6::kind() const { return "ReLU6"; }

Tensor Sigmoid::forward(const Tensor& x) { return sigmoid(x); }
std::string Sigmoid::kind() const { return "Sigmoid"; }

Tensor Tanh::forward(const Tensor& x) { return tanh(x); }
std::string Tanh::kind() const { return "Tanh"; }

Softmax::Softmax(SoftmaxOptions options)
    : call_{&kSoftmax, Attributes::of(SoftmaxAttributes{.axis = options.axis})} {}
Tensor Softmax::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string Softmax::kind() const { return "Softmax"; }

LogSoftmax::LogSoftmax(SoftmaxOptions options)
    : call_{&kLogSoftmax, Attributes::of(SoftmaxAttributes{.axis = options.axis})} {}
Tensor LogSoftmax::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string LogSoftmax::kind() const { return "LogSoftmax"; }

}  // namespace pare::nn
