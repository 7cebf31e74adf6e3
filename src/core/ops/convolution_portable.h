// The portable convolution: patches gathered into a matrix, then a matrix product.
#pragma once

#include "core/ops/convolution.h"
#include "pare/core/tensor.h"

namespace pare {

/// All tensors f32; x, weight and y in one memory format. bias may be undefined.
void convolution_forward(const ConvolutionSizes& sizes, const Tensor& x, const Tensor& weight,
                         const Tensor& bias, Tensor& y);
/// Gradients of x, weight and bias from that of y, where the result is defined; one memory format.
/// Of x and weight only what the other's gradient reads need be defined.
void convolution_backward(const ConvolutionSizes& sizes, const Tensor& x, const Tensor& weight,
                          const Tensor& grad, Tensor& grad_x, Tensor& grad_weight,
                          Tensor& grad_bias);

/// y = x + bias of each channel (undefined: a copy), in one format; x may be y.
void add_bias(const Tensor& x, const Tensor& bias, Tensor& y);
/// The sum over all but the channels.
Tensor bias_gradient(const Tensor& gradient);

}  // namespace pare
