// round_bias: biases as whole numbers of a layer's unit; range_scale and step_scale give the unit.
#include "pare/core/ops/round_bias.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/value_range.h"

namespace pare {
namespace {

enum Input { kBias, kActivationScale, kWeightScale, kGamma, kMean, kVariance, kLayerBias };

// As convert has it (quantize/weights.cpp): room for the sums beside the bias.
constexpr double kLargestBias = 1 << 30;

void infer_range_scale(InferArgs& args) {
  for (int i = 0; i < args.inputs(); ++i) check_range_input(args, i);
  args.output(0, Shape{}, DType::f32);
}

void forward_range_scale(const Call& call, std::span<const Tensor> inputs,
                         std::span<Tensor> outputs, const Context&) {
  const auto& a = call.attributes.as<ObserveAttributes>();
  ValueRange range = empty_value_range();
  for (const Tensor& t : inputs) range.join(read_range(t));
  *outputs[0].mutable_data<float>() =
      range.empty() ? std::numeric_limits<float>::quiet_NaN()
                    : affine_parameters(range.min, range.max, codes_of(a)).scale;
}

void infer_step_scale(InferArgs& args) {
  for (int i = 0; i < args.inputs(); ++i)
    PARE_CHECK(!args.has(i) || args.dtype(i) == DType::f32, dtype_mismatch, "step_scale",
               "expected f32, got {}", args.dtype(i));
  args.output(0, args.shape(0), DType::f32);
}

void forward_step_scale(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  const auto parameters = learned_parameters(inputs[0], inputs.size() > 1 ? inputs[1] : Tensor(),
                                             call.attributes.as<FakeQuantizeLearnedAttributes>());
  float* scales = outputs[0].mutable_data<float>();
  for (std::size_t c = 0; c < parameters.size(); ++c) scales[c] = parameters[c].scale;
}

void infer_round_bias(InferArgs& args) {
  const char* where = "round_bias";
  for (int i = 0; i < args.inputs(); ++i)
    PARE_CHECK(!args.has(i) || args.dtype(i) == DType::f32, dtype_mismatch, where,
               "expected f32, got {} for input {}", args.dtype(i), i);
  const Shape& bias = args.shape(kBias);
  PARE_CHECK(bias.rank() == 1, shape_mismatch, where, "expected a bias of rank 1, got {}", bias);
  PARE_CHECK(args.shape(kActivationScale).rank() == 0 && args.shape(kWeightScale).rank() <= 1,
             shape_mismatch, where,
             "expected a scale of rank 0 for the activation and of rank 0 or 1 for the weight, got "
             "{} and {}",
             args.shape(kActivationScale), args.shape(kWeightScale));
  for (int i = kGamma; i < args.inputs(); ++i)
    PARE_CHECK(!args.has(i) || args.shape(i) == bias, shape_mismatch, where,
               "expected input {} of the bias's shape {}, got {}", i, bias, args.shape(i));
  PARE_CHECK(args.has(kGamma) == args.has(kMean) && args.has(kGamma) == args.has(kVariance),
             invalid_argument, where, "expected a batch norm's weight, mean and variance together");
  args.output(0, bias, DType::f32);
}

void forward_round_bias(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  const auto& a = call.attributes.as<RoundBiasAttributes>();
  const auto input = [&](std::size_t i) {
    return i < inputs.size() && inputs[i].defined() ? inputs[i].data<float>() : nullptr;
  };
  const float *bias = input(kBias), *weight_scale = input(kWeightScale), *gamma = input(kGamma),
              *mean = input(kMean), *variance = input(kVariance), *layer_bias = input(kLayerBias);
  const float activation = *input(kActivationScale);
  const auto scales = static_cast<std::size_t>(inputs[kWeightScale].elements());
  float* result = outputs[0].mutable_data<float>();
  for (std::size_t c = 0; c < static_cast<std::size_t>(inputs[kBias].elements()); ++c) {
    double factor = 1, folded = static_cast<double>(bias[c]);
    auto scale = static_cast<double>(weight_scale[c % scales]);
    if (gamma) {
      factor =
          static_cast<double>(gamma[c]) / std::sqrt(static_cast<double>(variance[c]) + a.epsilon);
      const double before = layer_bias ? static_cast<double>(layer_bias[c]) : 0.0;
      folded += (before - static_cast<double>(mean[c])) * factor;
      if (a.scales_follow) scale *= std::fabs(factor);
    }
    // The single-precision product that the bias's scale is.
    const auto unit = static_cast<double>(activation * static_cast<float>(scale));
    const double units = folded / unit;
    const bool fits = unit >= static_cast<double>(std::numeric_limits<float>::min()) &&
                      std::fabs(units) < kLargestBias;
    result[c] = fits ? static_cast<float>(static_cast<double>(bias[c]) +
                                          (std::nearbyint(units) - units) * unit)
                     : bias[c];
  }
}

// The bias, and what has a number for each of its channels.
void link_round_bias(const Call&, ChannelLinks& links) {
  links.tie(in(kBias), 0, out(0), 0);
  for (const int i : {kWeightScale, kGamma, kMean, kVariance, kLayerBias})
    if (links.has(in(i)) && links.shape(in(i)).rank() == 1 &&
        links.shape(in(i)).same_axis(0, links.shape(in(kBias)), 0))
      links.tie(in(i), 0, out(0), 0);
}

}  // namespace

constinit const OpDef kRangeScale = {
    .name = "range_scale",
    .max_inputs = -1,
    .infer = infer_range_scale,
    .forward = forward_range_scale,
    .defaults = [] { return Attributes::of(ObserveAttributes{}); },
};

constinit const OpDef kStepScale = {
    .name = "step_scale",
    .max_inputs = 2,
    .infer = infer_step_scale,
    .forward = forward_step_scale,
    .defaults = [] { return Attributes::of(FakeQuantizeLearnedAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call&, ChannelLinks& links) {
                       if (links.shape(in(0)).rank() == 0) return;
                       links.tie(in(0), 0, out(0), 0);
                       if (links.has(in(1))) links.tie(in(1), 0, out(0), 0);
                     }},
};

constinit const OpDef kRoundBias = {
    .name = "round_bias",
    .min_inputs = 3,
    .max_inputs = 7,
    .infer = infer_round_bias,
    .forward = forward_round_bias,
    .backward = [](BackwardArgs& args) { args.set(kBias, args.grad_output(0)); },
    .defaults = [] { return Attributes::of(RoundBiasAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_round_bias},
};

Tensor range_scale(const Tensors& ranges, const ObserveAttributes& attributes) {
  return pare::apply({&kRangeScale, Attributes::of(attributes)}, ranges);
}

Tensor step_scale(const Tensor& step, const Tensor& zero_point,
                  const FakeQuantizeLearnedAttributes& attributes) {
  return apply({&kStepScale, Attributes::of(attributes)}, detail::Borrowed(step, zero_point));
}

Tensor round_bias(const Tensor& bias, const Tensor& activation_scale, const Tensor& weight_scale,
                  const NormAfter& norm, const RoundBiasAttributes& attributes) {
  return apply({&kRoundBias, Attributes::of(attributes)},
               detail::Borrowed(bias, activation_scale, weight_scale, norm.weight,
                                norm.running_mean, norm.running_variance, norm.layer_bias));
}

}  // namespace pare
