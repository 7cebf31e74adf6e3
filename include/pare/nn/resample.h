// Layers between resolutions: Upsample, PixelShuffle, PixelUnshuffle, Unfold, Fold.
#pragma once

#include <string>
#include <vector>

#include "pare/core/ops/resample.h"
#include "pare/nn/module.h"
#include "pare/nn/pair.h"

namespace pare::nn {

/// One of size and scale_factor: one number for all spatial axes, or one for each.
struct UpsampleOptions {
  std::vector<std::int64_t> size = {};
  std::vector<double> scale_factor = {};
  std::string mode = "nearest";
  bool align_corners = false;
};
/// x [N, C, spatial…], resized by `interpolate`, which says what forward throws.
struct PARE_API Upsample : Module {
  explicit Upsample(UpsampleOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  InterpolateOptions options_;
};

struct PixelShuffleOptions {
  std::int64_t upscale_factor = 2;
};
/// [N, C·f², H, W] → [N, C, H·f, W·f]. Forward throws as depth_to_space.
struct PARE_API PixelShuffle : Module {
  explicit PixelShuffle(PixelShuffleOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct PixelUnshuffleOptions {
  std::int64_t downscale_factor = 2;
};
/// [N, C, H·f, W·f] → [N, C·f², H, W]. Forward throws as space_to_depth.
struct PARE_API PixelUnshuffle : Module {
  explicit PixelUnshuffle(PixelUnshuffleOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct UnfoldOptions {
  Pair kernel_size = 1;
  Pair dilation = 1;
  Pair padding = 0;
  Pair stride = 1;
};
/// [N, C, H, W] → [N, C·kh·kw, places]. Forward throws as unfold.
struct PARE_API Unfold : Module {
  explicit Unfold(UnfoldOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct FoldOptions {
  Pair output_size = 1;
  Pair kernel_size = 1;
  Pair dilation = 1;
  Pair padding = 0;
  Pair stride = 1;
};
/// [N, C·kh·kw, places] → [N, C, H, W]. Forward throws as fold.
struct PARE_API Fold : Module {
  explicit Fold(FoldOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

}  // namespace pare::nn
