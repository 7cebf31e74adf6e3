// What rnn, lstm and gru share: their operands, the order of the steps, products with the weights.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/ops/gemm.h"
#include "core/ops/packed_matrix.h"
#include "core/ops/recurrent_functions.h"
#include "pare/core/op.h"
#include "pare/core/ops/recurrent.h"
#include "pare/core/parallel.h"

namespace pare {

/// Inputs by number; those of the second direction come 4 later.
enum RecurrentInput : int {
  kSequence = 0,
  kWeightIh = 1,
  kWeightHh = 2,
  kBiasIh = 3,
  kBiasHh = 4,
  kInitialH = 9,
  kLengths = 10,
  kInitialC = 11,
  kPeepholes = 12,
  kWeightHr = 13  // of the second direction 14
};
inline constexpr int kDirectionInputs = 4;

/// The sequence and the matrices of both directions; the state between steps is not rounded.
inline constexpr std::uint32_t kRecurrentProducts = 0b1100111;
/// What every record says of its saved inputs: x, the matrices, states, lengths.
inline constexpr std::uint32_t kSavedRecurrent = 0b011001100111;

/// Whether the op has an input; those at the end may be missing.
inline bool has_input(std::span<const Tensor> inputs, int i) {
  return static_cast<std::size_t>(i) < inputs.size() &&
         inputs[static_cast<std::size_t>(i)].defined();
}
inline bool has_input(const BackwardArgs& args, int i) {
  return i < args.inputs() && args.has_input(i);
}
inline bool needs(const BackwardArgs& args, int i) { return has_input(args, i) && args.needs(i); }
/// Its elements, null where it is missing.
inline const float* data_of(std::span<const Tensor> inputs, int i) {
  return has_input(inputs, i) ? inputs[static_cast<std::size_t>(i)].data<float>() : nullptr;
}
inline const float* data_of(const BackwardArgs& args, int i) {
  return has_input(args, i) ? args.input(i).data<float>() : nullptr;
}

struct RecurrentSizes {
  RecurrentSizes(const Shape& x, const Shape& weight_hh, std::int64_t gates,
                 const std::string& direction, bool x_batch_first);
  std::int64_t steps, batch, in;
  std::int64_t hidden;  ///< cells
  std::int64_t out;     ///< features of h: fewer where it is projected
  std::int64_t directions;
  bool batch_first;
  bool reversed_alone;  ///< the one direction is the reverse one
  std::int64_t rows() const { return steps * batch; }
  bool reversed(std::int64_t direction) const { return direction == 1 || reversed_alone; }
};

/// Which row of x and y each sample reads at each of its steps.
class StepOrder {
 public:
  /// Throws out_of_range for a length that is none.
  StepOrder(const char* where, const RecurrentSizes& sizes, const Tensor& lengths);
  bool active(std::int64_t step, std::int64_t sample) const { return step < length(sample); }
  /// The row [rows()] of an active step.
  std::int64_t row(std::int64_t direction, std::int64_t step, std::int64_t sample) const {
    const std::int64_t t = sizes_.reversed(direction) ? length(sample) - 1 - step : step;
    return row_at(t, sample);
  }
  /// The row of a place, whether there is a step or not.
  std::int64_t row_at(std::int64_t t, std::int64_t sample) const {
    return sizes_.batch_first ? sample * sizes_.steps + t : t * sizes_.batch + sample;
  }
  std::int64_t length(std::int64_t sample) const {
    return lengths_.empty() ? sizes_.steps : lengths_[static_cast<std::size_t>(sample)];
  }
  /// Sets `columns` elements of each row without a step to 0.
  void clear_inactive(float* to, std::int64_t stride, std::int64_t columns) const;

 private:
  const RecurrentSizes& sizes_;
  std::vector<std::int64_t> lengths_;  // empty: all have all steps
};

/// Rows of one of a layer's weights, which is the input `input`.
struct WeightBlock {
  int input;
  std::int64_t first, count;
  bool operator==(const WeightBlock&) const = default;
};
/// The weights of a layer with dynamic_quantize as codes.
class RecurrentCodes {
 public:
  virtual ~RecurrentCodes() = default;
  /// c [rows, count], its rows `c_stride` apart: a [rows, inner], each row rounded to codes, by the
  /// block transposed. From any thread.
  virtual void multiply(const WeightBlock& block, std::int64_t rows, const float* a, float* c,
                        std::int64_t c_stride) const = 0;
};

/// How the products are computed: c = a·b, or += where the last argument is set.
struct RecurrentEngine {
  void (*multiply)(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b,
                   float* c, std::int64_t c_stride, bool accumulate);
  bool
      packed;  ///< weights of the steps are packed once (PackedMatrix), where the CPU has the loops
  /// In the place of the weights' elements, which forward does not read then; null: none.
  const RecurrentCodes* codes = nullptr;
};
/// The references': Eigen's products.
inline constexpr RecurrentEngine kPlainEngine{parallel_gemm, false};

/// Rows by a weight that stays for many steps.
class StepProduct {
 public:
  /// `b` is [inner, columns].
  StepProduct(const RecurrentEngine& engine, MatrixView b, std::int64_t inner,
              std::int64_t columns);
  /// c [rows, columns] = a [rows, inner] · b, or += ; dense but for c's rows. From any thread.
  void run(std::int64_t rows, const float* a, float* c, bool accumulate) const;

 private:
  const RecurrentEngine& engine_;
  MatrixView b_;
  std::int64_t inner_, columns_;
  PackedMatrix packed_;
};

/// Rows by a block of a weight, transposed, as a forward pass multiplies them: in float, rounded
/// before that (dynamic_quantize), or as codes.
class WeightProduct {
 public:
  enum class For : std::uint8_t { sequence, steps };  ///< all rows at once, on threads; or few
  WeightProduct(const RecurrentEngine& engine, std::span<const Tensor> inputs,
                const WeightBlock& block, bool rounded, For use);
  /// c [rows, count], dense, = a [rows, inner] · blockᵀ. `stride` of c's rows: of a sequence any,
  /// of steps `count`.
  void run(std::int64_t rows, const float* a, float* c, std::int64_t stride) const;

 private:
  void run_float(std::int64_t rows, const float* a, float* c, std::int64_t stride) const;
  const RecurrentEngine& engine_;
  WeightBlock block_;
  bool rounded_;
  std::int64_t inner_;
  const float* weight_ = nullptr;
  std::optional<StepProduct> steps_;
};

/// Whether the call is a recurrent layer with dynamic_quantize.
bool quantizes_dynamically(const Call& call);

/// What the blocks of a layer's weights are that its forward pass multiplies with; `inputs` are the
/// shapes of the call's (null: left out).
std::vector<WeightBlock> recurrent_blocks(const Call& call, std::span<const Shape* const> inputs);

/// x [rows, columns] rounded as dynamic_quantize says.
Tensor rounded_to_codes(const float* x, std::int64_t rows, std::int64_t columns);

/// Checks the operands of a layer with so many gates and states y, h_n (and c_n), and states its
/// outputs. Hidden ones, [D, T, N, …]: `saved_columns`·H, the cells, what is projected.
struct RecurrentForm {
  int gates;
  bool cell;                   ///< has c beside h
  std::int64_t saved_columns;  ///< columns of the hidden output in units of H, 0: none
};
/// For rnn and gru: throws invalid_argument where there is what only an lstm has.
void check_without_cell(const char* where, const RecurrentOperands& operands);
void infer_recurrent(InferArgs& args, const RecurrentForm& form, const std::string& direction,
                     bool batch_first);

/// Runs body(begin, end) over samples, on several threads where there is work for them.
template <class Body>
void for_samples(const RecurrentSizes& sizes, std::int64_t gates, const Body& body) {
  constexpr std::int64_t kWorthwhile = 1 << 20;  // multiplications for one thread
  const std::int64_t each = sizes.steps * gates * sizes.hidden * sizes.hidden;
  const std::int64_t grain =
      std::max<std::int64_t>(4, kWorthwhile / std::max<std::int64_t>(1, each));
  parallel_for(0, sizes.batch, grain, body);
}

/// The output, or memory of its shape where nobody keeps it.
inline Tensor or_scratch(const Tensor& output, const Shape& shape) {
  return output.defined() ? output : Tensor::empty(shape);
}

/// to = from, or 0 where that is null.
inline void copy_or_clear(const float* from, std::int64_t count, float* to) {
  if (from)
    std::copy_n(from, count, to);
  else
    std::fill_n(to, count, 0.0F);
}

/// b_ih + b_hh of one direction, zeros where there are none: [count].
Tensor summed_bias(std::span<const Tensor> inputs, int direction, std::int64_t count);

/// h before each step, by rows as in x: zeros where there is no step. [rows, out]
Tensor states_before(const RecurrentSizes& sizes, const StepOrder& order, std::int64_t direction,
                     const float* y, const float* h0);

/// The gradient that flows into an output, zeros where none does.
Tensor gradient_or_zeros(const BackwardArgs& args, int output, const Shape& shape);

/// out [columns] = the sums of the columns of x, rows `stride` apart.
void sum_columns(const float* x, std::int64_t rows, std::int64_t stride, std::int64_t columns,
                 float* out);

/// The gradients of x and the matrices of all directions, given those before the gates.
struct GateGradients {
  const float* data;  ///< [rows, stride] of this direction
  std::int64_t stride;
  /// Of W_ih·x + b_ih the first gates·H columns; of W_hh·h the same, but for the last H of them,
  /// which begin at column `last_of_h`.
  std::int64_t columns, last_of_h;
};
class RecurrentGradients {
 public:
  /// `rounded`: forward multiplied with rounded rows.
  RecurrentGradients(BackwardArgs& args, const RecurrentSizes& sizes, const RecurrentEngine& engine,
                     bool rounded);
  /// Of one direction's weights; adds to that of x. `before` [rows, out] is what W_hh was
  /// multiplied with, and `last_before` what its last H rows were (null: the same).
  void add(int direction, const GateGradients& g, const float* before, const float* last_before);
  /// Gives the gradient of x.
  void finish();

 private:
  BackwardArgs& args_;
  const RecurrentSizes& sizes_;
  const RecurrentEngine& engine_;
  bool rounded_;
  Tensor x_, dx_;
};

/// The gradient of a weight [columns, inner] with which rows of `before` [rows, inner] were
/// multiplied, given that of the products [rows, columns], `stride` apart.
Tensor weight_gradient(const RecurrentEngine& engine, const float* before, std::int64_t rows,
                       std::int64_t inner, MatrixView products, std::int64_t columns);

/// The channel rule: hidden unit k is row k of every gate, column k of W_hh, feature k of each
/// direction's y and of every state; with a projection, cell k is column k of W_hr and the features
/// of h are its rows. `rests`: a unit without weights stays 0, else hidden units are fixed.
void link_recurrent(const RecurrentForm& form, bool bidirectional, bool rests, ChannelLinks& links);

struct RecurrentOnnx {
  const char* op_type;
  std::vector<std::int64_t> gates;  ///< ours in ONNX's order
  const GateSettings& settings;
  bool linear_before_reset = false;
  bool input_forget = false;
};
void emit_recurrent(OnnxEmitter& e, const RecurrentOnnx& form, const std::string& direction,
                    bool batch_first);

/// Of the op that the call has.
void recurrent_forward(const RecurrentEngine& engine, const Call& call,
                       std::span<const Tensor> inputs, std::span<Tensor> outputs);
void lstm_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                  std::span<Tensor> outputs);
void lstm_backward(const RecurrentEngine& engine, BackwardArgs& args);
void gru_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                 std::span<Tensor> outputs);
void gru_backward(const RecurrentEngine& engine, BackwardArgs& args);
void rnn_forward(const RecurrentEngine& engine, const Call& call, std::span<const Tensor> inputs,
                 std::span<Tensor> outputs);
void rnn_backward(const RecurrentEngine& engine, BackwardArgs& args);

}  // namespace pare
