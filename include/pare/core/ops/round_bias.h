// Biases as a layer on integers has them, and the scales that this takes: for training.
#pragma once

#include "pare/core/ops/learned_steps.h"
#include "pare/core/ops/observers.h"

namespace pare {

PARE_API extern const OpDef kRangeScale, kStepScale, kRoundBias;

struct RoundBiasAttributes {
  double epsilon = 1e-5;  ///< of the batch norm
  /// The batch norm's factor multiplies the weight's scales too; else the weight has it already.
  bool scales_follow = true;
  void fields(AttributeVisitor& visit) {
    visit("epsilon", epsilon);
    visit("scales_follow", scales_follow);
  }
};

/// The scale (f32, rank 0) of an activation observed by observe_fake_quantize with these ranges
/// (f32 [2] each, joined) and attributes; NaN while they are empty. No gradient.
PARE_API Tensor range_scale(const Tensors& ranges, const ObserveAttributes& attributes);
/// The scales that learned steps mean, shaped as they are. No gradient.
PARE_API Tensor step_scale(const Tensor& step, const Tensor& zero_point,
                           const FakeQuantizeLearnedAttributes& attributes);

/// The statistics and scales of a batch norm (f32 [C]) and the bias of the layer before it, which
/// may be undefined.
struct NormAfter {
  Tensor weight, running_mean, running_variance, layer_bias;
};
/// `bias` (f32 [C]: the layer's, or the batch norm's where one follows) moved by at most half a
/// unit, so that the bias of the layer with its batch norm folded in, evaluated, is a whole number
/// of units s_x · s_w[c] · |f[c]|, f = γ / √(running variance + ε). weight_scale: rank 0 or [C /
/// groups]. As it is where the unit is unset (NaN) or so small that the bias would leave 30 bits.
/// The gradient passes straight through.
PARE_API Tensor round_bias(const Tensor& bias, const Tensor& activation_scale,
                           const Tensor& weight_scale, const NormAfter& norm = {},
                           const RoundBiasAttributes& attributes = {});

}  // namespace pare
