// The gradient of a channels-last convolution's source by a matrix product, where that is faster.
#pragma once

#include "pare/core/ops/contraction.h"

namespace pare::onednn {

/// Where it beats oneDNN's: many outputs, and channels that do not fill vectors. Measured on AVX2
/// for four pictures, one thread: 20x12x12 to 50, kernel 5x5: 0.30 ms against 0.48; 100x8x8 to 100,
/// 3x3: 1.0 against 1.5; but 20x14x14 to 20, 3x3: 0.20 against 0.11.
bool prefers_gemm(const Conv2dAttributes& attributes, const Shape& source, const Shape& weight);

/// `source_gradient` and `gradient` are channels-last, `weight` row-major; one group.
void conv2d_source_gradient(const Conv2dAttributes& attributes, const Tensor& weight,
                            const Tensor& gradient, Tensor& source_gradient);

}  // namespace pare::onednn
