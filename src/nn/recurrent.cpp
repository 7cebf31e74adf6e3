// RNN, LSTM and GRU of several layers.
#include "pare/nn/recurrent.h"

#include <cmath>

#include "core/check.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/normalization.h"
#include "pare/nn/init.h"

namespace pare::nn {
namespace {

constexpr const char* kNames[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"};
constexpr int kWeights = 5;  // of a layer and direction

/// Input i of {x, …}, undefined where it was left out.
Tensor given(const Tensors& inputs, std::size_t i) {
  return inputs.size() > i ? inputs[i] : Tensor();
}

void check_count(const char* where, const Tensors& inputs, std::size_t most) {
  PARE_CHECK(!inputs.empty() && inputs.size() <= most, invalid_argument, where,
             "expected 1 to {} inputs, got {}", most, inputs.size());
}

Tensor with_axis(const Tensor& t, int axis) {
  if (!t.defined()) return t;
  std::vector<std::int64_t> shape = t.shape().to_vector();
  shape.insert(shape.begin() + axis, 1);
  return reshape(t, shape);
}
Tensor without_axis(const Tensor& t, int axis) {
  std::vector<std::int64_t> shape = t.shape().to_vector();
  shape.erase(shape.begin() + axis);
  return reshape(t, shape);
}

}  // namespace

Recurrent::Recurrent(const char* where, const RecurrentOptions& options, std::int64_t gates)
    : where_(where),
      options_(options),
      dropout_(Attributes::of(DropoutAttributes{options.dropout})) {
  PARE_CHECK(options.input_size > 0 && options.hidden_size > 0 && options.num_layers > 0,
             invalid_argument, where,
             "expected input_size, hidden_size and num_layers of at least 1, got {}, {}, {}",
             options.input_size, options.hidden_size, options.num_layers);
  PARE_CHECK(options.dropout >= 0 && options.dropout <= 1, invalid_argument, where,
             "expected a dropout from 0 to 1, got {}", options.dropout);
  PARE_CHECK(options.proj_size == 0 || gates == 4, invalid_argument, where,
             "expected a proj_size of 0, which an LSTM alone has, got {}", options.proj_size);
  PARE_CHECK(options.proj_size >= 0 && options.proj_size < options.hidden_size, invalid_argument,
             where, "expected a proj_size from 0 to {}, below hidden_size, got {}",
             options.hidden_size - 1, options.proj_size);
  const std::int64_t hidden = options.hidden_size;
  const std::int64_t out = options.proj_size > 0 ? options.proj_size : hidden;
  const std::int64_t directions = options.bidirectional ? 2 : 1;
  for (std::int64_t l = 0; l < options.num_layers; ++l)
    for (std::int64_t d = 0; d < directions; ++d) {
      weights_.emplace_back(Shape{gates * hidden, l == 0 ? options.input_size : directions * out});
      weights_.emplace_back(Shape{gates * hidden, out});
      for (int b = 0; b < 2; ++b)
        weights_.push_back(options.bias ? Parameter({gates * hidden}) : Parameter());
      weights_.push_back(options.proj_size > 0 ? Parameter({out, hidden}) : Parameter());
    }
}

std::size_t Recurrent::place(std::int64_t layer, int which, bool reverse) const {
  PARE_CHECK(layer >= 0 && layer < options_.num_layers && which >= 0 && which < kWeights &&
                 (!reverse || options_.bidirectional),
             out_of_range, where_, "expected a weight of {} layers, got {} of layer {}{}",
             options_.num_layers, which, layer, reverse ? ", reverse" : "");
  const std::int64_t directions = options_.bidirectional ? 2 : 1;
  return static_cast<std::size_t>((layer * directions + (reverse ? 1 : 0)) * kWeights + which);
}

Parameter& Recurrent::weight(std::int64_t layer, int which, bool reverse) {
  return weights_[place(layer, which, reverse)];
}

void Recurrent::members(Members& m) {
  for (std::int64_t l = 0; l < options_.num_layers; ++l)
    for (const bool reverse : {false, true}) {
      if (reverse && !options_.bidirectional) continue;
      for (int w = 0; w < kWeights; ++w)
        m(fmt::format("{}_l{}{}", kNames[w], l, reverse ? "_reverse" : ""),
          weights_[place(l, w, reverse)]);
    }
}

void Recurrent::reset(Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(options_.hidden_size));
  for (Parameter& p : weights_)
    if (p.defined()) p.set(init::uniform(p.shape(), generator, {.low = -bound, .high = bound}));
}

void Recurrent::set_mode(bool train) {
  DropoutAttributes changed = dropout_.as<DropoutAttributes>();
  changed.frozen = !train;
  dropout_ = Attributes::of(changed);
}

Tensor Recurrent::forward(const Tensor& x) { return run({x})[0]; }

Tensors Recurrent::run_layers(const Tensor& x, const States& states) {
  PARE_CHECK(x.defined() && (x.rank() == 2 || x.rank() == 3), shape_mismatch, where_,
             "expected x of rank 3, or 2 for one sample, got {}",
             x.defined() ? x.shape().to_string() : "an undefined tensor");
  const bool alone = x.rank() == 2;
  const int batch_axis = options_.batch_first ? 0 : 1;
  const Tensor h0 = alone ? with_axis(states.h0, 1) : states.h0;
  const Tensor c0 = alone ? with_axis(states.c0, 1) : states.c0;
  const int directions = options_.bidirectional ? 2 : 1;
  const std::int64_t state_rows = options_.num_layers * directions;
  for (const Tensor& s : {h0, c0})
    PARE_CHECK(!s.defined() || (s.rank() == 3 && s.dim(0) == state_rows), shape_mismatch, where_,
               "expected a state of {} rows, got shape {}", state_rows, s.shape());
  Tensor y = alone ? with_axis(x, batch_axis) : x;
  std::vector<Tensors> last;  // by state, then by layer
  for (std::int64_t l = 0; l < options_.num_layers; ++l) {
    if (l > 0 && options_.dropout > 0) y = dropout(y, dropout_);
    const auto rows = [&](const Tensor& s) {
      if (!s.defined() || options_.num_layers == 1) return s;
      return slice(s, 0, l * directions, (l + 1) * directions);
    };
    const auto weights = [&](bool reverse) -> RecurrentWeights {
      const Parameter* p = &weights_[place(l, 0, reverse)];
      return {p[0], p[1], p[2], p[3], p[4]};
    };
    const Tensors out =
        layer(y, {.weights = weights(false),
                  .backward = options_.bidirectional ? weights(true) : RecurrentWeights{},
                  .h0 = rows(h0),
                  .c0 = rows(c0),
                  .lengths = states.lengths});
    y = out[0];
    last.resize(out.size() - 1);
    for (std::size_t s = 0; s < last.size(); ++s) last[s].push_back(out[s + 1]);
  }
  Tensors result{alone ? without_axis(y, batch_axis) : y};
  for (const Tensors& layers : last) {
    const Tensor all = layers.size() == 1 ? layers[0] : concat(layers, 0);
    result.push_back(alone ? without_axis(all, 1) : all);
  }
  return result;
}

RNN::RNN(const RNNOptions& options)
    : Recurrent("RNN", options, 1),
      attributes_{.direction = direction(),
                  .batch_first = options.batch_first,
                  .nonlinearity = options.nonlinearity} {
  PARE_CHECK(options.nonlinearity == "tanh" || options.nonlinearity == "relu", invalid_argument,
             "RNN", "expected the nonlinearity tanh or relu, got '{}'", options.nonlinearity);
}
Tensors RNN::layer(const Tensor& x, const RecurrentOperands& operands) {
  return rnn(x, operands, attributes_);
}
Tensors RNN::run(const Tensors& inputs) {
  check_count("RNN", inputs, 3);
  return run_layers(inputs[0], {.h0 = given(inputs, 1), .c0 = {}, .lengths = given(inputs, 2)});
}
std::string RNN::kind() const { return "RNN"; }

LSTM::LSTM(const RecurrentOptions& options)
    : Recurrent("LSTM", options, 4),
      attributes_{.direction = direction(), .batch_first = options.batch_first} {}
Tensors LSTM::layer(const Tensor& x, const RecurrentOperands& operands) {
  return lstm(x, operands, attributes_);
}
Tensors LSTM::run(const Tensors& inputs) {
  check_count("LSTM", inputs, 4);
  return run_layers(inputs[0],
                    {.h0 = given(inputs, 1), .c0 = given(inputs, 2), .lengths = given(inputs, 3)});
}
std::string LSTM::kind() const { return "LSTM"; }

GRU::GRU(const RecurrentOptions& options)
    : Recurrent("GRU", options, 3),
      attributes_{.direction = direction(), .batch_first = options.batch_first} {}
Tensors GRU::layer(const Tensor& x, const RecurrentOperands& operands) {
  return gru(x, operands, attributes_);
}
Tensors GRU::run(const Tensors& inputs) {
  check_count("GRU", inputs, 3);
  return run_layers(inputs[0], {.h0 = given(inputs, 1), .c0 = {}, .lengths = given(inputs, 2)});
}
std::string GRU::kind() const { return "GRU"; }

}  // namespace pare::nn
