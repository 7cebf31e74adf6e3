// batch_norm: normalization by the statistics of the batch, or by running ones.
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/ops/batch_norm_loops.h"
#include "core/ops/layout.h"
#include "pare/core/ops/normalization.h"

namespace pare {
namespace {

enum Input { kX, kWeight, kBias, kRunningMean, kRunningVariance, kStatisticsOf };
enum Output { kY, kSavedMean, kSavedInverse, kNewMean, kNewVariance };

NormLayout layout_of(const Shape& x, MemoryFormat format) {
  const std::int64_t pixels = x.elements(2, x.rank());
  return {x[0], x[1], pixels, format == MemoryFormat::channels_last || pixels == 1};
}

// Whether the running statistics are used in training too, and stay.
bool stays(const BatchNormAttributes& a) { return a.frozen || a.fixed; }

void infer_batch_norm(InferArgs& args) {
  const Shape& x = args.shape(kX);
  PARE_CHECK(x.rank() >= 2 && (x.symbolic(1) || x[1] > 0), shape_mismatch, "batch_norm",
             "expected x of shape [N, C, …], got {}", x);
  static constexpr const char* kNames[] = {
      "x", "weight", "bias", "running_mean", "running_variance", "statistics_of"};
  for (int i = 0; i < args.inputs(); ++i) {
    if (i == kStatisticsOf && !args.has(i)) continue;
    PARE_CHECK(args.dtype(i) == DType::f32, dtype_mismatch, "batch_norm", "expected {} f32, got {}",
               kNames[i], args.dtype(i));
    if (i == kX) continue;
    const Shape& shape = args.shape(i);
    if (i == kStatisticsOf) {
      PARE_CHECK(shape == x, shape_mismatch, "batch_norm",
                 "expected statistics_of of x's shape {}, got {}", x, shape);
      continue;
    }
    PARE_CHECK(shape.rank() == 1 && shape.same_axis(0, x, 1), shape_mismatch, "batch_norm",
               "expected {} of shape [{}] for x {}, got {}", kNames[i],
               x.symbolic(1) ? x.symbol(1) : std::to_string(x[1]), x, shape);
  }
  args.output(kY, x, DType::f32);
  if (!args.training || stays(args.call.attributes.as<BatchNormAttributes>())) return;
  const Shape& channels = args.shape(kWeight);
  for (const int o : {kSavedMean, kSavedInverse, kNewMean, kNewVariance})
    args.output(o, channels, DType::f32);
}

// What the batch's statistics are of.
const Tensor& measured(std::span<const Tensor> inputs) {
  const bool other = inputs.size() > kStatisticsOf && inputs[kStatisticsOf].defined();
  return inputs[other ? kStatisticsOf : kX];
}

/// y = (x − mean) · inverse · weight + bias.
void normalize(const NormLayout& layout, std::span<const Tensor> inputs, const float* mean,
               const float* inverse, Tensor& y) {
  // y is channels-last where statistics_of is, too.
  const Tensor x = in_format(inputs[kX], y.format());
  const auto channels = static_cast<std::size_t>(layout.channels);
  const float* weight = inputs[kWeight].data<float>();
  const float* bias = inputs[kBias].data<float>();
  std::vector<float> scale(channels);
  std::vector<float> shift(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    scale[c] = inverse[c] * weight[c];
    shift[c] = bias[c] - mean[c] * scale[c];
  }
  channel_affine(layout, x.data<float>(), scale.data(), shift.data(), y.mutable_data<float>());
}

std::vector<float> running_inverse(const Tensor& variance, double epsilon) {
  const float* v = variance.data<float>();
  std::vector<float> inverse(static_cast<std::size_t>(variance.elements()));
  for (std::size_t c = 0; c < inverse.size(); ++c)
    inverse[c] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(v[c]) + epsilon));
  return inverse;
}

void forward_batch_norm(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context& context) {
  const auto& attr = call.attributes.as<BatchNormAttributes>();
  const Tensor& x = inputs[kX];
  const NormLayout layout = layout_of(x.shape(), outputs[kY].format());
  if (!context.training || stays(attr)) {
    if (x.elements() == 0) return;
    normalize(layout, inputs, inputs[kRunningMean].data<float>(),
              running_inverse(inputs[kRunningVariance], attr.epsilon).data(), outputs[kY]);
    return;
  }
  PARE_CHECK(layout.count() > 1, shape_mismatch, "batch_norm",
             "expected more than one value per channel in training, got x {}", x.shape());
  const Tensor& z = measured(inputs);
  const Moments moments = channel_moments(layout_of(z.shape(), z.format()), z.data<float>());
  float* mean = outputs[kSavedMean].mutable_data<float>();
  float* inverse = outputs[kSavedInverse].mutable_data<float>();
  float* new_mean = outputs[kNewMean].mutable_data<float>();
  float* new_variance = outputs[kNewVariance].mutable_data<float>();
  const float* old_mean = inputs[kRunningMean].data<float>();
  const float* old_variance = inputs[kRunningVariance].data<float>();
  const auto count = static_cast<double>(layout.count());
  for (std::int64_t c = 0; c < layout.channels; ++c) {
    const double m = moments.mean[static_cast<std::size_t>(c)];
    const double squares = moments.squares[static_cast<std::size_t>(c)];
    mean[c] = static_cast<float>(m);
    inverse[c] = static_cast<float>(1.0 / std::sqrt(squares / count + attr.epsilon));
    new_mean[c] = static_cast<float>((1 - attr.momentum) * static_cast<double>(old_mean[c]) +
                                     attr.momentum * m);
    new_variance[c] =
        static_cast<float>((1 - attr.momentum) * static_cast<double>(old_variance[c]) +
                           attr.momentum * squares / (count - 1));
  }
  normalize(layout, inputs, mean, inverse, outputs[kY]);
}

/// What flows into statistics_of z through the mean and the variance alone:
/// −(plain + (z − mean) · slope) · scale.
Tensor statistics_gradient(const Tensor& z, const float* mean, const std::vector<float>& plain,
                           const std::vector<float>& slope, const std::vector<float>& scale) {
  const std::size_t channels = scale.size();
  std::vector<float> factor(channels);
  std::vector<float> shift(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    factor[c] = -slope[c] * scale[c];
    shift[c] = (mean[c] * slope[c] - plain[c]) * scale[c];
  }
  Tensor gz = Tensor::empty(z.shape(), DType::f32, z.format());
  channel_affine(layout_of(z.shape(), z.format()), z.data<float>(), factor.data(), shift.data(),
                 gz.mutable_data<float>());
  return gz;
}

void backward_batch_norm(BackwardArgs& args) {
  const auto& attr = args.call().attributes.as<BatchNormAttributes>();
  const bool batch = args.training() && !stays(attr);
  const bool other = args.inputs() > kStatisticsOf && args.has_input(kStatisticsOf);
  const Tensor& x = args.input(kX);
  const Tensor g = in_format(args.grad_output(kY), x.format());
  const NormLayout layout = layout_of(x.shape(), x.format());
  const auto channels = static_cast<std::size_t>(layout.channels);
  const float* weight = args.input(kWeight).data<float>();
  const float* mean = (batch ? args.output(kSavedMean) : args.input(kRunningMean)).data<float>();
  std::vector<float> inverse_of_running;
  if (!batch) inverse_of_running = running_inverse(args.input(kRunningVariance), attr.epsilon);
  const float* inverse =
      batch ? args.output(kSavedInverse).data<float>() : inverse_of_running.data();

  GradientSums sums;
  if (batch || args.needs(kWeight) || args.needs(kBias))
    sums = channel_gradient_sums(layout, g.data<float>(), x.data<float>(), mean);
  const bool through = batch && other && args.needs(kStatisticsOf);
  if (args.needs(kX) || through) {
    Tensor gx = Tensor::empty(x.shape(), DType::f32, x.format());
    std::vector<float> scale(channels);
    std::vector<float> plain(channels);
    std::vector<float> slope(channels);
    const auto count = static_cast<double>(layout.count());
    for (std::size_t c = 0; c < channels; ++c) {
      scale[c] = inverse[c] * weight[c];
      if (!batch) continue;
      const auto i = static_cast<double>(inverse[c]);
      plain[c] = static_cast<float>(sums.plain[c] / count);
      slope[c] = static_cast<float>(sums.deviation[c] * i * i / count);
    }
    if (through)
      args.set(kStatisticsOf,
               statistics_gradient(args.input(kStatisticsOf), mean, plain, slope, scale));
    if (batch && !other) {
      channel_gradient(layout, g.data<float>(), x.data<float>(), mean, plain.data(), slope.data(),
                       scale.data(), gx.mutable_data<float>());
    } else {
      // The statistics are constants, or another's.
      const std::vector<float> none(channels);
      channel_affine(layout, g.data<float>(), scale.data(), none.data(), gx.mutable_data<float>());
    }
    if (args.needs(kX)) args.set(kX, std::move(gx));
  }
  if (args.needs(kWeight)) {
    Tensor gw = Tensor::empty(args.input_shape(kWeight));
    float* out = gw.mutable_data<float>();
    for (std::size_t c = 0; c < channels; ++c)
      out[c] = static_cast<float>(sums.deviation[c] * static_cast<double>(inverse[c]));
    args.set(kWeight, std::move(gw));
  }
  if (args.needs(kBias)) {
    Tensor gb = Tensor::empty(args.input_shape(kBias));
    float* out = gb.mutable_data<float>();
    for (std::size_t c = 0; c < channels; ++c) out[c] = static_cast<float>(sums.plain[c]);
    args.set(kBias, std::move(gb));
  }
}

void link_batch_norm(const Call&, ChannelLinks& links) {
  links.tie(in(kX), 1, out(kY), 1);
  for (const int i : {kWeight, kBias, kRunningMean, kRunningVariance})
    links.tie(in(i), 0, out(kY), 1);
  if (links.has(in(kStatisticsOf))) links.tie(in(kStatisticsOf), 1, out(kY), 1);
}

void emit_batch_norm(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<BatchNormAttributes>();
  std::vector<std::string> names;
  for (int i = kX; i <= kRunningVariance; ++i) names.push_back(emitter.input(i));
  // ONNX's momentum weighs the old statistics.
  emitter.node("BatchNormalization", names, {emitter.output(kY)})
      .attribute("epsilon", attr.epsilon)
      .attribute("momentum", 1 - attr.momentum);
}

constexpr StatePair kState[] = {{kNewMean, kRunningMean}, {kNewVariance, kRunningVariance}};

}  // namespace

constinit const OpDef kBatchNorm = {
    .name = "batch_norm",
    .min_inputs = 5,
    .max_inputs = 6,
    .hidden_outputs = 2,
    .state = kState,
    .format = FormatRule::keep,
    .infer = infer_batch_norm,
    .forward = forward_batch_norm,
    .backward = backward_batch_norm,
    .saves_inputs = 1U << kX | 1U << kWeight | 1U << kRunningMean | 1U << kRunningVariance |
                    1U << kStatisticsOf,
    .saves_outputs = 1U << kSavedMean | 1U << kSavedInverse,
    .defaults = [] { return Attributes::of(BatchNormAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_batch_norm},
    .onnx = {.op_type = "BatchNormalization", .opset = 9, .emit = emit_batch_norm},
};

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& running_mean, const Tensor& running_variance,
                  const Attributes& attributes) {
  return apply({&kBatchNorm, attributes},
               detail::Borrowed(x, weight, bias, running_mean, running_variance));
}

}  // namespace pare
