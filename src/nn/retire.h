// Marks tensors that a structural edit takes out of use, so that optimizers refuse them.
#pragma once

#include "pare/core/expression.h"
#include "pare/nn/module.h"

namespace pare::nn {

/// Retires the leaves of `old` that `now` does not hold.
void retire(const Expression& old, const Expression& now);
/// Retires all leaves of all parameters of the module.
void retire(Module& module);

}  // namespace pare::nn
