// rnn: a simple recurrent layer of tanh or relu units, or any of ONNX's functions.
#include <algorithm>

#include "core/check.h"
#include "core/kernels.h"
#include "core/multiversion.h"
#include "core/ops/recurrent.h"
#include "core/vector_math.h"

namespace pare {
namespace {

enum Output : int { kY, kHn, kSums };

const RnnAttributes& attributes_of(const Call& call) { return call.attributes.as<RnnAttributes>(); }
RecurrentSizes sizes_of(const Call& call, const Shape& x, const Shape& weight_hh) {
  const RnnAttributes& a = attributes_of(call);
  return {x, weight_hh, 1, a.direction, a.batch_first};
}
GateSettings settings_of(const Call& call) {
  const RnnAttributes& a = attributes_of(call);
  return {"rnn",
          {a.nonlinearity == "relu" ? "Relu" : "Tanh"},
          {a.activations, a.activation_alpha, a.activation_beta, a.clip},
          a.direction};
}

/// Which function a call has.
struct Function {
  explicit Function(const Call& call) : settings(settings_of(call)) {
    rectified = settings.are({GateFunction::Kind::relu});
    usual = settings.clip() == 0 && (rectified || settings.are({GateFunction::Kind::tanh}));
  }
  GateSettings settings;
  bool rectified;
  bool usual;  // else what the function gets is saved, before it is clipped
};
RecurrentForm form_of(const Function& function) {
  return {.gates = 1, .cell = false, .saved_columns = function.usual ? 0 : 1};
}

struct Forward {
  std::int64_t hidden;
  const float* from_x;
  const float* recurrent;
  const float* bias;
  float* h;
  float* y;
};
PARE_INLINE void forward_step_body(const Forward& s, bool rectified) {
  const float* __restrict x = s.from_x;
  const float* __restrict r = s.recurrent;
  const float* __restrict b = s.bias;
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  if (rectified) {
    for (std::int64_t k = 0; k < s.hidden; ++k) {
      const float v = x[k] + r[k] + b[k];
      y[k] = h[k] = v < 0.0F ? 0.0F : v;  // NaN passes
    }
    return;
  }
  for (std::int64_t k = 0; k < s.hidden; ++k) y[k] = h[k] = vec::tanh(x[k] + r[k] + b[k]);
}
PARE_MULTIVERSION(void, forward_step, (const Forward& s, bool rectified), (s, rectified))

void general_forward(const Forward& s, const GateFunctions& f, float* sums) {
  for (std::int64_t k = 0; k < s.hidden; ++k) {
    sums[k] = s.from_x[k] + s.recurrent[k] + s.bias[k];
    s.y[k] = s.h[k] = f.at(0, sums[k]);
  }
}

struct Backward {
  std::int64_t hidden;
  const float* y;
  const float* dy;
  float* dh;     // in: from the next step; out: 0, for the product to add to
  float* dgate;  // before the function
  float* dense;  // the same again
};
PARE_INLINE void backward_step_body(const Backward& s, bool rectified) {
  const float* __restrict y = s.y;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict to = s.dgate;
  float* __restrict dense = s.dense;
  for (std::int64_t k = 0; k < s.hidden; ++k) {
    const float d = dy[k] + dh[k];
    const float v = rectified ? (y[k] > 0.0F ? d : 0.0F) : d * (1.0F - y[k] * y[k]);
    to[k] = v;
    dense[k] = v;
    dh[k] = 0.0F;
  }
}
PARE_MULTIVERSION(void, backward_step, (const Backward& s, bool rectified), (s, rectified))

void general_backward(const Backward& s, const GateFunctions& f, const float* sums) {
  for (std::int64_t k = 0; k < s.hidden; ++k) {
    s.dgate[k] = s.dense[k] = (s.dy[k] + s.dh[k]) * f.slope(0, sums[k]);
    s.dh[k] = 0;
  }
}

void infer_rnn(InferArgs& args) {
  const RnnAttributes& a = attributes_of(args.call);
  PARE_CHECK(a.nonlinearity == "tanh" || a.nonlinearity == "relu", invalid_argument, "rnn",
             "expected the nonlinearity tanh or relu, got '{}'", a.nonlinearity);
  PARE_CHECK(a.activations.empty() || a.nonlinearity == "tanh", invalid_argument, "rnn",
             "expected activations or the nonlinearity relu, got '{}' and it", a.activations);
  infer_recurrent(args, form_of(Function(args.call)), a.direction, a.batch_first);
}

}  // namespace

void rnn_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                 std::span<Tensor> outputs) {
  const RecurrentSizes sizes = sizes_of(call, inputs[kSequence].shape(), inputs[kWeightHh].shape());
  const Function function(call);
  const bool rounded = attributes_of(call).dynamic_quantize;
  const StepOrder order("rnn", sizes, has_input(inputs, kLengths) ? inputs[kLengths] : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  Tensor saved = function.usual
                     ? Tensor()
                     : or_scratch(outputs[kSums], {sizes.directions, sizes.rows(), hidden});
  float* sums = function.usual ? nullptr : saved.mutable_data<float>();
  Tensor product_of_x = Tensor::empty({sizes.rows(), hidden});
  float* from_x = product_of_x.mutable_data<float>();
  float* y = outputs[kY].mutable_data<float>();
  float* h_n = outputs[kHn].mutable_data<float>();
  const float* h0 = data_of(inputs, kInitialH);
  order.clear_inactive(y, y_stride, y_stride);
  for (int d = 0; d < sizes.directions; ++d) {
    const int first = d * kDirectionInputs;
    WeightProduct(engine, inputs, {kWeightIh + first, 0, hidden}, rounded,
                  WeightProduct::For::sequence)
        .run(sizes.rows(), inputs[kSequence].data<float>(), from_x, hidden);
    const Tensor bias = summed_bias(inputs, d, hidden);
    const WeightProduct product(engine, inputs, {kWeightHh + first, 0, hidden}, rounded,
                                WeightProduct::For::steps);
    for_samples(sizes, 1, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* h = h_n + d * state + begin * hidden;
      copy_or_clear(h0 ? h0 + d * state + begin * hidden : nullptr, count * hidden, h);
      Tensor scratch = Tensor::empty({count, hidden});
      float* recurrent = scratch.mutable_data<float>();
      for (std::int64_t s = 0; s < sizes.steps; ++s) {
        product.run(count, h, recurrent, hidden);
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          const Forward step{hidden,
                             from_x + row * hidden,
                             recurrent + i * hidden,
                             bias.data<float>(),
                             h + i * hidden,
                             y + row * y_stride + d * hidden};
          if (function.usual)
            forward_step(step, function.rectified);
          else
            general_forward(step, function.settings.of(d),
                            sums + (d * sizes.rows() + row) * hidden);
        }
      }
    });
  }
}

void rnn_backward(const RecurrentEngine& engine, BackwardArgs& args) {
  const RecurrentSizes sizes =
      sizes_of(args.call(), args.input_shape(kSequence), args.input_shape(kWeightHh));
  const Function function(args.call());
  const StepOrder order("rnn", sizes, has_input(args, kLengths) ? args.input(kLengths) : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  const float* y = args.output(kY).data<float>();
  const float* sums = function.usual ? nullptr : args.output(kSums).data<float>();
  const Tensor dy = gradient_or_zeros(args, kY, args.output(kY).shape());
  Tensor dh_all = gradient_or_zeros(args, kHn, {sizes.directions, sizes.batch, hidden}).clone();
  float* dh_data = dh_all.mutable_data<float>();
  RecurrentGradients gradients(args, sizes, engine, attributes_of(args.call()).dynamic_quantize);
  Tensor dgates = Tensor::empty({sizes.rows(), hidden});
  float* to = dgates.mutable_data<float>();
  for (int d = 0; d < sizes.directions; ++d) {
    const StepProduct product(engine, {data_of(args, kWeightHh + d * kDirectionInputs), hidden},
                              hidden, hidden);
    order.clear_inactive(to, hidden, hidden);
    for_samples(sizes, 1, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      float* dh = dh_data + d * state + begin * hidden;
      Tensor scratch = Tensor::zeros({count, hidden});  // rows without a step stay 0
      float* dense = scratch.mutable_data<float>();
      for (std::int64_t s = sizes.steps; s-- > 0;) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (!order.active(s, begin + i)) continue;
          const std::int64_t row = order.row(d, s, begin + i);
          const std::int64_t place = row * y_stride + d * hidden;
          const Backward step{hidden,          y + place,         dy.data<float>() + place,
                              dh + i * hidden, to + row * hidden, dense + i * hidden};
          if (function.usual)
            backward_step(step, function.rectified);
          else
            general_backward(step, function.settings.of(d),
                             sums + (d * sizes.rows() + row) * hidden);
        }
        product.run(count, dense, dh, true);
      }
    });
    const Tensor before = states_before(sizes, order, d, y, data_of(args, kInitialH));
    gradients.add(d, {to, hidden, hidden, 0}, before.data<float>(), nullptr);
  }
  gradients.finish();
  if (needs(args, kInitialH)) args.set(kInitialH, std::move(dh_all));
}

constinit const OpDef kRnn = {
    .name = "rnn",
    .min_inputs = 3,
    .max_inputs = 11,
    .visible_outputs = 2,
    .hidden_outputs = 1,
    .infer = infer_rnn,
    .forward = [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) { rnn_forward(kPlainEngine, call, inputs, outputs); },
    .backward = [](BackwardArgs& args) { rnn_backward(kPlainEngine, args); },
    .saves_inputs = kSavedRecurrent,
    .saves_outputs = 1U << kY | 1U << kSums,
    .products = kRecurrentProducts,
    .kernels = &kernels::kRnn,
    .defaults = [] { return Attributes::of(RnnAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       const Function function(call);
                       link_recurrent(form_of(function),
                                      attributes_of(call).direction == "bidirectional",
                                      function.settings.rest(0), links);
                     }},
    // Quantized dynamically (dynamic_quantize), not statically. W_ih has its output channels.
    .quantization = {.weight_input = kWeightIh, .weight_axis = 0},
    .onnx = {.op_type = "RNN", .opset = 7, .emit = [](const Call& call, OnnxEmitter& e) {
               const RnnAttributes& a = attributes_of(call);
               emit_recurrent(e, {.op_type = "RNN", .gates = {0}, .settings = settings_of(call)},
                              a.direction, a.batch_first);
             }}};

Tensors rnn(const Tensor& x, const RecurrentOperands& operands, const RnnAttributes& attributes) {
  check_without_cell("rnn", operands);
  const RecurrentWeights& w = operands.weights;
  const RecurrentWeights& b = operands.backward;
  return apply_all({&kRnn, Attributes::of(attributes)},
                   detail::Borrowed(x, w.ih, w.hh, w.bias_ih, w.bias_hh, b.ih, b.hh, b.bias_ih,
                                    b.bias_hh, operands.h0, operands.lengths));
}

}  // namespace pare
