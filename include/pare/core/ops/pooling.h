// Pooling over the spatial axes.
#pragma once

#include <array>
#include <vector>

#include "pare/core/op.h"
#include "pare/core/ops/convolution.h"

namespace pare {

PARE_API extern const OpDef kMaxPool1d, kMaxPool2d, kMaxPool3d, kAveragePool1d, kAveragePool2d,
    kAveragePool3d, kGlobalAveragePool, kAdaptiveAveragePool, kAdaptiveMaxPool;

/// Settings of pooling over N spatial axes.
template <std::size_t N> struct PoolAttributes {
  std::array<std::int64_t, N> kernel = detail::filled<N>(2);
  std::array<std::int64_t, N> stride = detail::filled<N>(2);
  /// Before each axis, then after each: top, left, bottom, right.
  std::array<std::int64_t, 2 * N> padding{};
  bool count_include_pad = true;  ///< of average pooling, PyTorch's default
  bool ceil_mode = false;  ///< a last window may reach beyond the padding, but begins before it
  std::array<std::int64_t, N> dilation = detail::filled<N>(1);  ///< of max pooling
  std::int64_t divisor_override = 0;  ///< of average pooling: divides every sum; 0: none
  void fields(AttributeVisitor& visit) {
    visit("kernel", kernel);
    visit("stride", stride);
    visit("padding", padding);
    visit("count_include_pad", count_include_pad);
    visit("ceil_mode", ceil_mode);
    visit("dilation", dilation);
    visit("divisor_override", divisor_override);
  }
};
using Pool1dAttributes = PoolAttributes<1>;
using Pool2dAttributes = PoolAttributes<2>;
using Pool3dAttributes = PoolAttributes<3>;

/// The largest value of each window of x [N, C, L], f32, i8 or u8: the first of equals, NaN always.
/// Padding is at most half the (dilated) kernel. Throws shape_mismatch, also where a window holds
/// no element, dtype_mismatch and invalid_argument.
PARE_API Tensor max_pool1d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor max_pool1d(const Tensor& x, const Pool1dAttributes& attributes = {});
/// The same of x [N, C, H, W].
PARE_API Tensor max_pool2d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor max_pool2d(const Tensor& x, const Pool2dAttributes& attributes = {});
/// The same of x [N, C, D, H, W].
PARE_API Tensor max_pool3d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor max_pool3d(const Tensor& x, const Pool3dAttributes& attributes = {});

/// The mean of each window of x [N, C, L], f32, i8 or u8 (rounded half to even). What lies beyond
/// the padding (ceil_mode) never counts. Throws as max_pool1d, and unsupported for codes with
/// padding that counts.
PARE_API Tensor average_pool1d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor average_pool1d(const Tensor& x, const Pool1dAttributes& attributes = {});
/// The same of x [N, C, H, W].
PARE_API Tensor average_pool2d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor average_pool2d(const Tensor& x, const Pool2dAttributes& attributes = {});
/// The same of x [N, C, D, H, W].
PARE_API Tensor average_pool3d(const Tensor& x, const Attributes& attributes);
PARE_API Tensor average_pool3d(const Tensor& x, const Pool3dAttributes& attributes = {});

/// Power-average pooling, PyTorch's lp_pool: (k · mean of x^p over each window)^(1/p) with k taps a
/// window; without padding. Where the mean is 0 so is the gradient; where an odd power makes it
/// negative the result is NaN. Throws as average_pool1d, invalid_argument for p = 0.
PARE_API Tensor lp_pool1d(const Tensor& x, double p, const Pool1dAttributes& attributes = {});
PARE_API Tensor lp_pool2d(const Tensor& x, double p, const Pool2dAttributes& attributes = {});

/// [N, C, …] → [N, C, 1, …]
PARE_API Tensor global_average_pool(const Tensor& x);
/// [N, C, …] → [N, C, 1, …]: adaptive_max_pool to one element.
PARE_API Tensor global_max_pool(const Tensor& x);

struct AdaptivePoolAttributes {
  /// Size of the result along each spatial axis; −1 keeps the input's (PyTorch's None).
  std::vector<std::int64_t> output;
  void fields(AttributeVisitor& visit) { visit("output", output); }
};
/// x [N, C, …] of one to three spatial axes → [N, C, output…]: element i is the mean of the
/// elements ⌊i·in/out⌋ up to ⌈(i + 1)·in/out⌉ of its axis. Runs as global_average_pool for one
/// element, as average_pool where all windows are alike, else as an op of its own. Throws
/// shape_mismatch, dtype_mismatch and invalid_argument.
PARE_API Tensor adaptive_average_pool(const Tensor& x, const std::vector<std::int64_t>& output);
/// The same with the largest element; as max_pool where all windows are alike.
PARE_API Tensor adaptive_max_pool(const Tensor& x, const std::vector<std::int64_t>& output);

}  // namespace pare
