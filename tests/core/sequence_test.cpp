// Recurrent layers, embeddings and ctc_loss against PyTorch and ONNX Runtime, and bad input.
#include <gmock/gmock.h>

#include "core/golden_sequence.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/nn/ctc.h"
#include "pare/nn/embedding.h"
#include "pare/nn/recurrent.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

const char* const kReductions[] = {"none", "mean", "sum", "batchmean"};

Tensor i64s(const std::vector<std::int64_t>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}
Tensor numbers_from(const GoldenCase& c, std::size_t first, std::size_t count) {
  std::vector<std::int64_t> values(c.numbers.begin() + static_cast<std::ptrdiff_t>(first),
                                   c.numbers.begin() + static_cast<std::ptrdiff_t>(first + count));
  return i64s(values, {static_cast<std::int64_t>(count)});
}

/// All outputs, one behind the other.
Tensor flat(const Tensors& outputs) {
  Tensors rows;
  for (const Tensor& t : outputs) rows.push_back(reshape(t, {-1}));
  return concat(rows, 0);
}

/// The inputs of a case, those with a gradient as leaves.
Tensors leaves_of(const GoldenCase& c) {
  Tensors inputs;
  for (const GoldenTensor& t : c.inputs) {
    Tensor x = t.tensor();
    if (inputs.size() < c.gradients.size()) x.set_requires_grad();
    inputs.push_back(x);
  }
  return inputs;
}

/// Compares a result with the case's, and the gradients of leaves.
void expect_case(const GoldenCase& c, const Tensor& y, const Tensors& leaves, float tolerance) {
  expect_close(y, c.output, tolerance, c.op);
  if (c.gradients.empty()) return;
  y.backward(c.given.tensor());
  for (std::size_t i = 0; i < c.gradients.size(); ++i)
    expect_close(leaves[i].grad(), c.gradients[i], tolerance,
                 std::string(c.op) + ", gradient " + std::to_string(i));
}

/// Runs a module with the case's weights: x, the states, then the parameters in their order.
void expect_module(const GoldenCase& c, nn::Module& net, std::size_t states) {
  Generator generator(1);
  nn::initialize(net, generator);
  const Tensors inputs = leaves_of(c);
  std::size_t next = 1 + states;
  Tensors leaves(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(next));
  for (const nn::NamedTensor& p : net.named_parameters()) {
    ASSERT_LT(next, inputs.size());
    Tensor parameter = p.tensor;
    {
      const NoGrad no_grad;
      parameter.copy_from(inputs[next++]);
    }
    leaves.push_back(parameter);
  }
  ASSERT_EQ(next, inputs.size());
  Tensors operands{inputs[0]};
  const std::size_t most = std::string(c.op) == "lstm" ? 2 : 1;
  for (std::size_t s = 1; s <= most; ++s) operands.push_back(s <= states ? inputs[s] : Tensor());
  if (c.numbers.size() > 7) operands.push_back(numbers_from(c, 7, c.numbers.size() - 7));
  expect_case(c, flat(net.run(operands)), leaves, 2e-5F);
}

TEST(Sequence, RecurrentLayersAreThoseOfPyTorch) {
  ContextScope scope;
  scope->threads = 1;
  int seen = 0;
  for (const GoldenCase& c : sequence_golden()) {
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
      expect_module(c, net, given ? 1 : 0);
    } else if (op == "lstm") {
      nn::LSTM net(options);
      expect_module(c, net, given ? 2 : 0);
    } else {
      nn::GRU net(options);
      expect_module(c, net, given ? 1 : 0);
    }
  }
  EXPECT_EQ(seen, 21);
}

TEST(Sequence, ResetBeforeTheProductIsOnnxsGru) {
  const char* const directions[] = {"forward", "reverse", "bidirectional"};
  int seen = 0;
  for (const GoldenCase& c : sequence_golden()) {
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

TEST(Sequence, EmbeddingsAreThoseOfPyTorch) {
  int seen = 0;
  for (const GoldenCase& c : sequence_golden()) {
    const std::string op = c.op;
    const Tensors x = leaves_of(c);
    const auto index = [&](std::size_t i) { return x[i].detach().to(DType::i64); };
    const auto number = [&](std::size_t i) { return static_cast<std::int64_t>(c.numbers[i]); };
    if (op == "embedding") {
      expect_case(c, embedding(index(1), x[0], {number(0), number(1) != 0}), x, 1e-6F);
    } else if (op == "embedding_bag") {
      const bool listed = number(4) != 0;
      const std::size_t first = number(5) != 0 ? 2 : 1;
      const EmbeddingBagAttributes attributes{
          .mode =
              std::vector<std::string>{"sum", "mean", "max"}[static_cast<std::size_t>(number(0))],
          .padding_idx = number(1),
          .scale_grad_by_freq = number(2) != 0,
          .include_last_offset = number(3) != 0};
      EmbeddingBagOperands operands{.indices = index(first), .weight = x[0]};
      if (listed) operands.offsets = index(first + 1);
      if (first == 2) operands.per_sample_weights = x[1];
      expect_case(c, embedding_bag(operands, attributes), x, 1e-5F);
    } else {
      continue;
    }
    ++seen;
  }
  EXPECT_EQ(seen, 17);
}

TEST(Sequence, CtcLossIsPyTorchs) {
  int seen = 0;
  for (const GoldenCase& c : sequence_golden()) {
    if (std::string(c.op) != "ctc_loss") continue;
    ++seen;
    SCOPED_TRACE(seen);
    const Tensors x = leaves_of(c);
    const nn::CTCLoss loss({.blank = static_cast<std::int64_t>(c.numbers[1]),
                            .zero_infinity = c.numbers[2] != 0,
                            .reduction = kReductions[static_cast<int>(c.numbers[0])]});
    expect_case(c,
                loss({log_softmax(x[0], 2), x[1].to(DType::i64), numbers_from(c, 4, 3),
                      numbers_from(c, 7, 3)}),
                x, 1e-4F);
  }
  EXPECT_EQ(seen, 24);
}

TEST(Sequence, CtcLossOfOneSequenceIsThatOfABatchOfOne) {
  Generator g(3);
  const Tensor x = log_softmax(g.normal({5, 4}), 1);
  const Tensor targets = i64s({1, 3}, {2});
  for (const char* reduction : kReductions) {
    if (std::string(reduction) == "batchmean") continue;
    const Tensor one =
        ctc_loss({x, targets, i64s({5}, {}), i64s({2}, {})}, {.reduction = reduction});
    const Tensor batch =
        ctc_loss({reshape(x, {5, 1, 4}), reshape(targets, {1, 2}), i64s({5}, {1}), i64s({2}, {1})},
                 {.reduction = reduction});
    EXPECT_EQ(one.rank(), 0);
    EXPECT_EQ(one.item(), batch.item());
  }
}

TEST(Sequence, CellsAreOneStepOfTheirLayers) {
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

TEST(Sequence, AnyNumberOfThreadsGivesTheSame) {
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

TEST(Sequence, DropoutIsBetweenLayersAndInTrainingAlone) {
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

TEST(Sequence, SoftTargetsArePyTorchs) {
  int seen = 0;
  for (const GoldenCase& c : sequence_golden()) {
    const std::string op = c.op;
    if (op != "cross_entropy" && op != "kl_div") continue;
    ++seen;
    const Tensors x = leaves_of(c);
    const char* reduction = kReductions[static_cast<int>(c.numbers[0])];
    if (op == "cross_entropy")
      expect_case(c,
                  cross_entropy(x[0], x[1],
                                {.weight = x.size() > 2 ? x[2] : Tensor(),
                                 .label_smoothing = c.numbers[1],
                                 .reduction = reduction}),
                  x, 2e-5F);
    else
      expect_case(c, kl_div(x[0], x[1], {.reduction = reduction, .log_target = true}), x, 2e-5F);
  }
  EXPECT_EQ(seen, 26);
}

RecurrentWeights zeros(std::int64_t gates, std::int64_t in, std::int64_t hidden) {
  return {Tensor::zeros({gates * hidden, in}), Tensor::zeros({gates * hidden, hidden}),
          Tensor::zeros({gates * hidden}), Tensor::zeros({gates * hidden})};
}

TEST(Sequence, BadInputToRecurrentLayers) {
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

TEST(Sequence, BadInputToRecurrentModules) {
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

TEST(Sequence, BadInputToEmbeddings) {
  const Tensor weight = Tensor::zeros({4, 3});
  const Tensor indices = i64s({1, 2, 3, 0}, {2, 2});
  ErrorCode code{};
  EXPECT_THAT(error_of(
                  [&] {
                    embedding(i64s({1, 4}, {2}), weight);
                  },
                  &code),
              HasSubstr("embedding: expected indices from 0 to 3, got 4"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { embedding(i64s({-1}, {1}), weight); }), HasSubstr("got -1"));
  EXPECT_THAT(error_of([&] { embedding(weight, weight); }, &code),
              HasSubstr("embedding: expected i64 or i32 indices, got f32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { embedding(indices, Tensor::zeros({4})); }),
              HasSubstr("embedding: expected a weight [V, E], got [4]"));
  EXPECT_THAT(error_of([&] { embedding(indices, indices); }),
              HasSubstr("expected a weight of a floating type, got i64"));
  EXPECT_THAT(error_of([&] { embedding(indices, weight, {.padding_idx = 4}); }),
              HasSubstr("expected padding_idx from 0 to 3 or -1 for none, got 4"));
  EXPECT_THAT(error_of([&] {
                embedding(Tensor::zeros({1, 1, 1, 1, 1, 1, 1, 1}, DType::i64), weight);
              }),
              HasSubstr("embedding: expected indices of at most 7 axes"));

  const auto bag = [&](const EmbeddingBagOperands& o, const EmbeddingBagAttributes& a = {}) {
    return error_of([&] { embedding_bag(o, a); }, &code);
  };
  const Tensor list = i64s({0, 1, 2}, {3});
  EXPECT_THAT(bag({list, weight}),
              HasSubstr("embedding_bag: expected indices [B, L], or [M] with offsets, got [3]"));
  EXPECT_THAT(bag({indices, weight, i64s({0}, {1})}), HasSubstr("got [2, 2] with offsets"));
  EXPECT_THAT(bag({list, weight, i64s({0, 2, 1}, {3})}),
              HasSubstr("expected offsets that ascend from 0 to 3, got 1 after 2"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(bag({list, weight, i64s({0, 4}, {2})}), HasSubstr("got 4 after 0"));
  EXPECT_THAT(bag({list, weight, i64s({1, 2}, {2})}),
              HasSubstr("expected offsets that begin with 0, got 1"));
  EXPECT_THAT(bag({list, weight, Tensor::zeros({1})}),
              HasSubstr("expected i64 or i32 offsets, got f32"));
  EXPECT_THAT(bag({list, weight, i64s({}, {0})}, {.include_last_offset = true}),
              HasSubstr("expected offsets [B + 1], got [0]"));
  EXPECT_THAT(bag({indices, weight}, {.include_last_offset = true}),
              HasSubstr("expected offsets for include_last_offset"));
  EXPECT_THAT(bag({indices, weight}, {.mode = "median"}),
              HasSubstr("expected the mode sum, mean or max, got 'median'"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(bag({indices, weight, {}, Tensor::zeros({2, 2})}),
              HasSubstr("expected the mode sum with per_sample_weights, got 'mean'"));
  EXPECT_THAT(bag({indices, weight, {}, Tensor::zeros({4})}, {.mode = "sum"}),
              HasSubstr("expected per_sample_weights of type f32 and shape [2, 2], got f32 [4]"));
  EXPECT_THAT(bag({indices, weight}, {.mode = "max", .scale_grad_by_freq = true}),
              HasSubstr("expected no scale_grad_by_freq with the mode max"));
  EXPECT_THAT(bag({indices, weight.to(DType::f16)}),
              HasSubstr("expected a weight of f32 or f64, got f16"));
  EXPECT_THAT(
      error_of([] { nn::Embedding e({.num_embeddings = 3, .embedding_dim = 0}); }),
      HasSubstr("Embedding: expected num_embeddings and embedding_dim of at least 1, got 3, 0"));
  EXPECT_THAT(error_of([] {
                nn::EmbeddingBag e({.num_embeddings = 3, .embedding_dim = 2, .mode = "median"});
              }),
              HasSubstr("EmbeddingBag: expected the mode sum, mean or max, got 'median'"));
  EXPECT_THAT(error_of([] {
                nn::EmbeddingBag e({.num_embeddings = 3, .embedding_dim = 2, .padding_idx = 3});
              }),
              HasSubstr("EmbeddingBag: expected padding_idx from 0 to 2 or -1 for none, got 3"));
}

TEST(Sequence, BadInputToCtcLoss) {
  const Tensor x = Tensor::zeros({4, 2, 3});
  const CtcOperands good{x, i64s({1, 2, 1, 2}, {2, 2}), i64s({4, 3}, {2}), i64s({2, 1}, {2})};
  ErrorCode code{};
  const auto message = [&](auto change, const CtcLossAttributes& a = {}) {
    CtcOperands operands = good;
    change(operands);
    return error_of([&] { ctc_loss(operands, a); }, &code);
  };
  const auto nothing = [](CtcOperands&) {};
  EXPECT_THAT(message([](auto& o) { o.log_probs = Tensor::zeros({4}); }),
              HasSubstr("ctc_loss: expected log_probs [T, N, C], got [4]"));
  EXPECT_THAT(message([](auto& o) { o.log_probs = o.targets; }),
              HasSubstr("ctc_loss: expected a floating type, got i64"));
  EXPECT_THAT(message(nothing, {.blank = 3}), HasSubstr("expected a blank from 0 to 2, got 3"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(message(nothing, {.reduction = "batchmean"}),
              HasSubstr("expected the reduction none, mean or sum, got 'batchmean'"));
  EXPECT_THAT(message([](auto& o) {
                o.targets = Tensor::zeros({2, 2});
              }),
              HasSubstr("expected i64 or i32 as input 1, got f32"));
  EXPECT_THAT(
      message([](auto& o) {
        o.targets = i64s({1, 2, 1}, {3, 1});
      }),
      HasSubstr("expected targets [N, S] or all in a row for log_probs [4, 2, 3], got [3, 1]"));
  EXPECT_THAT(message([](auto& o) { o.input_lengths = i64s({4}, {1}); }),
              HasSubstr("expected a length for each sample of log_probs [4, 2, 3], got [1]"));
  EXPECT_THAT(message([](auto& o) {
                o.input_lengths = i64s({4, 5}, {2});
              }),
              HasSubstr("expected input lengths from 0 to 4, got 5 of sample 1"));
  EXPECT_THAT(message([](auto& o) {
                o.target_lengths = i64s({3, 1}, {2});
              }),
              HasSubstr("expected target lengths from 0 to 2, got 3 of sample 0"));
  EXPECT_THAT(message([](auto& o) {
                o.targets = i64s({1, 2, 1}, {3}), o.target_lengths = i64s({2, 2}, {2});
              }),
              HasSubstr("expected target lengths from 0 to 1, got 2 of sample 1"));
  EXPECT_THAT(message([](auto& o) {
                o.targets = i64s({1, 0, 1, 2}, {2, 2});
              }),
              HasSubstr("expected labels from 0 to 2 other than the blank 0, got 0 of sample 0"));
  EXPECT_THAT(message([](auto& o) { o.targets = i64s({1, 3, 1, 2}, {2, 2}); }), HasSubstr("got 3"));
  EXPECT_THAT(error_of([] {
                nn::CTCLoss loss;
                loss.run({Tensor(), Tensor()});
              }),
              HasSubstr("CTCLoss: expected log_probs, targets, input_lengths and target_lengths"));
}

}  // namespace
}  // namespace pare::test
