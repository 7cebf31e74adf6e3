// RNNCell, LSTMCell and GRUCell: one step of a recurrent layer.
#include <cmath>

#include "core/check.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/init.h"
#include "pare/nn/recurrent.h"

namespace pare::nn {

RecurrentCell::RecurrentCell(const char* where, const CellOptions& options, std::int64_t gates)
    : where_(where) {
  PARE_CHECK(options.input_size > 0 && options.hidden_size > 0, invalid_argument, where,
             "expected input_size and hidden_size of at least 1, got {}, {}", options.input_size,
             options.hidden_size);
  weight_ih = Parameter({gates * options.hidden_size, options.input_size});
  weight_hh = Parameter({gates * options.hidden_size, options.hidden_size});
  if (!options.bias) return;
  bias_ih = Parameter({gates * options.hidden_size});
  bias_hh = Parameter({gates * options.hidden_size});
}

void RecurrentCell::members(Members& m) {
  m("weight_ih", weight_ih)("weight_hh", weight_hh)("bias_ih", bias_ih)("bias_hh", bias_hh);
}

void RecurrentCell::reset(Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight_hh.shape()[1]));
  for (Parameter* p : {&weight_ih, &weight_hh, &bias_ih, &bias_hh})
    if (p->defined()) p->set(init::uniform(p->shape(), generator, {.low = -bound, .high = bound}));
}

Tensor RecurrentCell::forward(const Tensor& x) { return run({x})[0]; }

Tensors RecurrentCell::run_step(const Tensors& inputs, std::size_t states) {
  PARE_CHECK(!inputs.empty() && inputs.size() <= states + 1, invalid_argument, where_,
             "expected 1 to {} inputs, got {}", states + 1, inputs.size());
  for (const Tensor& t : inputs)
    PARE_CHECK(!t.defined() || ((t.rank() == 1 || t.rank() == 2) && t.rank() == inputs[0].rank()),
               shape_mismatch, where_, "expected inputs [N, …] or all of one sample, got {}",
               t.shape());
  PARE_CHECK(inputs[0].defined(), invalid_argument, where_, "expected x, got an undefined tensor");
  const bool alone = inputs[0].rank() == 1;
  const std::int64_t hidden = weight_hh.shape()[1];
  const auto as_step = [&](std::size_t i) {
    if (i >= inputs.size() || !inputs[i].defined()) return Tensor();
    return reshape(inputs[i], {1, alone ? 1 : -1, inputs[i].dim(-1)});
  };
  const Tensors out = step(
      as_step(0),
      {.weights = {weight_ih, weight_hh, bias_ih, bias_hh}, .h0 = as_step(1), .c0 = as_step(2)});
  Tensors result;
  for (std::size_t s = 1; s <= states; ++s)
    result.push_back(alone ? reshape(out[s], {hidden}) : reshape(out[s], {-1, hidden}));
  return result;
}

RNNCell::RNNCell(const RNNCellOptions& options)
    : RecurrentCell("RNNCell", options, 1), attributes_{.nonlinearity = options.nonlinearity} {
  PARE_CHECK(options.nonlinearity == "tanh" || options.nonlinearity == "relu", invalid_argument,
             "RNNCell", "expected the nonlinearity tanh or relu, got '{}'", options.nonlinearity);
}
Tensors RNNCell::step(const Tensor& x, const RecurrentOperands& operands) {
  return rnn(x, operands, attributes_);
}
Tensors RNNCell::run(const Tensors& inputs) { return run_step(inputs, 1); }
std::string RNNCell::kind() const { return "RNNCell"; }

LSTMCell::LSTMCell(const CellOptions& options) : RecurrentCell("LSTMCell", options, 4) {}
Tensors LSTMCell::step(const Tensor& x, const RecurrentOperands& operands) {
  return lstm(x, operands);
}
Tensors LSTMCell::run(const Tensors& inputs) { return run_step(inputs, 2); }
std::string LSTMCell::kind() const { return "LSTMCell"; }

GRUCell::GRUCell(const CellOptions& options) : RecurrentCell("GRUCell", options, 3) {}
Tensors GRUCell::step(const Tensor& x, const RecurrentOperands& operands) {
  return gru(x, operands);
}
Tensors GRUCell::run(const Tensors& inputs) { return run_step(inputs, 1); }
std::string GRUCell::kind() const { return "GRUCell"; }

}  // namespace pare::nn
