// The portable convolution: patches gathered into a matrix, then a matrix product.
#pragma once

#include "core/ops/conv2d.h"
#include "pare/core/tensor.h"

namespace pare {

/// All tensors f32; x, weight and y in one memory format. bias may be undefined.
void conv2d_forward(const Conv2dSizes& sizes, const Tensor& x, const Tensor& weight,
                    const Tensor& bias, Tensor& y);
/// Gradients of x, weight and bias from that of y, where the result is defined; one memory format.
void conv2d_backward(const Conv2dSizes& sizes, const Tensor& x, const Tensor& weight,
                     const Tensor& grad, Tensor& grad_x, Tensor& grad_weight, Tensor& grad_bias);

}  // namespace pare
