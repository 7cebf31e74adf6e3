// The f32 kernels that src/kernels.cpp puts into the ops' lists.
#pragma once

#include <span>

#include "pare/core/op.h"

namespace pare::onednn {

bool attention_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context);
bool conv2d_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context);
bool conv2d_pointwise_forward(const Call& call, std::span<const Tensor> inputs,
                              std::span<Tensor> outputs, const Context& context);
bool conv3d_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context);
bool linear_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context);
bool matmul_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context);
bool attention_backward(BackwardArgs& args);
bool conv2d_backward(BackwardArgs& args);
bool conv2d_pointwise_backward(BackwardArgs& args);
bool conv3d_backward(BackwardArgs& args);
bool linear_backward(BackwardArgs& args);
bool matmul_backward(BackwardArgs& args);
bool gru_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context);
bool gru_backward(BackwardArgs& args);
bool lstm_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context);
bool lstm_backward(BackwardArgs& args);
bool rnn_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context);
bool rnn_backward(BackwardArgs& args);

}  // namespace pare::onednn
