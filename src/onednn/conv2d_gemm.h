// The gradient of a channels-last convolution's source by a matrix product, where that is faster.
#pragma once

#include "pare/core/ops/contraction.h"

namespace pare::onednn {

/// Where it beats oneDNN's: many channels or outputs, and channels that do not fill vectors. AVX2,
/// one thread, 64 pictures, CPU time: 20x12x12 to 50, 5x5: 3.4 ms against 6.6; 100x8x8 to 100, 3x3:
/// 12.4 against 17.2; 50x8x8 to 20, 3x3: 1.5 against 2.4; but 20x14x14 to 20, 3x3: 2.2 against 1.4.
bool prefers_gemm(const Conv2dAttributes& attributes, const Shape& source, const Shape& weight);

/// `source_gradient` and `gradient` are channels-last, `weight` row-major; one group.
void conv2d_source_gradient(const Conv2dAttributes& attributes, const Tensor& weight,
                            const Tensor& gradient, Tensor& source_gradient);

}  // namespace pare::onednn
