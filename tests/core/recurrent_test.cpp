// Recurrent layers against PyTorch and ONNX Runtime, their cells, and bad input.
#include <gmock/gmock.h>

#include "core/golden_leaves.h"
#include "core/golden_recurrent.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/nn/recurrent.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Recurrent, RecurrentLayersAreThoseOfPyTorch) {
  ContextScope scope;
  scope->threads = 1;
  int seen = 0;
  for (const GoldenCase& c : recurrent_golden()) {
    const std::string op = c.op;
    if (op != "rnn" && op != "lstm" && op != "gru") continue;
    ++seen;
    SCOPED_TRACE(op + " " + std::to_string(seen));
    const nn::RecurrentOptions options{.input_size = 3,
                                       .hidden_size = static_cast<std::int64_t>(c.numbers[0]),
                                       .num_layers = static_cast<std::int64_t>(c.numbers[1]),
                                       .bias = c.numbers[2] != 0,
                                       .batch_first = c.numbers[3] != 0,
                                       .bidirectional = c.numbers[4] != 0};
    const bool given = c.numbers[5] != 0;
    if (op == "rnn") {
      nn::RNN net({options, c.numbers[6] != 0 ? "relu" : "tanh"});
      expect_module(c, net, {given ? 1U : 0U, 1});
    } else if (op == "lstm") {
      nn::LSTM net(options);
      expect_module(c, net, {given ? 2U : 0U, 2});
    } else {
      nn::GRU net(options);
      expect_module(c, net, {given ? 1U : 0U, 1});
    }
  }
  EXPECT_EQ(seen, 21);
}

TEST(Recurrent, ResetBeforeTheProductIsOnnxsGru) {
  const char* const directions[] = {"forward", "reverse", "bidirectional"};
  int seen = 0;
  for (const GoldenCase& c : recurrent_golden()) {
    if (std::string(c.op) != "gru_reset") continue;
    ++seen;
    const Tensors x = leaves_of(c);
    RecurrentOperands operands{.weights = {x[2], x[3], x[4], x[5]}, .h0 = x[1]};
    if (x.size() > 6) operands.backward = {x[6], x[7], x[8], x[9]};
    if (c.numbers.size() > 1) operands.lengths = numbers_from(c, 1, 3);
    const GruAttributes attributes{.direction = directions[static_cast<int>(c.numbers[0])],
                                   .linear_before_reset = false};
    expect_case(c, flat(gru(x[0], operands, attributes)), {}, 1e-5F);
  }
  EXPECT_EQ(seen, 3);
}

TEST(Recurrent, CellsAreOneStepOfTheirLayers) {
  Generator g(5);
  const auto expect_step = [&](nn::RecurrentCell& cell, nn::Recurrent& layer, std::size_t states) {
    nn::initialize(cell, g);
    nn::initialize(layer, g);
    const Tensors own = cell.parameters();
    const Tensors others = layer.parameters();
    ASSERT_EQ(own.size(), others.size());
    for (std::size_t i = 0; i < own.size(); ++i) Tensor(others[i]).copy_from(own[i]);
    const Tensor x = g.normal({4, 3});
    Tensors given{x};
    Tensors inputs{reshape(x, {1, 4, 3})};
    for (std::size_t s = 0; s < states; ++s) {
      given.push_back(g.normal({4, 2}));
      inputs.push_back(reshape(given.back(), {1, 4, 2}));
    }
    const Tensors found = cell.run(given);
    const Tensors expected = layer.run(inputs);
    ASSERT_EQ(found.size(), states);
    for (std::size_t s = 0; s < states; ++s) {
      EXPECT_EQ(found[s].shape(), (Shape{4, 2}));
      EXPECT_EQ(found[s].to_vector<float>(), expected[s + 1].to_vector<float>());
    }
    // One sample without an axis of its own, from states of zero.
    const Tensor alone = cell(reshape(slice(x, 0, 1, 2), {3}));
    EXPECT_EQ(alone.shape(), (Shape{2}));
    EXPECT_EQ(alone.to_vector<float>(), slice(cell(x), 0, 1, 2).to_vector<float>());
  };
  nn::RNNCell rnn_cell({nn::CellOptions{.input_size = 3, .hidden_size = 2}, "relu"});
  nn::RNN rnn_layer({nn::RecurrentOptions{.input_size = 3, .hidden_size = 2}, "relu"});
  expect_step(rnn_cell, rnn_layer, 1);
  nn::LSTMCell lstm_cell({.input_size = 3, .hidden_size = 2});
  nn::LSTM lstm_layer({.input_size = 3, .hidden_size = 2});
  expect_step(lstm_cell, lstm_layer, 2);
  nn::GRUCell gru_cell({.input_size = 3, .hidden_size = 2, .bias = false});
  nn::GRU gru_layer({.input_size = 3, .hidden_size = 2, .bias = false});
  expect_step(gru_cell, gru_layer, 1);
}

TEST(Recurrent, AnyNumberOfThreadsGivesTheSame) {
  Generator g(11);
  nn::LSTM net({.input_size = 20, .hidden_size = 48, .bidirectional = true});
  nn::initialize(net, g);
  const Tensor x = g.normal({6, 24, 20});
  const auto run = [&](int threads) {
    ContextScope scope;
    scope->threads = threads;
    net.zero_grad();
    const Tensor loss = sum(square(net(x)));
    loss.backward();
    Tensors all{loss};
    for (const Tensor& p : net.parameters()) all.push_back(p.grad().clone());
    return all;
  };
  const Tensors one = run(1);
  const Tensors three = run(3);
  for (std::size_t i = 0; i < one.size(); ++i) {
    const auto a = one[i].to_vector<float>();
    const auto b = three[i].to_vector<float>();
    for (std::size_t k = 0; k < a.size(); ++k)
      ASSERT_NEAR(a[k], b[k], 1e-4F * (1 + std::abs(a[k])));
  }
}

TEST(Recurrent, DropoutIsBetweenLayersAndInTrainingAlone) {
  Generator g(2);
  nn::GRU net({.input_size = 3, .hidden_size = 8, .num_layers = 2, .dropout = 0.5});
  nn::initialize(net, g);
  const Tensor x = g.normal({4, 2, 3});
  const auto rest = net(x).to_vector<float>();
  EXPECT_EQ(net(x).to_vector<float>(), rest);
  ContextScope scope;
  scope->training = true;
  scope->generator = &g;
  EXPECT_NE(net(x).to_vector<float>(), rest);
  net.eval();
  EXPECT_EQ(net(x).to_vector<float>(), rest);
}

RecurrentWeights zeros(std::int64_t gates, std::int64_t in, std::int64_t hidden) {
  return {Tensor::zeros({gates * hidden, in}), Tensor::zeros({gates * hidden, hidden}),
          Tensor::zeros({gates * hidden}), Tensor::zeros({gates * hidden})};
}

TEST(Recurrent, BadInputToRecurrentLayers) {
  const Tensor x = Tensor::zeros({4, 3, 5});
  const RecurrentOperands good{.weights = zeros(4, 5, 2)};
  ErrorCode code{};
  const auto message = [&](auto change, const Tensor& input, const LstmAttributes& a = {}) {
    RecurrentOperands operands = good;
    change(operands);
    return error_of([&] { lstm(input, operands, a); }, &code);
  };
  const auto nothing = [](RecurrentOperands&) {};
  EXPECT_THAT(message(nothing, Tensor::zeros({4, 5})),
              HasSubstr("lstm: expected x of shape [T, N, I], got [4, 5]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(message(nothing, Tensor::zeros({4, 3, 6})),
              HasSubstr("expected a weight of shape [8, 6] as input 1, got [8, 5]"));
  EXPECT_THAT(message(nothing, x.to(DType::f64)), HasSubstr("expected f32 as input 0, got f64"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(
      message(nothing, x, {.direction = "backward"}),
      HasSubstr("expected the direction forward, reverse or bidirectional, got 'backward'"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(message(nothing, x, {.direction = "bidirectional"}),
              HasSubstr("expected two weights for each direction, got none as input 5"));
  EXPECT_THAT(message([](auto& o) { o.backward = zeros(4, 5, 2); }, x),
              HasSubstr("expected weights of one direction, got input 5"));
  EXPECT_THAT(message(
                  [](auto& o) {
                    o.weights.hh = Tensor::zeros({6, 2});
                  },
                  x),
              HasSubstr("expected a weight of shape [8, 2] as input 2, got [6, 2]"));
  EXPECT_THAT(message([](auto& o) { o.weights.hh = Tensor::zeros({6}); }, x),
              HasSubstr("expected a weight [4·H, H], got [6]"));
  EXPECT_THAT(message([](auto& o) { o.weights.bias_ih = Tensor(); }, x),
              HasSubstr("expected both biases in each direction or none, got input 4"));
  EXPECT_THAT(message([](auto& o) { o.weights.bias_hh = Tensor::zeros({7}); }, x),
              HasSubstr("expected a bias of shape [8] as input 4, got [7]"));
  EXPECT_THAT(message(
                  [](auto& o) {
                    o.h0 = Tensor::zeros({1, 4, 2});
                  },
                  x),
              HasSubstr("expected a first state of shape [1, 3, 2], got [1, 4, 2]"));
  EXPECT_THAT(message(
                  [](auto& o) {
                    o.lengths = i64s({1, 2}, {2});
                  },
                  x),
              HasSubstr("expected a length for each sample of x [4, 3, 5], got [2]"));
  EXPECT_THAT(message([](auto& o) { o.lengths = Tensor::zeros({3}); }, x),
              HasSubstr("expected i64 or i32 lengths as input 10, got f32"));
  EXPECT_THAT(message(
                  [](auto& o) {
                    o.lengths = i64s({1, 5, 2}, {3});
                  },
                  x),
              HasSubstr("lstm: expected lengths from 0 to 4, got 5"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(message([](auto& o) { o.lengths = i64s({1, -1, 2}, {3}); }, x), HasSubstr("got -1"));
  RecurrentOperands with_cell{.weights = zeros(3, 5, 2), .c0 = Tensor::zeros({1, 3, 2})};
  EXPECT_THAT(error_of([&] { gru(x, with_cell); }),
              HasSubstr("gru: expected no c0, got shape [1, 3, 2]"));
  EXPECT_THAT(error_of([&] { rnn(x, with_cell); }), HasSubstr("rnn: expected no c0"));
  EXPECT_THAT(error_of([&] { rnn(x, {.weights = zeros(1, 5, 2)}, {.nonlinearity = "elu"}); }),
              HasSubstr("rnn: expected the nonlinearity tanh or relu, got 'elu'"));
}

TEST(Recurrent, BadInputToRecurrentModules) {
  ErrorCode code{};
  EXPECT_THAT(error_of([] { nn::LSTM net({.input_size = 0, .hidden_size = 2}); }, &code),
              HasSubstr("LSTM: expected input_size, hidden_size and num_layers of at least 1, got "
                        "0, 2, 1"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([] { nn::GRU net({.input_size = 1, .hidden_size = 2, .dropout = 2}); }),
              HasSubstr("GRU: expected a dropout from 0 to 1, got 2"));
  EXPECT_THAT(error_of([] {
                nn::RNN net({nn::RecurrentOptions{.input_size = 1, .hidden_size = 2}, "elu"});
              }),
              HasSubstr("RNN: expected the nonlinearity tanh or relu, got 'elu'"));
  EXPECT_THAT(error_of([] { nn::LSTMCell cell({.input_size = 1}); }),
              HasSubstr("LSTMCell: expected input_size and hidden_size of at least 1, got 1, 0"));
  nn::LSTM net({.input_size = 3, .hidden_size = 2, .num_layers = 2});
  Generator g(1);
  nn::initialize(net, g);
  const Tensor x = Tensor::zeros({4, 3, 3});
  EXPECT_THAT(error_of([&] { net(Tensor::zeros({3})); }),
              HasSubstr("LSTM: expected x of rank 3, or 2 for one sample, got [3]"));
  EXPECT_THAT(error_of([&] {
                net.run({x, Tensor::zeros({1, 3, 2})});
              }),
              HasSubstr("LSTM: expected a state of 2 rows, got shape [1, 3, 2]"));
  EXPECT_THAT(error_of([&] { net.run({}); }), HasSubstr("LSTM: expected 1 to 4 inputs, got 0"));
  EXPECT_THAT(error_of([&] { net.weight(2, 0); }, &code),
              HasSubstr("LSTM: expected a weight of 2 layers, got 0 of layer 2"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  nn::GRUCell cell({.input_size = 3, .hidden_size = 2});
  nn::initialize(cell, g);
  EXPECT_THAT(error_of([&] {
                cell.run({Tensor::zeros({2, 3}), Tensor::zeros({2})});
              }),
              HasSubstr("GRUCell: expected inputs [N, …] or all of one sample, got [2]"));
  EXPECT_THAT(error_of([&] { cell.run({}); }), HasSubstr("GRUCell: expected 1 to 2 inputs, got 0"));
}

}  // namespace
}  // namespace pare::test
