// Recurrent layers with dynamic_quantize against loops in double precision over rows whose codes
// the test makes itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

using Row = std::vector<double>;

constexpr std::int64_t kSteps = 6, kBatch = 2, kIn = 5, kHidden = 4;
constexpr double kClose = 3e-6;

/// What the codes of a row stand for, by the rule of docs/numerics.md.
Row rounded(const std::vector<float>& x) {
  const float low = std::min(0.0F, *std::ranges::min_element(x));
  const float high = std::max(0.0F, *std::ranges::max_element(x));
  const float scale = high > low ? (high - low) / 255.0F : 1.0F;
  const float zero = std::nearbyint(-low / scale);
  Row y;
  for (const float v : x) {
    const float code = std::clamp(std::nearbyint(v / scale) + zero, 0.0F, 255.0F);
    y.push_back(static_cast<double>(scale) * static_cast<double>(code - zero));
  }
  return y;
}
Row rounded(const Row& x) { return rounded(std::vector<float>(x.begin(), x.end())); }

/// Row r of a tensor seen as rows of `columns`.
std::vector<float> row_of(const Tensor& t, std::int64_t r, std::int64_t columns) {
  const float* from = t.data<float>() + r * columns;
  return {from, from + columns};
}

/// W·x + b of a weight [rows, columns].
Row product(const Tensor& weight, const Row& x, const Tensor& bias) {
  Row y;
  const auto columns = static_cast<std::int64_t>(x.size());
  for (std::int64_t r = 0; r < weight.dim(0); ++r) {
    double sum = bias.defined() ? static_cast<double>(bias.data<float>()[r]) : 0.0;
    for (std::int64_t k = 0; k < columns; ++k)
      sum += static_cast<double>(weight.data<float>()[r * columns + k]) *
             x[static_cast<std::size_t>(k)];
    y.push_back(sum);
  }
  return y;
}

double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

/// What one sample sees of one direction.
struct Trial {
  RecurrentWeights weights;
  std::vector<float> peepholes;
  double clip = 0;
  bool input_forget = false, before_reset = true, relu = false;
  Row c;  // the cells, from step to step

  double clipped(double v) const { return clip > 0 ? std::clamp(v, -clip, clip) : v; }

  Row lstm(const Row& x, const std::vector<float>& h) {
    const Row a = product(weights.ih, rounded(x), weights.bias_ih);
    const Row b = product(weights.hh, rounded(h), weights.bias_hh);
    const std::size_t n = c.size();
    Row y(n);
    for (std::size_t k = 0; k < n; ++k) {
      const auto gate = [&](std::size_t g) { return a[g * n + k] + b[g * n + k]; };
      const auto peep = [&](std::size_t g) {
        return peepholes.empty() ? 0.0 : static_cast<double>(peepholes[g * n + k]);
      };
      const double in = sigmoid(clipped(gate(0) + peep(0) * c[k]));
      const double keep = input_forget ? 1 - in : sigmoid(clipped(gate(1) + peep(1) * c[k]));
      c[k] = keep * c[k] + in * std::tanh(clipped(gate(2)));
      y[k] = sigmoid(clipped(gate(3) + peep(2) * c[k])) * std::tanh(c[k]);
    }
    return weights.hr.defined() ? product(weights.hr, rounded(y), {}) : y;
  }

  Row gru(const Row& x, const std::vector<float>& h) const {
    const Row a = product(weights.ih, rounded(x), weights.bias_ih);
    const Row b = product(weights.hh, rounded(h), weights.bias_hh);
    const std::size_t n = h.size();
    Row reset(n), y(n);
    for (std::size_t k = 0; k < n; ++k) reset[k] = sigmoid(a[k] + b[k]) * static_cast<double>(h[k]);
    const Row late = product(weights.hh, rounded(reset), weights.bias_hh);
    for (std::size_t k = 0; k < n; ++k) {
      const double z = sigmoid(a[n + k] + b[n + k]);
      const double candidate = std::tanh(
          a[2 * n + k] + (before_reset ? sigmoid(a[k] + b[k]) * b[2 * n + k] : late[2 * n + k]));
      y[k] = (1 - z) * candidate + z * static_cast<double>(h[k]);
    }
    return y;
  }

  Row rnn(const Row& x, const std::vector<float>& h) const {
    Row a = product(weights.ih, rounded(x), weights.bias_ih);
    const Row b = product(weights.hh, rounded(h), weights.bias_hh);
    for (std::size_t k = 0; k < a.size(); ++k)
      a[k] = relu ? std::max(0.0, a[k] + b[k]) : std::tanh(a[k] + b[k]);
    return a;
  }
};

struct Layer {
  const OpDef* op;
  std::int64_t gates;
  std::string direction = "forward";
  bool batch_first = false;
  std::int64_t projection = 0;
  bool peepholes = false;
  std::vector<std::int64_t> lengths = {};
  Trial settings = {};
};

Tensors run(const Layer& layer, const Tensor& x, const RecurrentOperands& operands) {
  if (layer.op == &kLstm)
    return lstm(x, operands,
                {.direction = layer.direction,
                 .batch_first = layer.batch_first,
                 .clip = layer.settings.clip,
                 .input_forget = layer.settings.input_forget,
                 .dynamic_quantize = true});
  if (layer.op == &kGru)
    return gru(x, operands,
               {.direction = layer.direction,
                .batch_first = layer.batch_first,
                .linear_before_reset = layer.settings.before_reset,
                .dynamic_quantize = true});
  return rnn(x, operands,
             {.direction = layer.direction,
              .batch_first = layer.batch_first,
              .nonlinearity = layer.settings.relu ? "relu" : "tanh",
              .dynamic_quantize = true});
}

RecurrentWeights random_weights(Generator& g, const Layer& layer) {
  const std::int64_t out = layer.projection > 0 ? layer.projection : kHidden;
  RecurrentWeights w{g.normal({layer.gates * kHidden, kIn}), g.normal({layer.gates * kHidden, out}),
                     g.normal({layer.gates * kHidden}), g.normal({layer.gates * kHidden})};
  if (layer.projection > 0) w.hr = g.normal({out, kHidden});
  return w;
}

/// Every step of every sample and direction is what the loop gives from the h that the layer itself
/// gave before, so that a difference in rounding cannot grow.
void expect_rows(const Layer& layer) {
  ContextScope scope;
  scope->threads = 1;
  scope->grad = false;
  Generator g(3);
  const bool two = layer.direction == "bidirectional";
  const std::int64_t directions = two ? 2 : 1;
  const std::int64_t out = layer.projection > 0 ? layer.projection : kHidden;
  const Tensor x =
      g.normal(layer.batch_first ? Shape{kBatch, kSteps, kIn} : Shape{kSteps, kBatch, kIn});
  RecurrentOperands operands{.weights = random_weights(g, layer)};
  if (two) operands.backward = random_weights(g, layer);
  operands.h0 = g.normal({directions, kBatch, out});
  if (layer.op == &kLstm) operands.c0 = g.normal({directions, kBatch, kHidden});
  if (layer.peepholes) operands.peepholes = g.normal({directions, 3 * kHidden});
  if (!layer.lengths.empty()) operands.lengths = Tensor::from(layer.lengths, {kBatch});
  const Tensors results = run(layer, x, operands);
  const Tensor& y = results[0];
  const auto place = [&](std::int64_t t, std::int64_t n) {
    return layer.batch_first ? n * kSteps + t : t * kBatch + n;
  };
  for (std::int64_t d = 0; d < directions; ++d)
    for (std::int64_t n = 0; n < kBatch; ++n) {
      Trial trial = layer.settings;
      trial.weights = d == 0 ? operands.weights : operands.backward;
      if (layer.peepholes) trial.peepholes = row_of(operands.peepholes, d, 3 * kHidden);
      if (layer.op == &kLstm) {
        const std::vector<float> c0 = row_of(operands.c0, d * kBatch + n, kHidden);
        trial.c.assign(c0.begin(), c0.end());
      }
      std::vector<float> h = row_of(operands.h0, d * kBatch + n, out);
      const std::int64_t length =
          layer.lengths.empty() ? kSteps : layer.lengths[static_cast<std::size_t>(n)];
      for (std::int64_t s = 0; s < length; ++s) {
        const bool reversed = d == 1 || layer.direction == "reverse";
        const std::int64_t row = place(reversed ? length - 1 - s : s, n);
        const std::vector<float> from = row_of(x, row, kIn);
        const Row in(from.begin(), from.end());
        const Row expected = layer.op == &kLstm  ? trial.lstm(in, h)
                             : layer.op == &kGru ? trial.gru(in, h)
                                                 : trial.rnn(in, h);
        const std::vector<float> all = row_of(y, row, directions * out);
        h.assign(all.begin() + d * out, all.begin() + (d + 1) * out);
        for (std::size_t k = 0; k < h.size(); ++k)
          ASSERT_NEAR(static_cast<double>(h[k]), expected[k], kClose)
              << layer.op->name << ' ' << layer.direction << ", direction " << d << ", sample " << n
              << ", step " << s << ", unit " << k;
      }
      EXPECT_EQ(row_of(results[1], d * kBatch + n, out), h);
    }
}

TEST(DynamicRecurrent, LstmMultipliesRoundedRows) {
  expect_rows({&kLstm, 4});
  expect_rows({.op = &kLstm, .gates = 4, .direction = "reverse", .batch_first = true});
  expect_rows({.op = &kLstm, .gates = 4, .direction = "bidirectional", .lengths = {6, 3}});
}

TEST(DynamicRecurrent, LstmWithItsOptions) {
  expect_rows({.op = &kLstm,
               .gates = 4,
               .direction = "bidirectional",
               .peepholes = true,
               .settings = {.clip = 0.75}});
  expect_rows({.op = &kLstm, .gates = 4, .settings = {.input_forget = true}});
}

TEST(DynamicRecurrent, ProjectedRowsAreRoundedToo) {
  expect_rows({.op = &kLstm, .gates = 4, .projection = 3});
  expect_rows({.op = &kLstm, .gates = 4, .direction = "bidirectional", .projection = 2});
}

TEST(DynamicRecurrent, GruMultipliesRoundedRows) {
  expect_rows({.op = &kGru, .gates = 3, .direction = "bidirectional", .lengths = {2, 6}});
  expect_rows({.op = &kGru, .gates = 3, .settings = {.before_reset = false}});
}

TEST(DynamicRecurrent, RnnMultipliesRoundedRows) {
  expect_rows({&kRnn, 1});
  expect_rows({.op = &kRnn, .gates = 1, .direction = "reverse", .settings = {.relu = true}});
}

TEST(DynamicRecurrent, ZerosStayZeroAndNotANumberShows) {
  Generator g(4);
  RecurrentOperands operands{.weights = random_weights(g, {&kLstm, 4})};
  operands.weights.bias_ih = operands.weights.bias_hh = {};
  Tensor x = Tensor::zeros({3, 1, kIn});
  const LstmAttributes attributes{.dynamic_quantize = true};
  EXPECT_EQ(lstm(x, operands, attributes)[0].to_vector<float>(),
            std::vector<float>(3 * kHidden, 0.0F));
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    x.mutable_data<float>()[kIn] = bad;  // of the second step
    const std::vector<float> y = lstm(x, operands, attributes)[0].to_vector<float>();
    for (std::size_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(std::isnan(y[i]), i >= kHidden) << bad << " at " << i;
  }
}

}  // namespace
}  // namespace pare::test
