// The gradient of a depthwise convolution's source, channels-last, where a stride leaves few taps.
#pragma once

#include "pare/core/ops/convolution.h"

namespace pare {

/// Whether it beats oneDNN's, which goes by way of the outputs: a stride of 2 or more, one output a
/// channel, at most nine taps for a pixel. AVX2, one thread, 8 pictures of 96x112x112, 3x3, stride
/// 2: 29 ms by oneDNN 2.6.
bool prefers_depthwise(const Conv2dAttributes& attributes, const Shape& source,
                       const Shape& weight);

/// `source_gradient` and `gradient` are f32 and channels-last, `weight` [C, 1, kH, kW] in any
/// format (they are the same memory).
void depthwise_source_gradient(const Conv2dAttributes& attributes, const Tensor& weight,
                               const Tensor& gradient, Tensor& source_gradient);

}  // namespace pare
