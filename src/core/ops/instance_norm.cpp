// instance_norm: normalization over the pixels of each channel of each sample.
#include <cmath>

#include "core/check.h"
#include "core/ops/sample_norm.h"
#include "pare/core/ops/feature_norm.h"

namespace pare {
namespace {

enum Input { kX, kWeight, kBias, kRunningMean, kRunningVariance };
enum Output { kY, kSavedMean, kSavedInverse, kNewMean, kNewVariance };

const InstanceNormAttributes& attributes_of(const Call& call) {
  return call.attributes.as<InstanceNormAttributes>();
}

void infer_instance_norm(InferArgs& args) {
  const auto& attr = attributes_of(args.call);
  static constexpr const char* kNames[] = {"weight", "bias", "running_mean", "running_variance"};
  check_sample_norm(args, kNames);
  const Shape& x = args.shape(kX);
  const bool running = args.has(kRunningMean);
  PARE_CHECK(running == args.has(kRunningVariance), invalid_argument, "instance_norm",
             "expected both running statistics or none, got one");
  PARE_CHECK(attr.epsilon >= 0, invalid_argument, "instance_norm",
             "expected an epsilon of at least 0, got {}", attr.epsilon);
  args.output(kY, x, DType::f32);
  const bool moves = args.training && !attr.frozen;
  if (running && !moves) return;
  Shape saved;
  saved.append(x, 0);
  saved.append(x, 1);
  args.output(kSavedMean, saved, DType::f32);
  args.output(kSavedInverse, saved, DType::f32);
  if (!running) return;
  args.output(kNewMean, args.shape(kRunningMean), DType::f32);
  args.output(kNewVariance, args.shape(kRunningMean), DType::f32);
}

/// The running statistics for every sample.
struct Running {
  std::vector<float> mean, inverse;
  Running(const Tensor& m, const Tensor& v, std::int64_t batch, double epsilon) {
    for (std::int64_t n = 0; n < batch; ++n)
      for (std::int64_t c = 0; c < m.elements(); ++c) {
        mean.push_back(m.data<float>()[c]);
        inverse.push_back(
            static_cast<float>(1 / std::sqrt(static_cast<double>(v.data<float>()[c]) + epsilon)));
      }
  }
};

/// Moves a running statistic by its mean over the batch, times `factor`.
void move(const std::vector<double>& values, const Tensor& old, double momentum, double factor,
          Tensor& now) {
  const auto channels = static_cast<std::size_t>(old.elements());
  const double batch = static_cast<double>(values.size()) / static_cast<double>(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    double total = 0;
    for (std::size_t i = c; i < values.size(); i += channels) total += values[i];
    now.mutable_data<float>()[c] =
        static_cast<float>((1 - momentum) * static_cast<double>(old.data<float>()[c]) +
                           momentum * factor * total / batch);
  }
}

void forward_instance_norm(const Call& call, std::span<const Tensor> inputs,
                           std::span<Tensor> outputs, const Context& context) {
  const auto& attr = attributes_of(call);
  const Tensor& x = inputs[kX];
  const auto data = [&](std::size_t i) {
    return i < inputs.size() && inputs[i].defined() ? inputs[i].data<float>() : nullptr;
  };
  const SampleNorm norm(x, x.dim(1));
  const bool running = data(kRunningMean) != nullptr;
  const bool moves = running && context.training && !attr.frozen;
  const SampleNorm::Affine affine{data(kWeight), data(kBias)};
  float* y = outputs[kY].mutable_data<float>();
  if (running && !moves) {
    if (x.elements() == 0) return;
    const Running r(inputs[kRunningMean], inputs[kRunningVariance], norm.batch, attr.epsilon);
    norm.normalize(x.data<float>(), r.mean.data(), r.inverse.data(), affine, y);
    return;
  }
  PARE_CHECK(!context.training || norm.sample.pixels > 1, shape_mismatch, "instance_norm",
             "expected more than one value per channel in training, got x {}", x.shape());
  PARE_CHECK(!moves || norm.batch > 0, shape_mismatch, "instance_norm",
             "expected at least one sample in training, got x {}", x.shape());
  if (x.elements() == 0) {
    for (const int o : {kSavedMean, kSavedInverse}) outputs[static_cast<std::size_t>(o)].fill(0);
    return;
  }
  const SampleNorm::Statistics s =
      norm.forward(x.data<float>(), attr.epsilon, affine, outputs[kSavedMean].mutable_data<float>(),
                   outputs[kSavedInverse].mutable_data<float>(), y);
  if (!moves) return;
  const auto pixels = static_cast<double>(norm.sample.pixels);
  move(s.mean, inputs[kRunningMean], attr.momentum, 1, outputs[kNewMean]);
  move(s.variance, inputs[kRunningVariance], attr.momentum, pixels / (pixels - 1),
       outputs[kNewVariance]);
}

void backward_instance_norm(BackwardArgs& args) {
  const auto& attr = attributes_of(args.call());
  const Tensor& x = args.input(kX);
  const SampleNorm norm(x, x.dim(1));
  const bool running = args.inputs() > kRunningMean && args.has_input(kRunningMean);
  if (running && (!args.training() || attr.frozen)) {
    const Running r(args.input(kRunningMean), args.input(kRunningVariance), norm.batch,
                    attr.epsilon);
    backward_sample_norm(args, norm, r.mean.data(), r.inverse.data(), true);
    return;
  }
  backward_sample_norm(args, norm, args.output(kSavedMean).data<float>(),
                       args.output(kSavedInverse).data<float>(), false);
}

void link_instance_norm(const Call&, ChannelLinks& links) {
  links.tie(in(kX), 1, out(kY), 1);
  for (const int i : {kWeight, kBias, kRunningMean, kRunningVariance})
    if (links.has(in(i))) links.tie(in(i), 0, out(kY), 1);
}

void emit_instance_norm(const Call& call, OnnxEmitter& e) {
  const auto& attr = attributes_of(call);
  const Shape& x = e.input_shape(kX);
  PARE_CHECK(!x.symbolic(1), unsupported, "instance_norm",
             "expected a known number of channels for ONNX, got x {}", x);
  std::vector<std::string> names{
      e.input(kX), e.has_input(kWeight) ? e.input(kWeight) : e.constant(Tensor::ones({x[1]})),
      e.has_input(kBias) ? e.input(kBias) : e.constant(Tensor::zeros({x[1]}))};
  if (e.has_input(kRunningMean)) {
    names.push_back(e.input(kRunningMean));
    names.push_back(e.input(kRunningVariance));
  }
  e.node(e.has_input(kRunningMean) ? "BatchNormalization" : "InstanceNormalization", names,
         {e.output(kY)})
      .attribute("epsilon", attr.epsilon);
}

constexpr StatePair kState[] = {{kNewMean, kRunningMean}, {kNewVariance, kRunningVariance}};

}  // namespace

constinit const OpDef kInstanceNorm = {
    .name = "instance_norm",
    .max_inputs = 5,
    .hidden_outputs = 2,
    .state = kState,
    .format = FormatRule::keep,
    .infer = infer_instance_norm,
    .forward = forward_instance_norm,
    .backward = backward_instance_norm,
    .saves_inputs = 1U << kX | 1U << kWeight | 1U << kRunningMean | 1U << kRunningVariance,
    .saves_outputs = 1U << kSavedMean | 1U << kSavedInverse,
    .defaults = [] { return Attributes::of(InstanceNormAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_instance_norm},
    .onnx = {.op_type = "InstanceNormalization", .opset = 9, .emit = emit_instance_norm},
};

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const Tensor& running_mean, const Tensor& running_variance,
                     const Attributes& attributes) {
  return apply({&kInstanceNorm, attributes},
               detail::Borrowed(x, weight, bias, running_mean, running_variance));
}

}  // namespace pare
