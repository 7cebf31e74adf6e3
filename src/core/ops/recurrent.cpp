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

struct WeightSizes {
  std::int64_t gates, in, hidden, out;
};

void check_direction(const InferArgs& args, int direction, const WeightSizes& sizes) {
  const int first = kWeightIh + direction * kDirectionInputs;
  const std::int64_t rows = sizes.gates * sizes.hidden;
  const char* where = args.call.op->name;
  PARE_CHECK(args.has(first) && args.has(first + 1), invalid_argument, where,
             "expected two weights for each direction, got none as input {}",
             args.has(first) ? first + 1 : first);
  check_matrix(args, first, rows, sizes.in);
  check_matrix(args, first + 1, rows, sizes.out);
  PARE_CHECK(args.has(kWeightHr) == args.has(kWeightHr + direction), invalid_argument, where,
             "expected a projection in each direction or none, got input {}",
             args.has(kWeightHr) ? kWeightHr : kWeightHr + direction);
  if (args.has(kWeightHr)) check_matrix(args, kWeightHr + direction, sizes.out, sizes.hidden);
  PARE_CHECK(args.has(first + 2) == args.has(first + 3) && args.has(first + 2) == args.has(kBiasIh),
             invalid_argument, where,
             "expected both biases in each direction or none, got input {}",
             args.has(first + 2) ? first + 2 : first + 3);
  for (int i = first + 2; i < first + 4; ++i)
    PARE_CHECK(!args.has(i) || (args.shape(i).rank() == 1 && args.shape(i)[0] == rows),
               shape_mismatch, where, "expected a bias of shape [{}] as input {}, got {}", rows, i,
               args.shape(i));
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

RecurrentSizes::RecurrentSizes(const Shape& x, const Shape& weight_hh, std::int64_t gates,
                               const std::string& direction, bool x_batch_first)
    : steps(x[x_batch_first ? 1 : 0]),
      batch(x[x_batch_first ? 0 : 1]),
      in(x[2]),
      hidden(weight_hh[0] / gates),
      out(weight_hh[1]),
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

void check_without_cell(const char* where, const RecurrentOperands& operands) {
  const auto refuse = [&](const char* name, const Tensor& t) {
    PARE_CHECK(!t.defined(), invalid_argument, where, "expected no {}, got shape {}", name,
               t.shape());
  };
  refuse("c0", operands.c0);
  refuse("peepholes", operands.peepholes);
  refuse("weights.hr", operands.weights.hr);
  refuse("backward.hr", operands.backward.hr);
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
  const bool projected = args.has(kWeightHr);
  PARE_CHECK(!projected || args.shape(kWeightHr).rank() == 2, shape_mismatch, where,
             "expected a projection [P, H], got {}", args.shape(kWeightHr));
  const std::int64_t out = hh[1];
  const std::int64_t hidden = projected ? args.shape(kWeightHr)[1] : out;
  const WeightSizes sizes{form.gates, x[2], hidden, out};
  check_direction(args, 0, sizes);
  if (two) check_direction(args, 1, sizes);
  PARE_CHECK(two || !args.has(kWeightHr + 1), invalid_argument, where,
             "expected weights of one direction, got input {}", kWeightHr + 1);
  for (int i = kWeightIh + kDirectionInputs; !two && i < kInitialH; ++i)
    PARE_CHECK(!args.has(i), invalid_argument, where,
               "expected weights of one direction, got input {}", i);
  const std::int64_t directions = two ? 2 : 1;
  const int batch_axis = batch_first ? 0 : 1;
  Shape cells{directions};
  cells.append(x, batch_axis);
  Shape state = cells;
  state.append(out);
  cells.append(hidden);
  const auto check_state = [&](int i, const Shape& expected) {
    PARE_CHECK(!args.has(i) || args.shape(i) == expected, shape_mismatch, where,
               "expected a first state of shape {}, got {}", expected, args.shape(i));
  };
  check_state(kInitialH, state);
  check_state(kInitialC, cells);
  PARE_CHECK(!args.has(kPeepholes) || args.shape(kPeepholes) == Shape({directions, 3 * hidden}),
             shape_mismatch, where, "expected peepholes of shape [{}, {}], got {}", directions,
             3 * hidden, args.shape(kPeepholes));
  if (args.has(kLengths)) {
    const Shape& lengths = args.shape(kLengths);
    PARE_CHECK(lengths.rank() == 1 && lengths.same_axis(0, x, batch_axis), shape_mismatch, where,
               "expected a length for each sample of x {}, got {}", x, lengths);
  }
  Shape y;
  y.append(x, 0);
  y.append(x, 1);
  y.append(directions * out);
  int output = 0;
  args.output(output++, y, DType::f32);
  args.output(output++, state, DType::f32);
  if (form.cell) args.output(output++, cells, DType::f32);
  const auto hide = [&](std::int64_t columns) {
    Shape saved{directions};
    saved.append(x, 0);
    saved.append(x, 1);
    saved.append(columns * hidden);
    args.output(output++, saved, DType::f32);
  };
  if (form.saved_columns > 0) hide(form.saved_columns);
  if (form.cell) hide(1);
  if (projected) hide(1);
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
  const std::int64_t out = sizes.out;
  const std::int64_t stride = sizes.directions * out;
  Tensor before = Tensor::empty({sizes.rows(), out});
  float* to = before.mutable_data<float>();
  order.clear_inactive(to, out, out);
  for (std::int64_t n = 0; n < sizes.batch; ++n)
    for (std::int64_t s = 0; s < order.length(n); ++s) {
      float* row = to + order.row(direction, s, n) * out;
      if (s > 0)
        std::copy_n(y + order.row(direction, s - 1, n) * stride + direction * out, out, row);
      else if (h0)
        std::copy_n(h0 + (direction * sizes.batch + n) * out, out, row);
      else
        std::fill_n(row, out, 0.0F);
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

Tensor weight_gradient(const RecurrentEngine& engine, const float* before, std::int64_t rows,
                       std::int64_t inner, MatrixView products, std::int64_t columns) {
  Tensor dw = Tensor::empty({columns, inner});
  RowProduct(engine, before, rows, inner)
      .run(columns, products.data, products.stride, dw.mutable_data<float>());
  return dw;
}

RecurrentGradients::RecurrentGradients(BackwardArgs& args, const RecurrentSizes& sizes,
                                       const RecurrentEngine& engine, bool rounded)
    : args_(args), sizes_(sizes), engine_(engine), rounded_(rounded) {
  x_ = rounded ? rounded_to_codes(args.input(kSequence).data<float>(), sizes.rows(), sizes.in)
               : args.input(kSequence);
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
  if (args_.needs(kWeightIh + first))
    args_.set(kWeightIh + first,
              weight_gradient(engine_, x_.data<float>(), rows, in, {g.data, g.stride}, g.columns));
  if (args_.needs(kWeightHh + first)) {
    const std::int64_t out = sizes_.out;
    Tensor dw = Tensor::empty({g.columns, out});
    float* to = dw.mutable_data<float>();
    float* last = to + together * out;
    Tensor codes, last_codes;
    if (rounded_) before = (codes = rounded_to_codes(before, rows, out)).data<float>();
    if (rounded_ && last_before)
      last_before = (last_codes = rounded_to_codes(last_before, rows, out)).data<float>();
    const RowProduct product(engine_, before, rows, out);
    if (g.last_of_h == together && !last_before) {
      product.run(g.columns, g.data, g.stride, to);
    } else {
      product.run(together, g.data, g.stride, to);
      if (last_before)
        RowProduct(engine_, last_before, rows, out)
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

void link_recurrent(const RecurrentForm& form, bool bidirectional, bool rests,
                    ChannelLinks& links) {
  const bool projected = links.has(in(kWeightHr));
  const std::int64_t out_features = links.shape(in(kWeightHh))[1];
  const std::int64_t hidden = links.shape(in(kWeightHh))[0] / form.gates;
  const Operand h_n = out(1);
  // Zero rows and columns of the weights leave every gate of unit k at its value for 0. Where the
  // functions of candidate and cell are 0 there, a state that began at 0 stays there: removed is
  // zeroed. A feature that is projected is 0 whatever the functions are.
  const bool features_free = projected || rests;
  const Operand cells = projected || form.cell ? out(2) : h_n;
  if (features_free && links.has(in(kInitialH))) links.tie(in(kInitialH), 2, h_n, 2);
  if (rests && links.has(in(kInitialC))) links.tie(in(kInitialC), 2, cells, 2);
  if (rests && form.cell && !projected) links.tie(cells, 2, h_n, 2);
  for (int d = 0; d < (bidirectional ? 2 : 1); ++d) {
    const int first = d * kDirectionInputs;
    links.reduce(in(kSequence), 2, in(kWeightIh + first), 1);
    if (projected) links.tie(in(kWeightHr + d), 0, h_n, 2);
    if (projected && rests) links.tie(in(kWeightHr + d), 1, cells, 2);
    if (features_free) links.tie(in(kWeightHh + first), 1, h_n, 2);
    for (std::int64_t k = 0; features_free && k < out_features; ++k)
      links.tie_at(out(0), 2, d * out_features + k, h_n, 2, k);
    for (std::int64_t k = 0; rests && k < hidden; ++k) {
      for (std::int64_t g = 0; g < form.gates; ++g)
        for (int i = kWeightIh; i <= kBiasHh; ++i)
          if (links.has(in(i + first))) links.tie_at(in(i + first), 0, g * hidden + k, cells, 2, k);
      for (std::int64_t p = 0; p < 3 && links.has(in(kPeepholes)); ++p)
        links.tie_at(in(kPeepholes), 1, p * hidden + k, cells, 2, k);
    }
  }
}

}  // namespace pare
