// 3 by 3 convolutions of stride 1 in training, by Winograd's F(2x2, 3x3).
#pragma once

#include "pare/core/op.h"

namespace pare {

/// Winograd's minimal filtering F(2x2, 3x3) in f32 (Lavin and Gray, "Fast Algorithms for
/// Convolutional Neural Networks", 2016), forward and both gradients. False where this CPU, the
/// shapes or the context have no use for it; then nothing was done. In training only: rounding
/// errors are about twice those of the sum of products, and what is evaluated should be what is
/// exported.
bool winograd_conv2d_forward(const Call& call, std::span<const Tensor> inputs,
                             std::span<Tensor> outputs, const Context& context);
bool winograd_conv2d_backward(BackwardArgs& args);

}  // namespace pare
