// gru: gated recurrent unit, one layer.
#include <algorithm>
#include <optional>

#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/gru_step.h"
#include "core/ops/recurrent.h"

namespace pare {
namespace {

// Saved are r, z, n and what r multiplies or makes: W_hn·h + b_hn, or r·h.
constexpr RecurrentForm kForm{.gates = 3, .cell = false, .saved_columns = 4};
enum Output : int { kY, kHn, kGates };

const GruAttributes& attributes_of(const Call& call) { return call.attributes.as<GruAttributes>(); }
RecurrentSizes sizes_of(const Call& call, const Shape& x, const Shape& weight_hh) {
  const GruAttributes& a = attributes_of(call);
  return {x, weight_hh, kForm.gates, a.direction, a.batch_first};
}
GateSettings::Attributes given(const GruAttributes& a) {
  return {a.activations, a.activation_alpha, a.activation_beta, a.clip};
}
GateSettings settings_of(const Call& call) {
  const GruAttributes& a = attributes_of(call);
  return {"gru", {"Sigmoid", "Tanh"}, given(a), a.direction};
}

/// Which steps a call takes.
class Steps {
 public:
  explicit Steps(const Call& call) {
    using Kind = GateFunction::Kind;
    if (given(attributes_of(call)).unset()) return;
    settings_.emplace(settings_of(call));
    if (settings_->clip() == 0 && settings_->are({Kind::sigmoid, Kind::tanh})) settings_.reset();
  }
  const GruSteps& steps() const { return settings_ ? kGeneralGruSteps : kUsualGruSteps; }
  const GateFunctions* functions(int direction) const {
    return settings_ ? &settings_->of(direction) : nullptr;
  }

 private:
  std::optional<GateSettings> settings_;  // none: the usual
};

void infer_gru(InferArgs& args) {
  const GruAttributes& a = attributes_of(args.call);
  infer_recurrent(args, kForm, a.direction, a.batch_first);
  if (!given(a).unset()) settings_of(args.call);
}

/// The columns of one block out of rows of several.
void gather_block(const float* from, std::int64_t stride, std::int64_t rows, std::int64_t width,
                  float* to) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(from + i * stride, width, to + i * width);
}

}  // namespace

void gru_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                 std::span<Tensor> outputs) {
  const RecurrentSizes sizes = sizes_of(call, inputs[kSequence].shape(), inputs[kWeightHh].shape());
  const bool before_reset = attributes_of(call).linear_before_reset;
  const bool rounded = attributes_of(call).dynamic_quantize;
  const Steps chosen(call);
  const GruSteps& steps = chosen.steps();
  const StepOrder order("gru", sizes, has_input(inputs, kLengths) ? inputs[kLengths] : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  Tensor gates = or_scratch(outputs[kGates], {sizes.directions, sizes.rows(), width});
  float* all_gates = gates.mutable_data<float>();
  float* y = outputs[kY].mutable_data<float>();
  float* h_n = outputs[kHn].mutable_data<float>();
  const float* h0 = data_of(inputs, kInitialH);
  order.clear_inactive(y, y_stride, y_stride);
  for (int d = 0; d < sizes.directions; ++d) {
    const int first = d * kDirectionInputs;
    float* own_gates = all_gates + d * sizes.rows() * width;
    WeightProduct(engine, inputs, {kWeightIh + first, 0, 3 * hidden}, rounded,
                  WeightProduct::For::sequence)
        .run(sizes.rows(), inputs[kSequence].data<float>(), own_gates, width);
    // r and z take both biases at once, n's two stay apart.
    Tensor bias = summed_bias(inputs, d, 3 * hidden);
    Tensor bias_n = Tensor::zeros({hidden});
    if (const float* b = data_of(inputs, kBiasHh + first)) {
      const float* own = data_of(inputs, kBiasIh + first);
      std::copy_n(own + 2 * hidden, hidden, bias.mutable_data<float>() + 2 * hidden);
      std::copy_n(b + 2 * hidden, hidden, bias_n.mutable_data<float>());
    }
    // Of the rows of r and z, and of n.
    const WeightProduct both(engine, inputs, {kWeightHh + first, 0, 2 * hidden}, rounded,
                             WeightProduct::For::steps);
    const WeightProduct last(engine, inputs, {kWeightHh + first, 2 * hidden, hidden}, rounded,
                             WeightProduct::For::steps);
    const GateFunctions* functions = chosen.functions(d);
    for_samples(sizes, 3, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* h = h_n + d * state + begin * hidden;
      copy_or_clear(h0 ? h0 + d * state + begin * hidden : nullptr, count * hidden, h);
      Tensor scratch = Tensor::empty({4, count, hidden});
      float* recurrent = scratch.mutable_data<float>();
      float* candidate = recurrent + 2 * count * hidden;
      float* reset = recurrent + 3 * count * hidden;
      std::fill_n(reset, count * hidden, 0.0F);
      const auto each = [&](std::int64_t s, auto step) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          step(i, GruForward{hidden, own_gates + row * width, recurrent + i * 2 * hidden,
                             candidate + i * hidden, bias.data<float>(), bias_n.data<float>(),
                             h + i * hidden, y + row * y_stride + d * hidden});
        }
      };
      for (std::int64_t s = 0; s < sizes.steps; ++s) {
        both.run(count, h, recurrent, 2 * hidden);
        if (before_reset) {
          last.run(count, h, candidate, hidden);
          each(s, [&](std::int64_t, const GruForward& f) { steps.whole(f, functions); });
          continue;
        }
        each(s, [&](std::int64_t i, const GruForward& f) {
          steps.first_half(f, functions);
          std::copy_n(f.gates + 3 * hidden, hidden, reset + i * hidden);
        });
        last.run(count, reset, candidate, hidden);
        each(s, [&](std::int64_t, const GruForward& f) { steps.second_half(f, functions); });
      }
    });
  }
}

void gru_backward(const RecurrentEngine& engine, BackwardArgs& args) {
  const RecurrentSizes sizes =
      sizes_of(args.call(), args.input_shape(kSequence), args.input_shape(kWeightHh));
  const bool before_reset = attributes_of(args.call()).linear_before_reset;
  const Steps chosen(args.call());
  const GruSteps& steps = chosen.steps();
  const StepOrder order("gru", sizes, has_input(args, kLengths) ? args.input(kLengths) : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  const Tensor dy = gradient_or_zeros(args, kY, args.output(kY).shape());
  Tensor dh_all = gradient_or_zeros(args, kHn, {sizes.directions, sizes.batch, hidden}).clone();
  float* dh_data = dh_all.mutable_data<float>();
  RecurrentGradients gradients(args, sizes, engine, attributes_of(args.call()).dynamic_quantize);
  Tensor dgates = Tensor::empty({sizes.rows(), width});
  float* to = dgates.mutable_data<float>();
  for (int d = 0; d < sizes.directions; ++d) {
    const float* gates = args.output(kGates).data<float>() + d * sizes.rows() * width;
    const Tensor before =
        states_before(sizes, order, d, args.output(kY).data<float>(), data_of(args, kInitialH));
    const float* weight = data_of(args, kWeightHh + d * kDirectionInputs);
    const StepProduct whole(engine, {weight, hidden}, 3 * hidden, hidden);
    const StepProduct both(engine, {weight, hidden}, 2 * hidden, hidden);
    const StepProduct candidate(engine, {weight + 2 * hidden * hidden, hidden}, hidden, hidden);
    const GateFunctions* functions = chosen.functions(d);
    order.clear_inactive(to, width, width);
    for_samples(sizes, 3, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* dh = dh_data + d * state + begin * hidden;
      Tensor scratch = Tensor::zeros({7, count, hidden});  // rows without a step stay 0
      float* dense = scratch.mutable_data<float>();
      float* half = dense + 3 * count * hidden;
      float* last = dense + 5 * count * hidden;
      float* dreset = dense + 6 * count * hidden;
      const auto each = [&](std::int64_t s, auto step) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          step(GruBackward{hidden, gates + row * width, before.data<float>() + row * hidden,
                           dy.data<float>() + row * y_stride + d * hidden, dh + i * hidden,
                           to + row * width, dense + i * 3 * hidden, dreset + i * hidden});
        }
      };
      for (std::int64_t s = sizes.steps; s-- > 0;) {
        if (before_reset) {
          each(s, [&](const GruBackward& b) { steps.backward_whole(b, functions); });
          whole.run(count, dense, dh, true);
          continue;
        }
        each(s, [&](const GruBackward& b) { steps.backward_first(b, functions); });
        gather_block(dense + 2 * hidden, 3 * hidden, count, hidden, last);
        candidate.run(count, last, dreset, false);
        each(s, [&](const GruBackward& b) { steps.backward_second(b, functions); });
        gather_block(dense, 3 * hidden, count, 2 * hidden, half);
        both.run(count, half, dh, true);
      }
    });
    if (before_reset) {
      gradients.add(d, {to, width, 3 * hidden, 3 * hidden}, before.data<float>(), nullptr);
      continue;
    }
    Tensor reset = Tensor::zeros({sizes.rows(), hidden});
    for (std::int64_t n = 0; n < sizes.batch; ++n)
      for (std::int64_t s = 0; s < order.length(n); ++s) {
        const std::int64_t row = order.row(d, s, n);
        std::copy_n(gates + row * width + 3 * hidden, hidden,
                    reset.mutable_data<float>() + row * hidden);
      }
    gradients.add(d, {to, width, 3 * hidden, 2 * hidden}, before.data<float>(),
                  reset.data<float>());
  }
  gradients.finish();
  if (needs(args, kInitialH)) args.set(kInitialH, std::move(dh_all));
}

constinit const OpDef kGru = {
    .name = "gru",
    .min_inputs = 3,
    .max_inputs = 11,
    .visible_outputs = 2,
    .hidden_outputs = 1,
    .infer = infer_gru,
    .forward = [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) { gru_forward(kPlainEngine, call, inputs, outputs); },
    .backward = [](BackwardArgs& args) { gru_backward(kPlainEngine, args); },
    .saves_inputs = kSavedRecurrent,
    .saves_outputs = 1U << kY | 1U << kGates,
    .products = kRecurrentProducts,
    .kernels = &kernels::kGru,
    .defaults = [] { return Attributes::of(GruAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_recurrent(kForm, attributes_of(call).direction == "bidirectional",
                                      settings_of(call).rest(1), links);
                     }},
    // Quantized dynamically (dynamic_quantize), not statically. W_ih has its output channels.
    .quantization = {.weight_input = kWeightIh, .weight_axis = 0},
    .onnx = {.op_type = "GRU", .opset = 7, .emit = [](const Call& call, OnnxEmitter& e) {
               const GruAttributes& a = attributes_of(call);
               emit_recurrent(e,
                              {.op_type = "GRU",
                               .gates = {1, 0, 2},
                               .settings = settings_of(call),
                               .linear_before_reset = a.linear_before_reset},
                              a.direction, a.batch_first);
             }}};

Tensors gru(const Tensor& x, const RecurrentOperands& operands, const GruAttributes& attributes) {
  check_without_cell("gru", operands);
  const RecurrentWeights& w = operands.weights;
  const RecurrentWeights& b = operands.backward;
  return apply_all({&kGru, Attributes::of(attributes)},
                   detail::Borrowed(x, w.ih, w.hh, w.bias_ih, w.bias_hh, b.ih, b.hh, b.bias_ih,
                                    b.bias_hh, operands.h0, operands.lengths));
}

}  // namespace pare
