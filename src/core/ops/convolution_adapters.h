// conv1d and the transposed convolutions on the kernels that conv2d and conv3d have.
#pragma once

#include <span>

#include "pare/core/op.h"

namespace pare {

/// As conv2d's kernels on pictures of height 1, which oneDNN runs faster than its own.
bool conv1d_by_conv2d(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context);
bool conv1d_backward_by_conv2d(BackwardArgs& args);

/// Forwards the gradient of the source, backwards the forward pass and the gradient of the weight
/// of conv2d (of one or two axes) or conv3d.
bool conv_transpose_by_gradient(const Call& call, std::span<const Tensor> inputs,
                                std::span<Tensor> outputs, const Context& context);
bool conv_transpose_backward_by_convolution(BackwardArgs& args);

}  // namespace pare
