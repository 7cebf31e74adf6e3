// ONNX's options of recurrent layers against ONNX Runtime, projections against PyTorch, bad input.
#include <gmock/gmock.h>

#include "core/golden_leaves.h"
#include "core/golden_recurrent_options.h"
#include "pare/core/ops.h"
#include "pare/nn/recurrent.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

const char* const kWords[] = {"Tanh",       "Sigmoid",     "Relu",      "Softsign",
                              "Softplus",   "Affine",      "LeakyRelu", "ThresholdedRelu",
                              "ScaledTanh", "HardSigmoid", "Elu"};
const char* const kDirections[] = {"forward", "reverse", "bidirectional"};

/// Reads the numbers of a case one after the other.
class Numbers {
 public:
  explicit Numbers(const GoldenCase& c) : c_(c) {}
  double next() { return c_.numbers.at(at_++); }
  std::size_t count() { return static_cast<std::size_t>(next()); }
  std::vector<double> list(std::size_t n) {
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i) values.push_back(next());
    return values;
  }

 private:
  const GoldenCase& c_;
  std::size_t at_ = 0;
};

/// What a case of ONNX Runtime's says.
struct OnnxCase {
  std::string direction, activations;
  double clip;
  bool input_forget, peepholes, linear_before_reset;
  std::vector<double> alpha, beta;
  Tensor lengths;

  explicit OnnxCase(const GoldenCase& c) {
    Numbers n(c);
    direction = kDirections[n.count()];
    clip = n.next();
    input_forget = n.next() != 0;
    peepholes = n.next() != 0;
    linear_before_reset = n.next() != 0;
    for (const double word : n.list(n.count()))
      activations += (activations.empty() ? "" : ",") + std::string(kWords[static_cast<int>(word)]);
    alpha = n.list(n.count());
    beta = n.list(n.count());
    std::vector<std::int64_t> steps;
    for (const double l : n.list(n.count())) steps.push_back(static_cast<std::int64_t>(l));
    if (!steps.empty()) lengths = i64s(steps, {static_cast<std::int64_t>(steps.size())});
  }
};

Tensors run_onnx(const std::string& op, const OnnxCase& o, const Tensors& x) {
  std::size_t next = 1;
  RecurrentOperands operands{.lengths = o.lengths};
  operands.h0 = x[next++];
  if (op == "lstm") operands.c0 = x[next++];
  if (o.peepholes) operands.peepholes = x[next++];
  operands.weights = {x[next], x[next + 1], x[next + 2], x[next + 3]};
  if (o.direction == "bidirectional")
    operands.backward = {x[next + 4], x[next + 5], x[next + 6], x[next + 7]};
  if (op == "rnn")
    return rnn(x[0], operands,
               {.direction = o.direction,
                .activations = o.activations,
                .activation_alpha = o.alpha,
                .activation_beta = o.beta,
                .clip = o.clip});
  if (op == "lstm")
    return lstm(x[0], operands,
                {.direction = o.direction,
                 .activations = o.activations,
                 .activation_alpha = o.alpha,
                 .activation_beta = o.beta,
                 .clip = o.clip,
                 .input_forget = o.input_forget});
  return gru(x[0], operands,
             {.direction = o.direction,
              .linear_before_reset = o.linear_before_reset,
              .activations = o.activations,
              .activation_alpha = o.alpha,
              .activation_beta = o.beta,
              .clip = o.clip});
}

TEST(RecurrentOptions, AreThoseOfOnnxRuntime) {
  ContextScope scope;
  scope->threads = 1;
  int seen = 0;
  for (const GoldenCase& c : recurrent_options_golden()) {
    const std::string op = c.op;
    if (op != "rnn" && op != "lstm" && op != "gru") continue;
    const OnnxCase o(c);
    SCOPED_TRACE(op + " " + std::to_string(++seen) + " " + o.activations);
    const Tensors leaves = leaves_of(c);
    ASSERT_EQ(c.gradients.size(), leaves.size());
    expect_case(c, flat(run_onnx(op, o, leaves)), leaves, 5e-5F);
  }
  EXPECT_EQ(seen, 33);
}

TEST(RecurrentOptions, ProjectionsAreThoseOfPyTorch) {
  ContextScope scope;
  scope->threads = 1;
  int seen = 0;
  for (const GoldenCase& c : recurrent_options_golden()) {
    if (std::string(c.op) != "projected") continue;
    SCOPED_TRACE(++seen);
    const auto number = [&](std::size_t i) { return static_cast<std::int64_t>(c.numbers[i]); };
    nn::LSTM net({.input_size = 3,
                  .hidden_size = number(0),
                  .num_layers = number(2),
                  .bias = number(3) != 0,
                  .batch_first = number(4) != 0,
                  .bidirectional = number(5) != 0,
                  .proj_size = number(1)});
    expect_module(c, net, {number(6) != 0 ? 2U : 0U, 2});
  }
  EXPECT_EQ(seen, 4);
}

TEST(RecurrentOptions, ParametersOfAProjectionHavePyTorchsNames) {
  nn::LSTM net({.input_size = 3, .hidden_size = 4, .bidirectional = true, .proj_size = 2});
  Generator g(1);
  nn::initialize(net, g);
  std::vector<std::string> names;
  for (const nn::NamedTensor& p : net.named_parameters()) names.push_back(p.name);
  EXPECT_THAT(names, ::testing::ElementsAre("weight_ih_l0", "weight_hh_l0", "bias_ih_l0",
                                            "bias_hh_l0", "weight_hr_l0", "weight_ih_l0_reverse",
                                            "weight_hh_l0_reverse", "bias_ih_l0_reverse",
                                            "bias_hh_l0_reverse", "weight_hr_l0_reverse"));
  EXPECT_EQ(net.weight(0, 1).shape(), (Shape{16, 2}));
  EXPECT_EQ(net.weight(0, 4, true).shape(), (Shape{2, 4}));
  const Tensors out = net.run({g.normal({5, 2, 3})});
  EXPECT_EQ(out[0].shape(), (Shape{5, 2, 4}));
  EXPECT_EQ(out[1].shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(out[2].shape(), (Shape{2, 2, 4}));
}

/// Of the usual size: with larger ones each step would multiply the rounding errors.
RecurrentOperands operands_of(Generator& g, std::int64_t gates, std::int64_t in,
                              std::int64_t hidden) {
  const auto values = [&](const Shape& shape) { return g.uniform(shape, -0.25F, 0.25F); };
  return {.weights = {values({gates * hidden, in}), values({gates * hidden, hidden}),
                      values({gates * hidden}), values({gates * hidden})}};
}

/// Results and gradients of one run.
template <class Run> std::vector<std::vector<float>> all_of(const RecurrentOperands& o, Run run) {
  Tensors leaves;
  for (const Tensor* t : {&o.weights.ih, &o.weights.hh, &o.weights.bias_ih, &o.weights.bias_hh})
    leaves.push_back(t->detach().set_requires_grad());
  RecurrentOperands own = o;
  own.weights = {leaves[0], leaves[1], leaves[2], leaves[3]};
  const Tensor y = flat(run(own));
  sum(square(y)).backward();
  std::vector<std::vector<float>> all{y.to_vector<float>()};
  for (const Tensor& l : leaves) all.push_back(l.grad().to_vector<float>());
  return all;
}

// A bound that nothing reaches takes the general steps.
TEST(RecurrentOptions, TheGeneralStepsAreTheUsualOnes) {
  Generator g(4);
  const Tensor x = g.normal({6, 9, 5});
  const auto expect_near = [](const std::vector<std::vector<float>>& a,
                              const std::vector<std::vector<float>>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      for (std::size_t k = 0; k < a[i].size(); ++k)
        ASSERT_NEAR(a[i][k], b[i][k], 1e-4F * (1 + std::abs(a[i][k]))) << i << ", " << k;
  };
  const auto r = operands_of(g, 1, 5, 19);
  expect_near(all_of(r, [&](const auto& o) { return rnn(x, o); }),
              all_of(r, [&](const auto& o) { return rnn(x, o, {.clip = 1e30}); }));
  const auto l = operands_of(g, 4, 5, 19);
  expect_near(all_of(l, [&](const auto& o) { return lstm(x, o); }),
              all_of(l, [&](const auto& o) { return lstm(x, o, {.clip = 1e30}); }));
  for (const bool linear : {false, true}) {
    const auto u = operands_of(g, 3, 5, 19);
    expect_near(
        all_of(u, [&](const auto& o) { return gru(x, o, {.linear_before_reset = linear}); }),
        all_of(u, [&](const auto& o) {
          return gru(x, o, {.linear_before_reset = linear, .clip = 1e30});
        }));
  }
}

TEST(RecurrentOptions, TheUsualWordsTakeTheUsualSteps) {
  Generator g(4);
  const Tensor x = g.normal({3, 2, 5});
  const auto r = operands_of(g, 1, 5, 7);
  EXPECT_EQ(all_of(r, [&](const auto& o) { return rnn(x, o, {.nonlinearity = "relu"}); }),
            all_of(r, [&](const auto& o) { return rnn(x, o, {.activations = "Relu"}); }));
  const auto l = operands_of(g, 4, 5, 7);
  EXPECT_EQ(all_of(l, [&](const auto& o) { return lstm(x, o); }), all_of(l, [&](const auto& o) {
              return lstm(x, o, {.activations = "Sigmoid,Tanh,Tanh"});
            }));
  const auto u = operands_of(g, 3, 5, 7);
  EXPECT_EQ(all_of(u, [&](const auto& o) { return gru(x, o); }),
            all_of(u, [&](const auto& o) { return gru(x, o, {.activations = "Sigmoid,Tanh"}); }));
}

TEST(RecurrentOptions, AnyNumberOfThreadsGivesTheSame) {
  Generator g(11);
  nn::LSTM net({.input_size = 20, .hidden_size = 48, .bidirectional = true, .proj_size = 24});
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

TEST(RecurrentOptions, BadAttributes) {
  Generator g(1);
  const Tensor x = Tensor::zeros({4, 3, 5});
  const RecurrentOperands one = operands_of(g, 1, 5, 2);
  const RecurrentOperands four = operands_of(g, 4, 5, 2);
  ErrorCode code{};
  const auto message = [&](const LstmAttributes& a) {
    return error_of([&] { lstm(x, four, a); }, &code);
  };
  EXPECT_THAT(message({.activations = "Sigmoid,Tanh"}),
              HasSubstr("lstm: expected 3 activations for each direction, got 'Sigmoid,Tanh'"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(message({.activations = "Sigmoid,Tanh,Gelu"}),
              HasSubstr("lstm: expected one of ONNX's activations (Tanh, Sigmoid, Relu, …), got "
                        "'Gelu'"));
  EXPECT_THAT(message({.activations = "Sigmoid,,Tanh"}), HasSubstr("got ''"));
  EXPECT_THAT(message({.activations = "Sigmoid,Tanh,Affine", .activation_alpha = {1, 2}}),
              HasSubstr("lstm: expected at most 1 values of alpha and 0 of beta for "
                        "'Sigmoid,Tanh,Affine', got 2 and 0"));
  EXPECT_THAT(message({.activation_beta = {1}}), HasSubstr("0 of beta for '', got 0 and 1"));
  EXPECT_THAT(message({.clip = -1}), HasSubstr("lstm: expected a clip of at least 0, got -1"));
  EXPECT_THAT(message({.clip = std::nan("")}), HasSubstr("got nan"));
  EXPECT_THAT(error_of([&] { rnn(x, one, {.nonlinearity = "relu", .activations = "Tanh"}); }),
              HasSubstr("rnn: expected activations or the nonlinearity relu, got 'Tanh' and it"));
  EXPECT_THAT(error_of([&] { gru(x, operands_of(g, 3, 5, 2), {.activations = "Tanh"}); }),
              HasSubstr("gru: expected 2 activations for each direction, got 'Tanh'"));
}

TEST(RecurrentOptions, BadOperands) {
  Generator g(1);
  const Tensor x = Tensor::zeros({4, 3, 5});
  const RecurrentOperands good = operands_of(g, 4, 5, 2);
  ErrorCode code{};
  const auto message = [&](auto change, const LstmAttributes& a = {}) {
    RecurrentOperands operands = good;
    change(operands);
    return error_of([&] { lstm(x, operands, a); }, &code);
  };
  EXPECT_THAT(message([](auto& o) {
                o.peepholes = Tensor::zeros({1, 8});
              }),
              HasSubstr("lstm: expected peepholes of shape [1, 6], got [1, 8]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(message([](auto& o) { o.weights.hr = Tensor::zeros({2}); }),
              HasSubstr("lstm: expected a projection [P, H], got [2]"));
  // [8, 2] is W_hh of two features; three cells would want [12, 2].
  EXPECT_THAT(message([](auto& o) {
                o.weights.hr = Tensor::zeros({2, 3});
              }),
              HasSubstr("lstm: expected a weight of shape [12, 5] as input 1, got [8, 5]"));
  EXPECT_THAT(message([](auto& o) {
                o.weights.hr = Tensor::zeros({1, 2});
              }),
              HasSubstr("lstm: expected a weight of shape [2, 2] as input 13, got [1, 2]"));
  EXPECT_THAT(message([](auto& o) {
                o.backward.hr = Tensor::zeros({2, 2});
              }),
              HasSubstr("lstm: expected weights of one direction, got input 14"));
  EXPECT_THAT(message(
                  [&](auto& o) {
                    o.backward = o.weights;
                    o.weights.hr = Tensor::zeros({2, 2});
                  },
                  {.direction = "bidirectional"}),
              HasSubstr("lstm: expected a projection in each direction or none, got input 13"));
  const RecurrentOperands three = operands_of(g, 3, 5, 2);
  RecurrentOperands with = three;
  with.peepholes = Tensor::zeros({1, 6});
  EXPECT_THAT(error_of([&] { gru(x, with); }),
              HasSubstr("gru: expected no peepholes, got shape [1, 6]"));
  with = three;
  with.weights.hr = Tensor::zeros({1, 2});
  EXPECT_THAT(error_of([&] { gru(x, with); }),
              HasSubstr("gru: expected no weights.hr, got shape [1, 2]"));
  EXPECT_THAT(
      error_of([] { nn::GRU net({.input_size = 1, .hidden_size = 3, .proj_size = 2}); }, &code),
      HasSubstr("GRU: expected a proj_size of 0, which an LSTM alone has, got 2"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([] { nn::LSTM net({.input_size = 1, .hidden_size = 3, .proj_size = 3}); }),
              HasSubstr("LSTM: expected a proj_size from 0 to 2, below hidden_size, got 3"));
}

}  // namespace
}  // namespace pare::test
