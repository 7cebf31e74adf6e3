// What rnn, lstm and gru share: checks, the order of the steps, weight gradients, facts.
#include "core/ops/recurrent.h"

#include <algorithm>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/multiversion.h"

namespace pare {
namespace {

bool is_bidirectional(const char* where, const std::string& direction) {
  PARE_CHECK(direction == "forward" || direction == "reverse" || direction == "bidirectional",
             invalid_argument, where,
             "expected the direction forward, reverse or bidirectional, got '{}'", direction);
  return direction == "bidirectional";
}

void check_matrix(const InferArgs& args, int input, std::int64_t rows, std::int64_t columns) {
  const Shape& shape = args.shape(input);
  PARE_CHECK(shape.rank() == 2 && shape[0] == rows && shape[1] == columns, shape_mismatch,
             args.call.op->name, "expected a weight of shape [{}, {}] as input {}, got {}", rows,
             columns, input, shape);
}

void check_direction(const InferArgs& args, int first, std::int64_t gates, std::int64_t in,
                     std::int64_t hidden) {
  const char* where = args.call.op->name;
  PARE_CHECK(args.has(first) && args.has(first + 1), invalid_argument, where,
             "expected two weights for each direction, got none as input {}",
             args.has(first) ? first + 1 : first);
  check_matrix(args, first, gates * hidden, in);
  check_matrix(args, first + 1, gates * hidden, hidden);
  PARE_CHECK(args.has(first + 2) == args.has(first + 3) && args.has(first + 2) == args.has(kBiasIh),
             invalid_argument, where,
             "expected both biases in each direction or none, got input {}",
             args.has(first + 2) ? first + 2 : first + 3);
  for (int i = first + 2; i < first + 4; ++i)
    PARE_CHECK(!args.has(i) || (args.shape(i).rank() == 1 && args.shape(i)[0] == gates * hidden),
               shape_mismatch, where, "expected a bias of shape [{}] as input {}, got {}",
               gates * hidden, i, args.shape(i));
}

PARE_INLINE void run_sum_columns_body(const float* x, std::int64_t rows, std::int64_t stride,
                                      std::int64_t columns, float* out) {
  float* __restrict to = out;
  for (std::int64_t c = 0; c < columns; ++c) to[c] = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * stride;
    for (std::int64_t c = 0; c < columns; ++c) to[c] += row[c];
  }
}
PARE_MULTIVERSION(void, run_sum_columns,
                  (const float* x, std::int64_t rows, std::int64_t stride, std::int64_t columns,
                   float* out),
                  (x, rows, stride, columns, out))

/// Products aᵀ · b of a layer's rows: the gradients of its weights.
class RowProduct {
 public:
  /// b [rows, columns], dense.
  RowProduct(const RecurrentEngine& engine, const float* b, std::int64_t rows, std::int64_t columns)
      : engine_(engine), b_{b, columns}, rows_(rows), columns_(columns) {}
  /// c [count, columns] of a [rows, count], its rows `stride` apart.
  void run(std::int64_t count, const float* a, std::int64_t stride, float* c) const {
    if (engine_.packed && PackedMatrix::available() && rows_ > 0)
      packed_product(count, columns_, rows_, {a, stride, true}, b_, c, columns_, false);
    else
      engine_.multiply(count, columns_, rows_, {a, stride, true}, b_, c, columns_, false);
  }

 private:
  const RecurrentEngine& engine_;
  MatrixView b_;
  std::int64_t rows_, columns_;
};

}  // namespace

RecurrentSizes::RecurrentSizes(const Shape& x, const Shape& weight_hh, const std::string& direction,
                               bool x_batch_first)
    : steps(x[x_batch_first ? 1 : 0]),
      batch(x[x_batch_first ? 0 : 1]),
      in(x[2]),
      hidden(weight_hh[1]),
      directions(direction == "bidirectional" ? 2 : 1),
      batch_first(x_batch_first),
      reversed_alone(direction == "reverse") {}

StepOrder::StepOrder(const char* where, const RecurrentSizes& sizes, const Tensor& lengths)
    : sizes_(sizes) {
  if (!lengths.defined()) return;
  const Tensor wide = in_dtype(lengths, DType::i64);
  const auto* length = wide.data<std::int64_t>();
  lengths_.assign(length, length + wide.elements());
  for (const std::int64_t l : lengths_)
    PARE_CHECK(l >= 0 && l <= sizes.steps, out_of_range, where,
               "expected lengths from 0 to {}, got {}", sizes.steps, l);
}

void StepOrder::clear_inactive(float* to, std::int64_t stride, std::int64_t columns) const {
  if (lengths_.empty()) return;
  for (std::int64_t n = 0; n < sizes_.batch; ++n)
    for (std::int64_t t = length(n); t < sizes_.steps; ++t)
      std::fill_n(to + row_at(t, n) * stride, columns, 0.0F);
}

StepProduct::StepProduct(const RecurrentEngine& engine, MatrixView b, std::int64_t inner,
                         std::int64_t columns)
    : engine_(engine), b_(b), inner_(inner), columns_(columns) {
  if (engine.packed && PackedMatrix::available()) packed_ = PackedMatrix(b, inner, columns);
}

void StepProduct::run(std::int64_t rows, const float* a, float* c, bool accumulate) const {
  if (packed_.defined())
    packed_.multiply(rows, a, c, accumulate);
  else
    engine_.multiply(rows, columns_, inner_, {a, inner_}, b_, c, columns_, accumulate);
}

void infer_recurrent(InferArgs& args, const RecurrentForm& form, const std::string& direction,
                     bool batch_first) {
  const char* where = args.call.op->name;
  const bool two = is_bidirectional(where, direction);
  const Shape& x = args.shape(kSequence);
  PARE_CHECK(x.rank() == 3, shape_mismatch, where, "expected x of shape [{}], got {}",
             batch_first ? "N, T, I" : "T, N, I", x);
  for (int i = 0; i < args.inputs(); ++i) {
    if (!args.has(i)) continue;
    const bool integer = args.dtype(i) == DType::i64 || args.dtype(i) == DType::i32;
    PARE_CHECK(i == kLengths ? integer : args.dtype(i) == DType::f32, dtype_mismatch, where,
               "expected {} as input {}, got {}", i == kLengths ? "i64 or i32 lengths" : "f32", i,
               args.dtype(i));
  }
  const Shape& hh = args.shape(kWeightHh);
  PARE_CHECK(hh.rank() == 2, shape_mismatch, where, "expected a weight [{}·H, H], got {}",
             form.gates, hh);
  const std::int64_t hidden = hh[1];
  check_direction(args, kWeightIh, form.gates, x[2], hidden);
  if (two) check_direction(args, kWeightIh + kDirectionInputs, form.gates, x[2], hidden);
  for (int i = kWeightIh + kDirectionInputs; !two && i < kInitialH; ++i)
    PARE_CHECK(!args.has(i), invalid_argument, where,
               "expected weights of one direction, got input {}", i);
  const std::int64_t directions = two ? 2 : 1;
  const int batch_axis = batch_first ? 0 : 1;
  Shape state{directions};
  state.append(x, batch_axis);
  state.append(hidden);
  for (const int i : {static_cast<int>(kInitialH), static_cast<int>(kInitialC)})
    PARE_CHECK(!args.has(i) || args.shape(i) == state, shape_mismatch, where,
               "expected a first state of shape {}, got {}", state, args.shape(i));
  if (args.has(kLengths)) {
    const Shape& lengths = args.shape(kLengths);
    PARE_CHECK(lengths.rank() == 1 && lengths.same_axis(0, x, batch_axis), shape_mismatch, where,
               "expected a length for each sample of x {}, got {}", x, lengths);
  }
  Shape y;
  y.append(x, 0);
  y.append(x, 1);
  y.append(directions * hidden);
  int output = 0;
  args.output(output++, y, DType::f32);
  args.output(output++, state, DType::f32);
  if (form.cell) args.output(output++, state, DType::f32);
  const auto hide = [&](std::int64_t columns) {
    Shape saved{directions};
    saved.append(x, 0);
    saved.append(x, 1);
    saved.append(columns * hidden);
    args.output(output++, saved, DType::f32);
  };
  if (form.saved_columns > 0) hide(form.saved_columns);
  if (form.cell) hide(1);
}

Tensor summed_bias(std::span<const Tensor> inputs, int direction, std::int64_t count) {
  Tensor bias = Tensor::zeros({count});
  float* sum = bias.mutable_data<float>();
  for (const int input : {static_cast<int>(kBiasIh), static_cast<int>(kBiasHh)}) {
    const float* b = data_of(inputs, input + direction * kDirectionInputs);
    for (std::int64_t j = 0; b && j < count; ++j) sum[j] += b[j];
  }
  return bias;
}

Tensor states_before(const RecurrentSizes& sizes, const StepOrder& order, std::int64_t direction,
                     const float* y, const float* h0) {
  const std::int64_t hidden = sizes.hidden;
  const std::int64_t stride = sizes.directions * hidden;
  Tensor before = Tensor::empty({sizes.rows(), hidden});
  float* to = before.mutable_data<float>();
  order.clear_inactive(to, hidden, hidden);
  for (std::int64_t n = 0; n < sizes.batch; ++n)
    for (std::int64_t s = 0; s < order.length(n); ++s) {
      float* row = to + order.row(direction, s, n) * hidden;
      if (s > 0)
        std::copy_n(y + order.row(direction, s - 1, n) * stride + direction * hidden, hidden, row);
      else if (h0)
        std::copy_n(h0 + (direction * sizes.batch + n) * hidden, hidden, row);
      else
        std::fill_n(row, hidden, 0.0F);
    }
  return before;
}

Tensor gradient_or_zeros(const BackwardArgs& args, int output, const Shape& shape) {
  const Tensor& g = args.grad_output(output);
  return g.defined() ? in_format(g, MemoryFormat::row_major) : Tensor::zeros(shape);
}

void sum_columns(const float* x, std::int64_t rows, std::int64_t stride, std::int64_t columns,
                 float* out) {
  run_sum_columns(x, rows, stride, columns, out);
}

RecurrentGradients::RecurrentGradients(BackwardArgs& args, const RecurrentSizes& sizes,
                                       const RecurrentEngine& engine)
    : args_(args), sizes_(sizes), engine_(engine) {
  if (args.needs(kSequence)) dx_ = Tensor::empty(args.input_shape(kSequence));
}

void RecurrentGradients::add(int direction, const GateGradients& g, const float* before,
                             const float* last_before) {
  const int first = direction * kDirectionInputs;
  const std::int64_t rows = sizes_.rows();
  const std::int64_t in = sizes_.in;
  const std::int64_t hidden = sizes_.hidden;
  const std::int64_t together = g.columns - hidden;  // columns that x and h have in common
  if (dx_.defined())
    engine_.multiply(rows, in, g.columns, {g.data, g.stride},
                     {args_.input(kWeightIh + first).data<float>(), in}, dx_.mutable_data<float>(),
                     in, direction == 1);
  if (args_.needs(kWeightIh + first)) {
    Tensor dw = Tensor::empty({g.columns, in});
    RowProduct(engine_, args_.input(kSequence).data<float>(), rows, in)
        .run(g.columns, g.data, g.stride, dw.mutable_data<float>());
    args_.set(kWeightIh + first, std::move(dw));
  }
  if (args_.needs(kWeightHh + first)) {
    Tensor dw = Tensor::empty({g.columns, hidden});
    float* to = dw.mutable_data<float>();
    float* last = to + together * hidden;
    const RowProduct product(engine_, before, rows, hidden);
    if (g.last_of_h == together && !last_before) {
      product.run(g.columns, g.data, g.stride, to);
    } else {
      product.run(together, g.data, g.stride, to);
      if (last_before)
        RowProduct(engine_, last_before, rows, hidden)
            .run(hidden, g.data + g.last_of_h, g.stride, last);
      else
        product.run(hidden, g.data + g.last_of_h, g.stride, last);
    }
    args_.set(kWeightHh + first, std::move(dw));
  }
  const auto give_bias = [&](int input, std::int64_t last) {
    if (!needs(args_, input)) return;
    Tensor db = Tensor::empty({g.columns});
    float* to = db.mutable_data<float>();
    sum_columns(g.data, rows, g.stride, together, to);
    sum_columns(g.data + last, rows, g.stride, hidden, to + together);
    args_.set(input, std::move(db));
  };
  give_bias(kBiasIh + first, together);
  give_bias(kBiasHh + first, g.last_of_h);
}

void RecurrentGradients::finish() {
  if (dx_.defined()) args_.set(kSequence, std::move(dx_));
}

void link_recurrent(const RecurrentForm& form, bool bidirectional, ChannelLinks& links) {
  const std::int64_t hidden = links.shape(in(kWeightHh))[1];
  const Operand h_n = out(1);
  // Zero rows and columns of the weights leave every gate of unit k at its value for 0, with which
  // a state that began at 0 stays there: removed is zeroed.
  for (const int i : {static_cast<int>(kInitialH), static_cast<int>(kInitialC)})
    if (links.has(in(i))) links.tie(in(i), 2, h_n, 2);
  if (form.cell) links.tie(out(2), 2, h_n, 2);
  for (int d = 0; d < (bidirectional ? 2 : 1); ++d) {
    const int first = d * kDirectionInputs;
    links.reduce(in(kSequence), 2, in(kWeightIh + first), 1);
    links.tie(in(kWeightHh + first), 1, h_n, 2);
    for (std::int64_t k = 0; k < hidden; ++k) {
      links.tie_at(out(0), 2, d * hidden + k, h_n, 2, k);
      for (std::int64_t g = 0; g < form.gates; ++g)
        for (int i = kWeightIh; i <= kBiasHh; ++i)
          if (links.has(in(i + first))) links.tie_at(in(i + first), 0, g * hidden + k, h_n, 2, k);
    }
  }
}

}  // namespace pare
