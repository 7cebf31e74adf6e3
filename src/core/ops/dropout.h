// The random masks of dropout.
#pragma once

#include "pare/core/generator.h"
#include "pare/core/tensor.h"

namespace pare {

/// keep[i] = whether element i of the tensor (u8) stays, with 1 − probability. Element i in
/// row-major order gets draw i, whatever the memory format and the number of threads.
void draw_mask(Generator& generator, float probability, Tensor& keep);

}  // namespace pare
