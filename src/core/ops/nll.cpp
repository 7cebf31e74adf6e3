// nll: the negative log-likelihood of labels under given log-probabilities.
#include "core/ops/class_labels.h"
#include "core/ops/reduced.h"
#include "pare/core/ops/loss.h"

namespace pare {
namespace {

void forward_nll(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& a = call.attributes.as<NllAttributes>();
  const ClassLabels labels("nll", inputs[1], x.dim(1), a.ignore_index);
  visit_float(x.dtype(), "nll", [&](auto type) {
    using T = decltype(type);
    const T* data = x.data<T>();
    const T* weight = weight_of<T>(inputs);
    std::vector<double> losses(static_cast<std::size_t>(labels.count));
    for (std::int64_t r = 0; r < labels.count; ++r) {
      if (labels.ignored(r)) continue;
      const std::int64_t label = labels.of(r);
      const double loss = -static_cast<double>(data[r * labels.classes + label]);
      losses[static_cast<std::size_t>(r)] =
          weight ? static_cast<double>(weight[label]) * loss : loss;
    }
    give_losses<T>(loss_reduction(a.reduction, "nll"), labels, weight, losses, outputs[0]);
  });
}

void backward_nll(BackwardArgs& args) {
  if (!args.needs(0)) return;
  const auto& a = args.call().attributes.as<NllAttributes>();
  const DType dtype = computed_type(args.input_dtype(0));
  Tensor out = Tensor::zeros(args.input_shape(0), dtype);
  const ClassLabels labels("nll", args.input(1), out.dim(1), a.ignore_index);
  const Tensor weights = args.has_input(2) ? in_dtype(args.input(2), dtype) : Tensor();
  visit_float(dtype, "nll", [&](auto type) {
    using T = decltype(type);
    const T* weight = weights.defined() ? weights.data<T>() : nullptr;
    const std::vector<double> factors =
        row_factors<T>(loss_reduction(a.reduction, "nll"), labels, weight, args.grad_output(0));
    T* dx = out.mutable_data<T>();
    for (std::int64_t r = 0; r < labels.count; ++r) {
      if (labels.ignored(r)) continue;
      const std::int64_t label = labels.of(r);
      const double own = weight ? static_cast<double>(weight[label]) : 1.0;
      dx[r * labels.classes + label] = static_cast<T>(-own * factors[static_cast<std::size_t>(r)]);
    }
  });
  args.set(0, in_dtype(out, args.input_dtype(0)));
}

}  // namespace

constinit const OpDef kNll = {
    .name = "nll",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer =
        [](InferArgs& args) {
          const auto& a = args.call.attributes.as<NllAttributes>();
          infer_labelled(args, "log-probabilities", loss_reduction(a.reduction, "nll"));
        },
    .forward = forward_nll,
    .backward = backward_nll,
    .saves_inputs = 6,
    .defaults = [] { return Attributes::of(NllAttributes{}); },
    .onnx = {.op_type = "NegativeLogLikelihoodLoss", .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<NllAttributes>();
               std::vector<std::string> inputs{e.input(0), e.input(1)};
               if (e.has_input(2)) inputs.push_back(e.input(2));
               e.node("NegativeLogLikelihoodLoss", std::move(inputs), {e.output(0)})
                   .attribute("reduction", a.reduction.c_str())
                   .attribute("ignore_index", a.ignore_index);
             }}};

Tensor nll(const Tensor& log_input, const Tensor& labels) { return nll(log_input, labels, {}); }
Tensor nll(const Tensor& log_input, const Tensor& labels, const NllOptions& options) {
  const Call call{&kNll, Attributes::of(NllAttributes{options.ignore_index, options.reduction})};
  return apply_to_classes(call, log_input, labels, options.weight);
}

}  // namespace pare
