// asin, acos, atan, sinh, cosh, asinh, acosh and atanh: the C library's, element by element.
#include <cmath>

#include "core/elementwise_op.h"
#include "pare/core/ops/trigonometry.h"

namespace pare {
namespace {

struct Asin {
  template <class T> T operator()(T x) const { return std::asin(x); }
};
struct Acos {
  template <class T> T operator()(T x) const { return std::acos(x); }
};
struct Atan {
  template <class T> T operator()(T x) const { return std::atan(x); }
};
struct Sinh {
  template <class T> T operator()(T x) const { return std::sinh(x); }
};
struct Cosh {
  template <class T> T operator()(T x) const { return std::cosh(x); }
};
struct Asinh {
  template <class T> T operator()(T x) const { return std::asinh(x); }
};
struct Acosh {
  template <class T> T operator()(T x) const { return std::acosh(x); }
};
struct Atanh {
  template <class T> T operator()(T x) const { return std::atanh(x); }
};

// Gradients, of the gradient and the input. (1 − x)·(1 + x) keeps digits near 1.
struct AsinGradient {
  template <class T> T operator()(T g, T x) const { return g / std::sqrt((T(1) - x) * (T(1) + x)); }
};
struct AcosGradient {
  template <class T> T operator()(T g, T x) const {
    return -g / std::sqrt((T(1) - x) * (T(1) + x));
  }
};
struct AtanGradient {
  template <class T> T operator()(T g, T x) const { return g / (T(1) + x * x); }
};
struct SinhGradient {
  template <class T> T operator()(T g, T x) const { return g * std::cosh(x); }
};
struct CoshGradient {
  template <class T> T operator()(T g, T x) const { return g * std::sinh(x); }
};
struct AsinhGradient {
  template <class T> T operator()(T g, T x) const { return g / std::sqrt(x * x + T(1)); }
};
struct AcoshGradient {
  template <class T> T operator()(T g, T x) const { return g / std::sqrt((x - T(1)) * (x + T(1))); }
};
struct AtanhGradient {
  template <class T> T operator()(T g, T x) const { return g / ((T(1) - x) * (T(1) + x)); }
};

template <class F, class Gradient>
constexpr OpDef function(const char* name, const char* onnx, int opset) {
  return {.name = name,
          .format = FormatRule::keep,
          .infer = infer_floating,
          .forward = forward_floating<F>,
          .backward = backward_from_input<Gradient>,
          .saves_inputs = 1,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .onnx = {.op_type = onnx, .opset = opset}};
}

}  // namespace

constinit const OpDef kAsin = function<Asin, AsinGradient>("asin", "Asin", 7);
constinit const OpDef kAcos = function<Acos, AcosGradient>("acos", "Acos", 7);
constinit const OpDef kAtan = function<Atan, AtanGradient>("atan", "Atan", 7);
constinit const OpDef kSinh = function<Sinh, SinhGradient>("sinh", "Sinh", 9);
constinit const OpDef kCosh = function<Cosh, CoshGradient>("cosh", "Cosh", 9);
constinit const OpDef kAsinh = function<Asinh, AsinhGradient>("asinh", "Asinh", 9);
constinit const OpDef kAcosh = function<Acosh, AcoshGradient>("acosh", "Acosh", 9);
constinit const OpDef kAtanh = function<Atanh, AtanhGradient>("atanh", "Atanh", 9);

Tensor asin(const Tensor& x) { return apply({&kAsin, {}}, detail::Borrowed(x)); }
Tensor acos(const Tensor& x) { return apply({&kAcos, {}}, detail::Borrowed(x)); }
Tensor atan(const Tensor& x) { return apply({&kAtan, {}}, detail::Borrowed(x)); }
Tensor sinh(const Tensor& x) { return apply({&kSinh, {}}, detail::Borrowed(x)); }
Tensor cosh(const Tensor& x) { return apply({&kCosh, {}}, detail::Borrowed(x)); }
Tensor asinh(const Tensor& x) { return apply({&kAsinh, {}}, detail::Borrowed(x)); }
Tensor acosh(const Tensor& x) { return apply({&kAcosh, {}}, detail::Borrowed(x)); }
Tensor atanh(const Tensor& x) { return apply({&kAtanh, {}}, detail::Borrowed(x)); }

}  // namespace pare
