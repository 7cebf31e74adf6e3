// lstm: long short-term memory, one layer.
#include <algorithm>
#include <optional>

#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/lstm_step.h"
#include "core/ops/recurrent.h"

namespace pare {
namespace {

constexpr RecurrentForm kForm{.gates = 4, .cell = true, .saved_columns = 4};
enum Output : int { kY, kHn, kCn, kGates, kCells, kUnprojected };

const LstmAttributes& attributes_of(const Call& call) {
  return call.attributes.as<LstmAttributes>();
}
RecurrentSizes sizes_of(const Call& call, const Shape& x, const Shape& weight_hh) {
  const LstmAttributes& a = attributes_of(call);
  return {x, weight_hh, kForm.gates, a.direction, a.batch_first};
}
GateSettings::Attributes given(const LstmAttributes& a) {
  return {a.activations, a.activation_alpha, a.activation_beta, a.clip};
}
GateSettings settings_of(const Call& call) {
  const LstmAttributes& a = attributes_of(call);
  return {"lstm", {"Sigmoid", "Tanh", "Tanh"}, given(a), a.direction};
}

/// Which step a call takes.
class Steps {
 public:
  Steps(const Call& call, const float* peepholes, std::int64_t hidden)
      : peepholes_(peepholes), hidden_(hidden), input_forget_(attributes_of(call).input_forget) {
    using Kind = GateFunction::Kind;
    const bool plain = !peepholes && !input_forget_;
    if (plain && given(attributes_of(call)).unset()) return;
    settings_.emplace(settings_of(call));
    if (plain && settings_->clip() == 0 && settings_->are({Kind::sigmoid, Kind::tanh, Kind::tanh}))
      settings_.reset();
  }
  void forward(int direction, const LstmForward& s) const {
    settings_ ? lstm_general_forward(s, options(direction)) : lstm_usual_forward(s);
  }
  void backward(int direction, const LstmBackward& s) const {
    settings_ ? lstm_general_backward(s, options(direction)) : lstm_usual_backward(s);
  }

 private:
  LstmOptions options(int direction) const {
    return {settings_->of(direction), peepholes_ ? peepholes_ + direction * 3 * hidden_ : nullptr,
            input_forget_};
  }
  std::optional<GateSettings> settings_;  // none: the usual
  const float* peepholes_;
  std::int64_t hidden_;
  bool input_forget_;
};

void infer_lstm(InferArgs& args) {
  const LstmAttributes& a = attributes_of(args.call);
  infer_recurrent(args, kForm, a.direction, a.batch_first);
  if (!given(a).unset()) settings_of(args.call);
}

/// Of one direction, [3H], given those before the gates' functions [rows, 4H].
void add_peephole_gradient(const RecurrentSizes& sizes, const StepOrder& order, int direction,
                           const float* dgates, const float* cells, const float* c0, float* to) {
  const std::int64_t n = sizes.hidden;
  for (std::int64_t i = 0; i < sizes.batch; ++i)
    for (std::int64_t s = 0; s < order.length(i); ++s) {
      const std::int64_t row = order.row(direction, s, i);
      const float* d = dgates + row * 4 * n;
      const float* before = s > 0 ? cells + order.row(direction, s - 1, i) * n
                            : c0  ? c0 + (direction * sizes.batch + i) * n
                                  : nullptr;
      for (std::int64_t k = 0; before && k < n; ++k) {
        to[k] += d[k] * before[k];
        to[n + k] += d[n + k] * before[k];
      }
      for (std::int64_t k = 0; k < n; ++k) to[2 * n + k] += d[3 * n + k] * cells[row * n + k];
    }
}

}  // namespace

void lstm_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                  std::span<Tensor> outputs) {
  const RecurrentSizes sizes = sizes_of(call, inputs[kSequence].shape(), inputs[kWeightHh].shape());
  const Steps steps(call, data_of(inputs, kPeepholes), sizes.hidden);
  const StepOrder order("lstm", sizes, has_input(inputs, kLengths) ? inputs[kLengths] : Tensor());
  const bool projected = has_input(inputs, kWeightHr);
  const bool rounded = attributes_of(call).dynamic_quantize;
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t out = sizes.out;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * out;
  Tensor gates = or_scratch(outputs[kGates], {sizes.directions, sizes.rows(), width});
  Tensor cells = or_scratch(outputs[kCells], {sizes.directions, sizes.rows(), hidden});
  Tensor whole = projected
                     ? or_scratch(outputs[kUnprojected], {sizes.directions, sizes.rows(), hidden})
                     : Tensor();
  float* y = outputs[kY].mutable_data<float>();
  float* h_n = outputs[kHn].mutable_data<float>();
  float* c_n = outputs[kCn].mutable_data<float>();
  float* all_gates = gates.mutable_data<float>();
  float* all_cells = cells.mutable_data<float>();
  float* all_whole = projected ? whole.mutable_data<float>() : nullptr;
  const float* h0 = data_of(inputs, kInitialH);
  const float* c0 = data_of(inputs, kInitialC);
  order.clear_inactive(y, y_stride, y_stride);
  for (int d = 0; d < sizes.directions; ++d) {
    const int first = d * kDirectionInputs;
    float* own_gates = all_gates + d * sizes.rows() * width;
    float* own_cells = all_cells + d * sizes.rows() * hidden;
    float* own_whole = all_whole + (projected ? d * sizes.rows() * hidden : 0);
    if (projected) order.clear_inactive(own_whole, hidden, hidden);
    const auto product_of = [&](int input, std::int64_t rows, WeightProduct::For use) {
      return WeightProduct(engine, inputs, {input, 0, rows}, rounded, use);
    };
    product_of(kWeightIh + first, width, WeightProduct::For::sequence)
        .run(sizes.rows(), inputs[kSequence].data<float>(), own_gates, width);
    const Tensor bias = summed_bias(inputs, d, width);
    const float* b = bias.data<float>();
    const WeightProduct product = product_of(kWeightHh + first, width, WeightProduct::For::steps);
    std::optional<WeightProduct> projection;
    if (projected) projection.emplace(product_of(kWeightHr + d, out, WeightProduct::For::steps));
    for_samples(sizes, 4, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      const std::int64_t sample = d * sizes.batch + begin;
      float* h = h_n + sample * out;  // the states of these samples, at all times
      float* c = c_n + sample * hidden;
      copy_or_clear(h0 ? h0 + sample * out : nullptr, count * out, h);
      copy_or_clear(c0 ? c0 + sample * hidden : nullptr, count * hidden, c);
      Tensor scratch = Tensor::empty({count, width});
      float* recurrent = scratch.mutable_data<float>();
      // What is projected, and what that gives.
      Tensor tall = projected ? Tensor::zeros({count, hidden}) : Tensor();
      Tensor flat = projected ? Tensor::empty({count, out}) : Tensor();
      for (std::int64_t s = 0; s < sizes.steps; ++s) {
        product.run(count, h, recurrent, width);
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          float* to = projected ? tall.mutable_data<float>() + i * hidden : h + i * hidden;
          float* kept = projected ? own_whole + row * hidden : y + row * y_stride + d * hidden;
          steps.forward(d, {hidden, own_gates + row * width, recurrent + i * width, b,
                            c + i * hidden, own_cells + row * hidden, to, kept});
        }
        if (!projected) continue;
        projection->run(count, tall.data<float>(), flat.mutable_data<float>(), out);
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const float* from = flat.data<float>() + i * out;
          std::copy_n(from, out, h + i * out);
          std::copy_n(from, out, y + order.row(d, s, begin + i) * y_stride + d * out);
        }
      }
    });
  }
}

void lstm_backward(const RecurrentEngine& engine, BackwardArgs& args) {
  const RecurrentSizes sizes =
      sizes_of(args.call(), args.input_shape(kSequence), args.input_shape(kWeightHh));
  const Steps steps(args.call(), data_of(args, kPeepholes), sizes.hidden);
  const StepOrder order("lstm", sizes, has_input(args, kLengths) ? args.input(kLengths) : Tensor());
  const bool projected = has_input(args, kWeightHr);
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t out = sizes.out;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * out;
  const Tensor dy = gradient_or_zeros(args, kY, args.output(kY).shape());
  // These become the gradients of the first states.
  Tensor dh_all = gradient_or_zeros(args, kHn, {sizes.directions, sizes.batch, out}).clone();
  Tensor dc_all = gradient_or_zeros(args, kCn, {sizes.directions, sizes.batch, hidden}).clone();
  float* dh_data = dh_all.mutable_data<float>();
  float* dc_data = dc_all.mutable_data<float>();
  const float* h0 = data_of(args, kInitialH);
  const Tensor zeros = Tensor::zeros({hidden});
  const float* c0 = data_of(args, kInitialC);
  const float* y = args.output(kY).data<float>();
  const bool rounded = attributes_of(args.call()).dynamic_quantize;
  RecurrentGradients gradients(args, sizes, engine, rounded);
  Tensor dgates = Tensor::empty({sizes.rows(), width});
  float* to = dgates.mutable_data<float>();
  Tensor dpeepholes =
      needs(args, kPeepholes) ? Tensor::zeros({sizes.directions, 3 * hidden}) : Tensor();
  Tensor dprojected = projected ? Tensor::empty({sizes.rows(), out}) : Tensor();
  for (int d = 0; d < sizes.directions; ++d) {
    const float* gates = args.output(kGates).data<float>() + d * sizes.rows() * width;
    const float* cells = args.output(kCells).data<float>() + d * sizes.rows() * hidden;
    const StepProduct product(engine, {data_of(args, kWeightHh + d * kDirectionInputs), out}, width,
                              out);
    std::optional<StepProduct> projection;
    if (projected) {
      projection.emplace(engine, MatrixView{data_of(args, kWeightHr + d), hidden}, out, hidden);
      order.clear_inactive(dprojected.mutable_data<float>(), out, out);
    }
    order.clear_inactive(to, width, width);
    for_samples(sizes, 4, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* dh = dh_data + (d * sizes.batch + begin) * out;
      float* dc = dc_data + (d * sizes.batch + begin) * hidden;
      Tensor scratch = Tensor::zeros({count, width});  // rows without a step stay 0
      float* dense = scratch.mutable_data<float>();
      // The gradients of h, with what flows into y, and of what is projected to it.
      Tensor flat = projected ? Tensor::zeros({count, out}) : Tensor();
      Tensor tall = projected ? Tensor::empty({count, hidden}) : Tensor();
      Tensor none = projected ? Tensor::zeros({hidden}) : Tensor();
      for (std::int64_t s = sizes.steps; s-- > 0;) {
        for (std::int64_t i = 0; projected && i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          const float* from = dy.data<float>() + row * y_stride + d * out;
          float* sum = flat.mutable_data<float>() + i * out;
          for (std::int64_t k = 0; k < out; ++k) sum[k] = from[k] + dh[i * out + k];
          std::copy_n(sum, out, dprojected.mutable_data<float>() + row * out);
          std::fill_n(dh + i * out, out, 0.0F);
        }
        if (projected)
          projection->run(count, flat.data<float>(), tall.mutable_data<float>(), false);
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t n = begin + i;
          if (!order.active(s, n)) continue;
          const std::int64_t row = order.row(d, s, n);
          const float* before = s > 0 ? cells + order.row(d, s - 1, n) * hidden
                                : c0  ? c0 + (d * sizes.batch + n) * hidden
                                      : zeros.data<float>();
          const float* from = projected ? tall.data<float>() + i * hidden
                                        : dy.data<float>() + row * y_stride + d * hidden;
          steps.backward(d, {hidden, gates + row * width, cells + row * hidden, before, from,
                             projected ? none.mutable_data<float>() : dh + i * hidden,
                             dc + i * hidden, to + row * width, dense + i * width});
        }
        product.run(count, dense, dh, true);
      }
    });
    const Tensor before = states_before(sizes, order, d, y, h0);
    gradients.add(d, {to, width, width, 3 * hidden}, before.data<float>(), nullptr);
    if (dpeepholes.defined())
      add_peephole_gradient(sizes, order, d, to, cells, c0,
                            dpeepholes.mutable_data<float>() + d * 3 * hidden);
    if (needs(args, kWeightHr + d)) {
      const float* whole = args.output(kUnprojected).data<float>() + d * sizes.rows() * hidden;
      const Tensor codes = rounded ? rounded_to_codes(whole, sizes.rows(), hidden) : Tensor();
      args.set(kWeightHr + d,
               weight_gradient(engine, rounded ? codes.data<float>() : whole, sizes.rows(), hidden,
                               {dprojected.data<float>(), out}, out));
    }
  }
  gradients.finish();
  if (needs(args, kInitialH)) args.set(kInitialH, std::move(dh_all));
  if (needs(args, kInitialC)) args.set(kInitialC, std::move(dc_all));
  if (dpeepholes.defined()) args.set(kPeepholes, std::move(dpeepholes));
}

constinit const OpDef kLstm = {
    .name = "lstm",
    .min_inputs = 3,
    .max_inputs = 15,
    .visible_outputs = 3,
    .hidden_outputs = 3,
    .infer = infer_lstm,
    .forward = [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) { lstm_forward(kPlainEngine, call, inputs, outputs); },
    .backward = [](BackwardArgs& args) { lstm_backward(kPlainEngine, args); },
    .saves_inputs = kSavedRecurrent | 1U << kInitialC | 1U << kPeepholes | 0b11U << kWeightHr,
    .saves_outputs = 1U << kY | 1U << kGates | 1U << kCells | 1U << kUnprojected,
    .products = kRecurrentProducts | 0b11U << kWeightHr,
    .kernels = &kernels::kLstm,
    .defaults = [] { return Attributes::of(LstmAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_recurrent(kForm, attributes_of(call).direction == "bidirectional",
                                      settings_of(call).rest(1), links);
                     }},
    // Quantized dynamically (dynamic_quantize), not statically. W_ih has its output channels.
    .quantization = {.weight_input = kWeightIh, .weight_axis = 0},
    .onnx = {.op_type = "LSTM", .opset = 7, .emit = [](const Call& call, OnnxEmitter& e) {
               const LstmAttributes& a = attributes_of(call);
               emit_recurrent(e,
                              {.op_type = "LSTM",
                               .gates = {0, 3, 1, 2},
                               .settings = settings_of(call),
                               .input_forget = a.input_forget},
                              a.direction, a.batch_first);
             }}};

Tensors lstm(const Tensor& x, const RecurrentOperands& operands, const LstmAttributes& attributes) {
  const RecurrentWeights& w = operands.weights;
  const RecurrentWeights& b = operands.backward;
  return apply_all(
      {&kLstm, Attributes::of(attributes)},
      detail::Borrowed(x, w.ih, w.hh, w.bias_ih, w.bias_hh, b.ih, b.hh, b.bias_ih, b.bias_hh,
                       operands.h0, operands.lengths, operands.c0, operands.peepholes, w.hr, b.hr));
}

}  // namespace pare
