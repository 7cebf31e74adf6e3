// The loops of batch normalization over memory in either order.
#pragma once

#include <cstdint>
#include <vector>

namespace pare {

/// A tensor of [N, C, pixels] in memory: rows of C (channels-last), or planes of pixels.
struct NormLayout {
  std::int64_t batch, channels, pixels;
  bool channels_last;
  std::int64_t count() const { return batch * pixels; }  ///< values per channel
};

/// Mean and sum of squared deviations of each channel, exact to double over short runs (Chan,
/// Golub, LeVeque, "Updating formulae …", 1979).
struct Moments {
  std::vector<double> mean, squares;
};
Moments channel_moments(const NormLayout& layout, const float* x);

/// y = x · scale + shift, per channel.
void channel_affine(const NormLayout& layout, const float* x, const float* scale,
                    const float* shift, float* y);

/// Sums of g and of g · (x − mean) of each channel.
struct GradientSums {
  std::vector<double> plain, deviation;
};
GradientSums channel_gradient_sums(const NormLayout& layout, const float* g, const float* x,
                                   const float* mean);

/// gx = (g − plain − (x − mean) · slope) · scale, per channel.
void channel_gradient(const NormLayout& layout, const float* g, const float* x, const float* mean,
                      const float* plain, const float* slope, const float* scale, float* gx);

}  // namespace pare
