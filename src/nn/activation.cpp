// Activations as layers.
#include "pare/nn/activation.h"

#include "core/check.h"
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

LeakyReLU::LeakyReLU(LeakyReLUOptions options)
    : call_{&kLeakyRelu, Attributes::of(LeakyReluAttributes{.slope = options.negative_slope})} {}
Tensor LeakyReLU::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string LeakyReLU::kind() const { return "LeakyReLU"; }

PReLU::PReLU(PReLUOptions options) : init_(options.init) {
  PARE_CHECK(options.num_parameters > 0, invalid_argument, "PReLU",
             "expected num_parameters of at least 1, got {}", options.num_parameters);
  weight = Parameter({options.num_parameters});
}
void PReLU::members(Members& m) { m("weight", weight); }
Tensor PReLU::forward(const Tensor& x) { return prelu(x, weight); }
void PReLU::reset(Generator&) { weight.set(Tensor::full(weight.shape(), init_)); }
std::string PReLU::kind() const { return "PReLU"; }

ELU::ELU(ELUOptions options)
    : call_{&kElu, Attributes::of(EluAttributes{.alpha = options.alpha})} {}
Tensor ELU::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string ELU::kind() const { return "ELU"; }

Tensor SELU::forward(const Tensor& x) { return selu(x); }
std::string SELU::kind() const { return "SELU"; }

CELU::CELU(ELUOptions options)
    : call_{&kCelu, Attributes::of(EluAttributes{.alpha = options.alpha})} {
  PARE_CHECK(options.alpha != 0, invalid_argument, "CELU", "expected an alpha other than 0, got {}",
             options.alpha);
}
Tensor CELU::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string CELU::kind() const { return "CELU"; }

Tensor Hardsigmoid::forward(const Tensor& x) { return hardsigmoid(x); }
std::string Hardsigmoid::kind() const { return "Hardsigmoid"; }

Tensor Hardswish::forward(const Tensor& x) { return hardswish(x); }
std::string Hardswish::kind() const { return "Hardswish"; }

Hardtanh::Hardtanh(HardtanhOptions options)
    : call_{&kHardtanh,
            Attributes::of(HardtanhAttributes{.min = options.min_val, .max = options.max_val})} {
  PARE_CHECK(options.min_val <= options.max_val, invalid_argument, "Hardtanh",
             "expected min_val ≤ max_val, got {} and {}", options.min_val, options.max_val);
}
Tensor Hardtanh::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string Hardtanh::kind() const { return "Hardtanh"; }

Softplus::Softplus(SoftplusOptions options)
    : call_{&kSoftplus, Attributes::of(SoftplusAttributes{.beta = options.beta,
                                                          .threshold = options.threshold})} {
  PARE_CHECK(options.beta != 0, invalid_argument, "Softplus",
             "expected a beta other than 0, got {}", options.beta);
}
Tensor Softplus::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string Softplus::kind() const { return "Softplus"; }

Tensor Softsign::forward(const Tensor& x) { return softsign(x); }
std::string Softsign::kind() const { return "Softsign"; }

GELU::GELU(GELUOptions options)
    : call_{&kGelu, Attributes::of(GeluAttributes{.approximate = options.approximate})} {
  PARE_CHECK(options.approximate == "none" || options.approximate == "tanh", invalid_argument,
             "GELU", "expected the approximation none or tanh, got {}", options.approximate);
}
Tensor GELU::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string GELU::kind() const { return "GELU"; }

Tensor SiLU::forward(const Tensor& x) { return silu(x); }
std::string SiLU::kind() const { return "SiLU"; }

Tensor Mish::forward(const Tensor& x) { return mish(x); }
std::string Mish::kind() const { return "Mish"; }

Tensor LogSigmoid::forward(const Tensor& x) { return log_sigmoid(x); }
std::string LogSigmoid::kind() const { return "LogSigmoid"; }

GLU::GLU(GLUOptions options) : axis_(options.axis) {}
Tensor GLU::forward(const Tensor& x) { return glu(x, axis_); }
std::string GLU::kind() const { return "GLU"; }

Softmax::Softmax(SoftmaxOptions options)
    : call_{&kSoftmax, Attributes::of(SoftmaxAttributes{.axis = options.axis})} {}
Tensor Softmax::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string Softmax::kind() const { return "Softmax"; }

LogSoftmax::LogSoftmax(SoftmaxOptions options)
    : call_{&kLogSoftmax, Attributes::of(SoftmaxAttributes{.axis = options.axis})} {}
Tensor LogSoftmax::forward(const Tensor& x) { return apply(call_, detail::Borrowed(x)); }
std::string LogSoftmax::kind() const { return "LogSoftmax"; }

}  // namespace pare::nn
