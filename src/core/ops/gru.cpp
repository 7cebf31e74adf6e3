// gru: gated recurrent unit, one layer.
#include <algorithm>

#include "core/check.h"
#include "core/kernels.h"
#include "core/multiversion.h"
#include "core/ops/recurrent.h"
#include "core/vector_math.h"

namespace pare {
namespace {

// Saved are r, z, n and what r multiplies or makes: W_hn·h + b_hn, or r·h.
constexpr RecurrentForm kForm{.gates = 3, .cell = false, .saved_columns = 4};
enum Output : int { kY, kHn, kGates };

const GruAttributes& attributes_of(const Call& call) { return call.attributes.as<GruAttributes>(); }
RecurrentSizes sizes_of(const Call& call, const Shape& x, const Shape& weight_hh) {
  const GruAttributes& a = attributes_of(call);
  return {x, weight_hh, a.direction, a.batch_first};
}

/// A sample's step, in two halves where the reset comes before the product.
struct Forward {
  std::int64_t hidden;
  float* gates;            // [4H] in: W_ih·x of three gates, out: what is saved
  const float* recurrent;  // [3H] W_hh·h, r and z's alone in the first half
  const float* candidate;  // [H] W_hn·h, or of the second half W_hn·(r·h)
  const float* bias_ih;    // [3H] those of r and z summed with bias_hh's
  const float* bias_hn;    // [H]
  float* h;
  float* y;
};

/// Linear before reset: the whole step.
// One function a loop: g++ does not turn a loop with several of them into vector code.
PARE_INLINE void whole_step_body(const Forward& s) {
  const std::int64_t n = s.hidden;
  float* __restrict gates = s.gates;
  const float* __restrict rec = s.recurrent;
  const float* __restrict candidate = s.candidate;
  const float* __restrict b = s.bias_ih;
  const float* __restrict bn = s.bias_hn;
  for (std::int64_t k = 0; k < 2 * n; ++k) gates[k] = vec::sigmoid(gates[k] + rec[k] + b[k]);
  const float* __restrict gz = s.gates + n;
  float* __restrict gn = s.gates + 2 * n;
  float* __restrict gh = s.gates + 3 * n;
  for (std::int64_t k = 0; k < n; ++k) gh[k] = candidate[k] + bn[k];
  for (std::int64_t k = 0; k < n; ++k) gn[k] = vec::tanh(gn[k] + b[2 * n + k] + gates[k] * gh[k]);
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  for (std::int64_t k = 0; k < n; ++k) y[k] = h[k] = gn[k] + gz[k] * (h[k] - gn[k]);
}
PARE_MULTIVERSION(void, whole_step, (const Forward& s), (s))

/// Reset before the product: r, z and r·h.
PARE_INLINE void first_half_body(const Forward& s) {
  const std::int64_t n = s.hidden;
  float* __restrict gates = s.gates;
  const float* __restrict rec = s.recurrent;
  const float* __restrict b = s.bias_ih;
  for (std::int64_t k = 0; k < 2 * n; ++k) gates[k] = vec::sigmoid(gates[k] + rec[k] + b[k]);
  float* __restrict gh = s.gates + 3 * n;
  const float* __restrict h = s.h;
  for (std::int64_t k = 0; k < n; ++k) gh[k] = gates[k] * h[k];
}
PARE_MULTIVERSION(void, first_half, (const Forward& s), (s))

PARE_INLINE void second_half_body(const Forward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gz = s.gates + n;
  float* __restrict gn = s.gates + 2 * n;
  const float* __restrict candidate = s.candidate;
  const float* __restrict b = s.bias_ih + 2 * n;
  const float* __restrict bn = s.bias_hn;
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  for (std::int64_t k = 0; k < n; ++k) {
    const float c = vec::tanh(gn[k] + candidate[k] + b[k] + bn[k]);
    gn[k] = c;
    y[k] = h[k] = c + gz[k] * (h[k] - c);
  }
}
PARE_MULTIVERSION(void, second_half, (const Forward& s), (s))

struct Backward {
  std::int64_t hidden;
  const float* gates;   // [4H] as saved
  const float* before;  // [H] h
  const float* dy;
  float* dh;            // in: from the next step; out: but for what the products add
  float* dgates;        // [4H] of r z n before their functions, and of W_hn·h
  float* dense;         // [3H] what the products read: of r, z and W_hn·h
  const float* dreset;  // [H] of r·h, in the second half
};

PARE_INLINE void backward_whole_body(const Backward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict before = s.before;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict dr = s.dgates;
  float* __restrict dz = s.dgates + n;
  float* __restrict dn = s.dgates + 2 * n;
  float* __restrict dhn = s.dgates + 3 * n;
  float* __restrict er = s.dense;
  float* __restrict ez = s.dense + n;
  float* __restrict en = s.dense + 2 * n;
  for (std::int64_t k = 0; k < n; ++k) {
    const float r = gates[k];
    const float z = gates[n + k];
    const float c = gates[2 * n + k];
    const float d = dy[k] + dh[k];
    const float vn = d * (1.0F - z) * (1.0F - c * c);
    const float vz = d * (before[k] - c) * z * (1.0F - z);
    const float vr = vn * gates[3 * n + k] * r * (1.0F - r);
    const float vh = vn * r;
    dr[k] = vr;
    dz[k] = vz;
    dn[k] = vn;
    dhn[k] = vh;
    er[k] = vr;
    ez[k] = vz;
    en[k] = vh;
    dh[k] = d * z;
  }
}
PARE_MULTIVERSION(void, backward_whole, (const Backward& s), (s))

PARE_INLINE void backward_first_body(const Backward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict before = s.before;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict dz = s.dgates + n;
  float* __restrict dn = s.dgates + 2 * n;
  float* __restrict ez = s.dense + n;
  float* __restrict en = s.dense + 2 * n;
  for (std::int64_t k = 0; k < n; ++k) {
    const float z = gates[n + k];
    const float c = gates[2 * n + k];
    const float d = dy[k] + dh[k];
    const float vn = d * (1.0F - z) * (1.0F - c * c);
    const float vz = d * (before[k] - c) * z * (1.0F - z);
    dz[k] = vz;
    dn[k] = vn;
    ez[k] = vz;
    en[k] = vn;
    dh[k] = d * z;
  }
}
PARE_MULTIVERSION(void, backward_first, (const Backward& s), (s))

PARE_INLINE void backward_second_body(const Backward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict before = s.before;
  const float* __restrict dreset = s.dreset;
  float* __restrict dh = s.dh;
  float* __restrict dr = s.dgates;
  float* __restrict er = s.dense;
  for (std::int64_t k = 0; k < n; ++k) {
    const float r = gates[k];
    const float vr = dreset[k] * before[k] * r * (1.0F - r);
    dr[k] = vr;
    er[k] = vr;
    dh[k] += dreset[k] * r;
  }
}
PARE_MULTIVERSION(void, backward_second, (const Backward& s), (s))

void infer_gru(InferArgs& args) {
  const GruAttributes& a = attributes_of(args.call);
  infer_recurrent(args, kForm, a.direction, a.batch_first);
}

/// The columns of one block out of rows of several.
void gather_block(const float* from, std::int64_t stride, std::int64_t rows, std::int64_t width,
                  float* to) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(from + i * stride, width, to + i * width);
}

/// W_hh's rows of r and z, and of n.
struct Products {
  Products(const RecurrentEngine& engine, const float* weight, std::int64_t hidden, bool transposed)
      : both(engine, {weight, hidden, transposed}, transposed ? hidden : 2 * hidden,
             transposed ? 2 * hidden : hidden),
        last(engine, {weight + 2 * hidden * hidden, hidden, transposed}, hidden, hidden) {}
  StepProduct both, last;
};

}  // namespace

void gru_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                 std::span<Tensor> outputs) {
  const RecurrentSizes sizes = sizes_of(call, inputs[kSequence].shape(), inputs[kWeightHh].shape());
  const bool before_reset = attributes_of(call).linear_before_reset;
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
    engine.multiply(sizes.rows(), 3 * hidden, sizes.in, {inputs[kSequence].data<float>(), sizes.in},
                    {data_of(inputs, kWeightIh + first), sizes.in, true}, own_gates, width, false);
    // r and z take both biases at once, n's two stay apart.
    Tensor bias = summed_bias(inputs, d, 3 * hidden);
    Tensor bias_n = Tensor::zeros({hidden});
    if (const float* b = data_of(inputs, kBiasHh + first)) {
      const float* own = data_of(inputs, kBiasIh + first);
      std::copy_n(own + 2 * hidden, hidden, bias.mutable_data<float>() + 2 * hidden);
      std::copy_n(b + 2 * hidden, hidden, bias_n.mutable_data<float>());
    }
    const Products products(engine, data_of(inputs, kWeightHh + first), hidden, true);
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
          step(i, Forward{hidden, own_gates + row * width, recurrent + i * 2 * hidden,
                          candidate + i * hidden, bias.data<float>(), bias_n.data<float>(),
                          h + i * hidden, y + row * y_stride + d * hidden});
        }
      };
      for (std::int64_t s = 0; s < sizes.steps; ++s) {
        products.both.run(count, h, recurrent, false);
        if (before_reset) {
          products.last.run(count, h, candidate, false);
          each(s, [](std::int64_t, const Forward& f) { whole_step(f); });
          continue;
        }
        each(s, [&](std::int64_t i, const Forward& f) {
          first_half(f);
          std::copy_n(f.gates + 3 * hidden, hidden, reset + i * hidden);
        });
        products.last.run(count, reset, candidate, false);
        each(s, [](std::int64_t, const Forward& f) { second_half(f); });
      }
    });
  }
}

void gru_backward(const RecurrentEngine& engine, BackwardArgs& args) {
  const RecurrentSizes sizes =
      sizes_of(args.call(), args.input_shape(kSequence), args.input_shape(kWeightHh));
  const bool before_reset = attributes_of(args.call()).linear_before_reset;
  const StepOrder order("gru", sizes, has_input(args, kLengths) ? args.input(kLengths) : Tensor());
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t width = 4 * hidden;
  const std::int64_t y_stride = sizes.directions * hidden;
  const std::int64_t state = sizes.batch * hidden;
  const Tensor dy = gradient_or_zeros(args, kY, args.output(kY).shape());
  Tensor dh_all = gradient_or_zeros(args, kHn, {sizes.directions, sizes.batch, hidden}).clone();
  float* dh_data = dh_all.mutable_data<float>();
  RecurrentGradients gradients(args, sizes, engine);
  Tensor dgates = Tensor::empty({sizes.rows(), width});
  float* to = dgates.mutable_data<float>();
  for (int d = 0; d < sizes.directions; ++d) {
    const float* gates = args.output(kGates).data<float>() + d * sizes.rows() * width;
    const Tensor before =
        states_before(sizes, order, d, args.output(kY).data<float>(), data_of(args, kInitialH));
    const float* weight = data_of(args, kWeightHh + d * kDirectionInputs);
    const StepProduct whole(engine, {weight, hidden}, 3 * hidden, hidden);
    const Products halves(engine, weight, hidden, false);
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
          step(Backward{hidden, gates + row * width, before.data<float>() + row * hidden,
                        dy.data<float>() + row * y_stride + d * hidden, dh + i * hidden,
                        to + row * width, dense + i * 3 * hidden, dreset + i * hidden});
        }
      };
      for (std::int64_t s = sizes.steps; s-- > 0;) {
        if (before_reset) {
          each(s, [](const Backward& b) { backward_whole(b); });
          whole.run(count, dense, dh, true);
          continue;
        }
        each(s, [](const Backward& b) { backward_first(b); });
        gather_block(dense + 2 * hidden, 3 * hidden, count, hidden, last);
        halves.last.run(count, last, dreset, false);
        each(s, [](const Backward& b) { backward_second(b); });
        gather_block(dense, 3 * hidden, count, 2 * hidden, half);
        halves.both.run(count, half, dh, true);
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
    .saves_inputs = kSavedRecurrent & ~(1U << kInitialC),
    .saves_outputs = 1U << kY | 1U << kGates,
    .products = kRecurrentProducts,
    .kernels = &kernels::kGru,
    .defaults = [] { return Attributes::of(GruAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_recurrent(kForm, attributes_of(call).direction == "bidirectional",
                                      links);
                     }},
    // There is no integer form of its products yet: it stays float. W_ih has its output channels.
    .quantization = {.weight_input = kWeightIh, .weight_axis = 0},
    .onnx = {.op_type = "GRU", .opset = 14, .emit = [](const Call& call, OnnxEmitter& e) {
               const GruAttributes& a = attributes_of(call);
               emit_recurrent(e,
                              {.op_type = "GRU",
                               .gates = {1, 0, 2},
                               .linear_before_reset = a.linear_before_reset},
                              a.direction, a.batch_first);
             }}};

Tensors gru(const Tensor& x, const RecurrentOperands& operands, const GruAttributes& attributes) {
  PARE_CHECK(!operands.c0.defined(), invalid_argument, "gru", "expected no c0, got shape {}",
             operands.c0.shape());
  const RecurrentWeights& w = operands.weights;
  const RecurrentWeights& b = operands.backward;
  return apply_all({&kGru, Attributes::of(attributes)},
                   detail::Borrowed(x, w.ih, w.hh, w.bias_ih, w.bias_hh, b.ih, b.hh, b.bias_ih,
                                    b.bias_hh, operands.h0, operands.lengths));
}

}  // namespace pare
