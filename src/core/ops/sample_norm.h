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
  std::int64_t group_elements() const { return group_channels * sample.pixels; }

  /// Per channel, or null for 1 and 0.
  struct Affine {
    const float *weight, *bias;
  };
  /// Mean and mean square deviation of each group of each sample, [N · groups].
  struct Statistics {
    std::vector<double> mean, variance;
  };
  /// y = (x − mean) / √(variance + epsilon) · weight + bias by each group's own statistics, which
  /// are returned; mean and inverse [N, groups] receive what backward reads.
  Statistics forward(const float* x, double epsilon, const Affine& affine, float* mean,
                     float* inverse, float* y) const;

  /// y = (x − mean) · inverse · weight + bias with given mean and inverse [N, groups].
  void normalize(const float* x, const float* mean, const float* inverse, const Affine& affine,
                 float* y) const;

  struct Operands {
    const float *x, *g, *mean, *inverse;  ///< mean and inverse of [N, groups]
    const float* weight;                  ///< [C] or null
    bool constant;                        ///< the statistics do not depend on x
  };
  /// Sums over samples and pixels of g · (x − mean) · inverse and of g, [C] each; dx, where it is
  /// not null, receives the gradient of x.
  void gradient(const Operands& operands, float* dx, std::vector<double>& of_weight,
                std::vector<double>& of_bias) const;

 private:
  /// Groups that are worked on together: one where its elements are neighbours, else a sample's.
  struct Piece;
  template <class Run> void each_piece(const Run& run) const;
  void normalize_piece(const Piece& piece, const float* x, const float* mean, const float* inverse,
                       const Affine& affine, float* values, float* y) const;
  void moments(const Piece& piece, const float* x, double* mean, double* variance) const;
};

/// Checks x [N, C, …] and its [C] companions (named, from input 1 on): all f32.
void check_sample_norm(const InferArgs& args, std::span<const char* const> names);
/// Gives the gradients of inputs 0 to 2 where they are wanted.
void backward_sample_norm(BackwardArgs& args, const SampleNorm& norm, const float* mean,
                          const float* inverse, bool constant);

}  // namespace pare
