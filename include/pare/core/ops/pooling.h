// Pooling over the spatial axes.
#pragma once

#include <array>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kMaxPool2d, kAveragePool2d, kGlobalAveragePool;

struct Pool2dAttributes {
  std::array<std::int64_t, 2> kernel{2, 2};
  std::array<std::int64_t, 2> stride{2, 2};
  std::array<std::int64_t, 4> padding{0, 0, 0, 0};  ///< top, left, bottom, right
  bool count_include_pad = true;                    ///< of average pooling, PyTorch's default
  void fields(AttributeVisitor& visit) {
    visit("kernel", kernel);
    visit("stride", stride);
    visit("padding", padding);
    visit("count_include_pad", count_include_pad);
  }
};

/// x [N, C, H, W]; floor mode; padding at most half the kernel.
PARE_API Tensor max_pool2d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor max_pool2d(const Tensor& x, const Pool2dAttributes& attributes = {});
PARE_API Tensor average_pool2d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor average_pool2d(const Tensor& x, const Pool2dAttributes& attributes = {});
/// [N, C, …] → [N, C, 1, …]
PARE_API Tensor global_average_pool(const Tensor& x);

}  // namespace pare
