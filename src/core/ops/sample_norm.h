// What group and instance normalization share: statistics of groups of channels of each sample.
#pragma once

#include <vector>

#include "core/ops/batch_norm_loops.h"
#include "pare/core/op.h"

namespace pare {

/// x [N, C, …] in either memory format, its channels in `groups` neighbouring sets.
struct SampleNorm {
  SampleNorm(const Tensor& x, std::int64_t group_count);
  std::int64_t batch, groups, group_channels;
  NormLayout sample;  ///< of one sample
  std::int64_t sample_elements() const { return sample.channels * sample.pixels; }
  double group_count() const {
    return static_cast<double>(group_channels) * static_cast<double>(sample.pixels);
  }

  /// Mean and mean square deviation of each group of each sample, [N · groups].
  struct Statistics {
    std::vector<double> mean, variance;
  };
  Statistics statistics(const float* x) const;

  /// y = (x − mean) · inverse · weight + bias with mean and inverse [N, groups], weight and bias
  /// [C] or null.
  void normalize(const float* x, const float* mean, const float* inverse, const float* weight,
                 const float* bias, float* y) const;

  struct Operands {
    const float *x, *g, *mean, *inverse;  ///< mean and inverse of [N, groups]
    const float* weight;                  ///< [C] or null
    bool constant;                        ///< the statistics do not depend on x
  };
  /// Sums over samples and pixels of g · (x − mean) · inverse and of g, [C] each; dx, where it is
  /// not null, receives the gradient of x.
  void gradient(const Operands& operands, float* dx, std::vector<double>& of_weight,
                std::vector<double>& of_bias) const;
};

/// Checks x [N, C, …] and its [C] companions (named, from input 1 on): all f32.
void check_sample_norm(const InferArgs& args, std::span<const char* const> names);
/// Gives the gradients of inputs 0 to 2 where they are wanted.
void backward_sample_norm(BackwardArgs& args, const SampleNorm& norm, const float* mean,
                          const float* inverse, bool constant);

}  // namespace pare
