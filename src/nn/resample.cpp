// Layers between resolutions: Upsample, PixelShuffle, PixelUnshuffle, Unfold, Fold.
#include "pare/nn/resample.h"

#include <utility>

namespace pare::nn {
namespace {

std::array<std::int64_t, 2> both(const Pair& pair) { return {pair.height, pair.width}; }

}  // namespace

Upsample::Upsample(UpsampleOptions options)
    : options_{.size = std::move(options.size),
               .scale = std::move(options.scale_factor),
               .mode = std::move(options.mode),
               .align_corners = options.align_corners} {}
Tensor Upsample::forward(const Tensor& x) { return interpolate(x, options_); }
std::string Upsample::kind() const { return "Upsample"; }

PixelShuffle::PixelShuffle(PixelShuffleOptions options)
    : call_{&kDepthToSpace,
            Attributes::of(DepthSpaceAttributes{.block = options.upscale_factor, .order = "CRD"})} {
}
Tensor PixelShuffle::forward(const Tensor& x) { return pare::apply(call_, detail::Borrowed(x)); }
std::string PixelShuffle::kind() const { return "PixelShuffle"; }

PixelUnshuffle::PixelUnshuffle(PixelUnshuffleOptions options)
    : call_{&kSpaceToDepth, Attributes::of(DepthSpaceAttributes{.block = options.downscale_factor,
                                                                .order = "CRD"})} {}
Tensor PixelUnshuffle::forward(const Tensor& x) { return pare::apply(call_, detail::Borrowed(x)); }
std::string PixelUnshuffle::kind() const { return "PixelUnshuffle"; }

Unfold::Unfold(UnfoldOptions options)
    : call_{&kUnfold, Attributes::of(UnfoldAttributes{.kernel = both(options.kernel_size),
                                                      .stride = both(options.stride),
                                                      .dilation = both(options.dilation),
                                                      .padding = both(options.padding)})} {}
Tensor Unfold::forward(const Tensor& x) { return pare::apply(call_, detail::Borrowed(x)); }
std::string Unfold::kind() const { return "Unfold"; }

Fold::Fold(FoldOptions options)
    : call_{&kFold, Attributes::of(FoldAttributes{.output = both(options.output_size),
                                                  .kernel = both(options.kernel_size),
                                                  .stride = both(options.stride),
                                                  .dilation = both(options.dilation),
                                                  .padding = both(options.padding)})} {}
Tensor Fold::forward(const Tensor& x) { return pare::apply(call_, detail::Borrowed(x)); }
std::string Fold::kind() const { return "Fold"; }

}  // namespace pare::nn
