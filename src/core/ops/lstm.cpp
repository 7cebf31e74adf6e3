// lstm: long short-term memory, one layer.
#include <algorithm>

#include "core/check.h"
#include "core/kernels.h"
#include "core/multiversion.h"
#include "core/ops/recurrent.h"
#include "core/vector_math.h"

namespace pare {
namespace {

constexpr RecurrentForm kForm{.gates = 4, .cell = true, .saved_columns = 4};
enum Output : int { kY, kHn, kCn, kGates, kCells };

const LstmAttributes& attributes_of(const Call& call) {
  return call.attributes.as<LstmAttributes>();
}
RecurrentSizes sizes_of(const Call& call, const Shape& x, const Shape& weight_hh) {
  const LstmAttributes& a = attributes_of(call);
  return {x, weight_hh, a.direction, a.batch_first};
}

/// A sample's step: what the gates get from x and become, from h; c and h before and after.
struct Forward {
  std::int64_t hidden;
  float* gates;            // [4H] in: W_ih·x, out: i f g o
  const float* recurrent;  // [4H] W_hh·h
  const float* bias;       // [4H]
  float* c_state;          // [H] c before, then after
  float* c;                // [H] c after
  float* h;
  float* y;
};
// One function a loop: g++ does not turn a loop with several of them into vector code.
PARE_INLINE void forward_step_body(const Forward& s) {
  const std::int64_t n = s.hidden;
  float* __restrict gates = s.gates;
  const float* __restrict r = s.recurrent;
  const float* __restrict b = s.bias;
  for (std::int64_t k = 0; k < 2 * n; ++k) gates[k] = vec::sigmoid(gates[k] + r[k] + b[k]);
  for (std::int64_t k = 2 * n; k < 3 * n; ++k) gates[k] = vec::tanh(gates[k] + r[k] + b[k]);
  for (std::int64_t k = 3 * n; k < 4 * n; ++k) gates[k] = vec::sigmoid(gates[k] + r[k] + b[k]);
  const float* __restrict f = s.gates + n;
  const float* __restrict g = s.gates + 2 * n;
  const float* __restrict o = s.gates + 3 * n;
  float* __restrict state = s.c_state;
  float* __restrict c = s.c;
  for (std::int64_t k = 0; k < n; ++k) c[k] = state[k] = f[k] * state[k] + gates[k] * g[k];
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  for (std::int64_t k = 0; k < n; ++k) y[k] = h[k] = o[k] * vec::tanh(c[k]);
}
PARE_MULTIVERSION(void, forward_step, (const Forward& s), (s))

struct Backward {
  std::int64_t hidden;
  const float* gates;  // [4H] i f g o
  const float* c;
  const float* c_before;
  const float* dy;
  float* dh;            // in: from the next step; out: 0, for the product to add to
  float* dc;            // in: from the next step; out: for the one before
  float* dgates;        // [4H] before the gates' functions
  float* dgates_dense;  // the same again
};
PARE_INLINE void backward_step_body(const Backward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict cells = s.c;
  const float* __restrict before = s.c_before;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict dc = s.dc;
  float* __restrict di = s.dgates;
  float* __restrict df = s.dgates + n;
  float* __restrict dg = s.dgates + 2 * n;
  float* __restrict d_o = s.dgates + 3 * n;
  float* __restrict ei = s.dgates_dense;
  float* __restrict ef = s.dgates_dense + n;
  float* __restrict eg = s.dgates_dense + 2 * n;
  float* __restrict eo = s.dgates_dense + 3 * n;
  for (std::int64_t k = 0; k < n; ++k) ei[k] = vec::tanh(cells[k]);
  for (std::int64_t k = 0; k < n; ++k) {
    const float i = gates[k];
    const float f = gates[n + k];
    const float g = gates[2 * n + k];
    const float o = gates[3 * n + k];
    const float t = ei[k];
    const float dout = dy[k] + dh[k];
    const float cell = dc[k] + dout * o * (1.0F - t * t);
    const float vi = cell * g * i * (1.0F - i);
    const float vf = cell * before[k] * f * (1.0F - f);
    const float vg = cell * i * (1.0F - g * g);
    const float vo = dout * t * o * (1.0F - o);
    di[k] = vi;
    df[k] = vf;
    dg[k] = vg;
    d_o[k] = vo;
    ei[k] = vi;
    ef[k] = vf;
    eg[k] = vg;
    eo[k] = vo;
    dc[k] = cell * f;
    dh[k] = 0.0F;
  }
}
PARE_MULTIVERSION(void, backward_step, (const Backward& s), (s))

void infer_lstm(InferArgs& args) {
  const LstmAttributes& a = attributes_of(args.call);
  infer_recurrent(args, kForm, a.direction, a.batch_first);
}

}  // namespace

void lstm_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                  std::span<Tensor> outputs) {
  const RecurrentSizes sizes = sizes_of(call, inputs[kSequence].shape(), inputs[kWeightHh].shape());
  const StepOrder order("lstm", sizes, has_input(inputs, kLengths) ? inputs[kLengths] : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  Tensor gates = or_scratch(outputs[kGates], {sizes.directions, sizes.rows(), width});
  Tensor cells = or_scratch(outputs[kCells], {sizes.directions, sizes.rows(), hidden});
  float* y = outputs[kY].mutable_data<float>();
  float* h_n = outputs[kHn].mutable_data<float>();
  float* c_n = outputs[kCn].mutable_data<float>();
  float* all_gates = gates.mutable_data<float>();
  float* all_cells = cells.mutable_data<float>();
  const float* h0 = data_of(inputs, kInitialH);
  const float* c0 = data_of(inputs, kInitialC);
  order.clear_inactive(y, y_stride, y_stride);
  for (int d = 0; d < sizes.directions; ++d) {
    const int first = d * kDirectionInputs;
    float* own_gates = all_gates + d * sizes.rows() * width;
    float* own_cells = all_cells + d * sizes.rows() * hidden;
    engine.multiply(sizes.rows(), width, sizes.in, {inputs[kSequence].data<float>(), sizes.in},
                    {data_of(inputs, kWeightIh + first), sizes.in, true}, own_gates, width, false);
    const Tensor bias = summed_bias(inputs, d, width);
    const float* b = bias.data<float>();
    const StepProduct product(engine, {data_of(inputs, kWeightHh + first), hidden, true}, hidden,
                              width);
    for_samples(sizes, 4, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* h = h_n + d * state + begin * hidden;  // the states of these samples, at all times
      float* c = c_n + d * state + begin * hidden;
      copy_or_clear(h0 ? h0 + d * state + begin * hidden : nullptr, count * hidden, h);
      copy_or_clear(c0 ? c0 + d * state + begin * hidden : nullptr, count * hidden, c);
      Tensor scratch = Tensor::empty({count, width});
      float* recurrent = scratch.mutable_data<float>();
      for (std::int64_t s = 0; s < sizes.steps; ++s) {
        product.run(count, h, recurrent, false);
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          forward_step({hidden, own_gates + row * width, recurrent + i * width, b, c + i * hidden,
                        own_cells + row * hidden, h + i * hidden, y + row * y_stride + d * hidden});
        }
      }
    });
  }
}

void lstm_backward(const RecurrentEngine& engine, BackwardArgs& args) {
  const RecurrentSizes sizes =
      sizes_of(args.call(), args.input_shape(kSequence), args.input_shape(kWeightHh));
  const StepOrder order("lstm", sizes, has_input(args, kLengths) ? args.input(kLengths) : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  const Shape states{sizes.directions, sizes.batch, hidden};
  const Tensor dy = gradient_or_zeros(args, kY, args.output(kY).shape());
  // These become the gradients of the first states.
  Tensor dh_all = gradient_or_zeros(args, kHn, states).clone();
  Tensor dc_all = gradient_or_zeros(args, kCn, states).clone();
  float* dh_data = dh_all.mutable_data<float>();
  float* dc_data = dc_all.mutable_data<float>();
  const float* h0 = data_of(args, kInitialH);
  const Tensor zeros = Tensor::zeros({hidden});
  const float* c0 = data_of(args, kInitialC);
  const float* y = args.output(kY).data<float>();
  RecurrentGradients gradients(args, sizes, engine);
  Tensor dgates = Tensor::empty({sizes.rows(), width});
  float* to = dgates.mutable_data<float>();
  for (int d = 0; d < sizes.directions; ++d) {
    const float* gates = args.output(kGates).data<float>() + d * sizes.rows() * width;
    const float* cells = args.output(kCells).data<float>() + d * sizes.rows() * hidden;
    const StepProduct product(engine, {data_of(args, kWeightHh + d * kDirectionInputs), hidden},
                              width, hidden);
    order.clear_inactive(to, width, width);
    for_samples(sizes, 4, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* dh = dh_data + d * state + begin * hidden;
      float* dc = dc_data + d * state + begin * hidden;
      Tensor scratch = Tensor::zeros({count, width});  // rows without a step stay 0
      float* dense = scratch.mutable_data<float>();
      for (std::int64_t s = sizes.steps; s-- > 0;) {
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t n = begin + i;
          if (!order.active(s, n)) continue;
          const std::int64_t row = order.row(d, s, n);
          const float* before = s > 0 ? cells + order.row(d, s - 1, n) * hidden
                                : c0  ? c0 + d * state + n * hidden
                                      : zeros.data<float>();
          backward_step({hidden, gates + row * width, cells + row * hidden, before,
                         dy.data<float>() + row * y_stride + d * hidden, dh + i * hidden,
                         dc + i * hidden, to + row * width, dense + i * width});
        }
        product.run(count, dense, dh, true);
      }
    });
    const Tensor before = states_before(sizes, order, d, y, h0);
    gradients.add(d, {to, width, width, 3 * hidden}, before.data<float>(), nullptr);
  }
  gradients.finish();
  if (needs(args, kInitialH)) args.set(kInitialH, std::move(dh_all));
  if (needs(args, kInitialC)) args.set(kInitialC, std::move(dc_all));
}

constinit const OpDef kLstm = {
    .name = "lstm",
    .min_inputs = 3,
    .max_inputs = 12,
    .visible_outputs = 3,
    .hidden_outputs = 2,
    .infer = infer_lstm,
    .forward = [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) { lstm_forward(kPlainEngine, call, inputs, outputs); },
    .backward = [](BackwardArgs& args) { lstm_backward(kPlainEngine, args); },
    .saves_inputs = kSavedRecurrent,
    .saves_outputs = 1U << kY | 1U << kGates | 1U << kCells,
    .products = kRecurrentProducts,
    .kernels = &kernels::kLstm,
    .defaults = [] { return Attributes::of(LstmAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_recurrent(kForm, attributes_of(call).direction == "bidirectional",
                                      links);
                     }},
    // There is no integer form of its products yet: it stays float. W_ih has its output channels.
    .quantization = {.weight_input = kWeightIh, .weight_axis = 0},
    .onnx = {.op_type = "LSTM", .opset = 14, .emit = [](const Call& call, OnnxEmitter& e) {
               const LstmAttributes& a = attributes_of(call);
               emit_recurrent(e, {.op_type = "LSTM", .gates = {0, 3, 1, 2}}, a.direction,
                              a.batch_first);
             }}};

Tensors lstm(const Tensor& x, const RecurrentOperands& operands, const LstmAttributes& attributes) {
  const RecurrentWeights& w = operands.weights;
  const RecurrentWeights& b = operands.backward;
  return apply_all({&kLstm, Attributes::of(attributes)},
                   detail::Borrowed(x, w.ih, w.hh, w.bias_ih, w.bias_hh, b.ih, b.hh, b.bias_ih,
                                    b.bias_hh, operands.h0, operands.lengths, operands.c0));
}

}  // namespace pare
