// Cases of recurrent layers, embeddings and ctc_loss.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cases.h"

namespace pare::bench {
namespace {

constexpr std::int64_t kSteps = 30;
constexpr std::int64_t kBatch = 32;
constexpr std::int64_t kUnits = 64;  // of x, too

float sigma(float x) { return 1 / (1 + std::exp(-x)); }

/// y of a layer without biases from a state of zero; step(gates of x, gates of h, c, h) gives the
/// new h of one unit, gates lying kUnits apart.
template <class Step> Loop recurrent(std::int64_t gates, Step step) {
  return [gates, step](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    const float* ih = in[1].data<float>();
    const float* hh = in[2].data<float>();
    float* y = out.mutable_data<float>();
    const std::int64_t rows = gates * kUnits;
    std::vector<float> of_x(at(rows)), of_h(at(rows)), c(at(kBatch * kUnits)), h(c.size());
    for (std::int64_t t = 0; t < kSteps; ++t)
      for (std::int64_t n = 0; n < kBatch; ++n) {
        const float* row = x + (t * kBatch + n) * kUnits;
        const float* state = h.data() + n * kUnits;
        for (std::int64_t g = 0; g < rows; ++g) {
          float a = 0, b = 0;
          for (std::int64_t k = 0; k < kUnits; ++k) a += ih[g * kUnits + k] * row[k];
          for (std::int64_t k = 0; k < kUnits; ++k) b += hh[g * kUnits + k] * state[k];
          of_x[at(g)] = a;
          of_h[at(g)] = b;
        }
        for (std::int64_t k = 0; k < kUnits; ++k) {
          float& unit = h[at(n * kUnits + k)];
          unit = step(of_x.data() + k, of_h.data() + k, c[at(n * kUnits + k)], unit);
          y[(t * kBatch + n) * kUnits + k] = unit;
        }
      }
  };
}

template <class Step> void add_layer(Cases& cases, const OpDef& op, std::int64_t gates, Step step) {
  cases.push_back({op.name,
                   {&op, op.defaults()},
                   {{"normal", {kSteps, kBatch, kUnits}},
                    {"normal", {gates * kUnits, kUnits}},
                    {"normal", {gates * kUnits, kUnits}}},
                   recurrent(gates, step)});
}

void add_embeddings(Cases& cases) {
  cases.push_back({"embedding",
                   {&kEmbedding, kEmbedding.defaults()},
                   {{"labels:1000", {32, 64}}, {"normal", {1000, 64}}},
                   [](const Tensors& in, Tensor& out) {
                     const std::int64_t* index = in[0].data<std::int64_t>();
                     const float* table = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < 32 * 64; ++i)
                       for (std::int64_t c = 0; c < 64; ++c)
                         y[i * 64 + c] = table[index[i] * 64 + c];
                   }});
  cases.push_back({"embedding_bag",
                   {&kEmbeddingBag, kEmbeddingBag.defaults()},
                   {{"labels:1000", {128, 16}}, {"normal", {1000, 64}}},
                   [](const Tensors& in, Tensor& out) {
                     const std::int64_t* index = in[0].data<std::int64_t>();
                     const float* table = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t b = 0; b < 128; ++b)
                       for (std::int64_t c = 0; c < 64; ++c) {
                         float sum = 0;
                         for (std::int64_t k = 0; k < 16; ++k)
                           sum += table[index[b * 16 + k] * 64 + c];
                         y[b * 64 + c] = sum / 16;
                       }
                   }});
}

double joined(double a, double b) {
  const double most = std::max(a, b);
  return std::isinf(most) ? most : most + std::log(std::exp(a - most) + std::exp(b - most));
}

constexpr std::int64_t kClasses = 40;  // the last one is the blank
constexpr std::int64_t kLabels = 20;

void ctc_loop(const Tensors& in, Tensor& out) {
  const float* x = in[0].data<float>();
  const std::int64_t* labels = in[1].data<std::int64_t>();
  const std::int64_t states = 2 * kLabels + 1;
  double total = 0;
  for (std::int64_t n = 0; n < kBatch; ++n) {
    const auto label = [&](std::int64_t s) {
      return s % 2 == 0 ? kClasses - 1 : labels[n * kLabels + s / 2];
    };
    std::vector<double> now(at(states), -INFINITY), last(at(states), -INFINITY);
    last[0] = 0;  // before the first step
    for (std::int64_t t = 0; t < 100; ++t) {
      for (std::int64_t s = 0; s < states; ++s) {
        double sum = last[at(s)];
        if (s > 0 && (t > 0 || s == 1)) sum = joined(sum, last[at(s - 1)]);
        if (s > 1 && t > 0 && s % 2 == 1 && label(s) != label(s - 2))
          sum = joined(sum, last[at(s - 2)]);
        now[at(s)] = sum + static_cast<double>(x[(t * kBatch + n) * kClasses + label(s)]);
      }
      now.swap(last);
    }
    total -= joined(last[at(states - 1)], last[at(states - 2)]) / static_cast<double>(kLabels);
  }
  *out.mutable_data<float>() = static_cast<float>(total / static_cast<double>(kBatch));
}

}  // namespace

void add_sequence_cases(Cases& cases) {
  add_layer(cases, kRnn, 1,
            [](const float* x, const float* h, float&, float) { return std::tanh(x[0] + h[0]); });
  add_layer(cases, kLstm, 4, [](const float* x, const float* h, float& c, float) {
    const auto gate = [&](std::int64_t g) { return x[g * kUnits] + h[g * kUnits]; };
    c = sigma(gate(1)) * c + sigma(gate(0)) * std::tanh(gate(2));
    return sigma(gate(3)) * std::tanh(c);
  });
  add_layer(cases, kGru, 3, [](const float* x, const float* h, float&, float before) {
    const float r = sigma(x[0] + h[0]), z = sigma(x[kUnits] + h[kUnits]);
    const float c = std::tanh(x[2 * kUnits] + r * h[2 * kUnits]);
    return (1 - z) * c + z * before;
  });
  add_embeddings(cases);
  cases.push_back({"ctc_loss",
                   {&kCtcLoss, Attributes::of(CtcLossAttributes{.blank = kClasses - 1})},
                   {{"normal", {100, kBatch, kClasses}},
                    {"labels:39", {kBatch, kLabels}},
                    {"i32:100", {kBatch}},
                    {"i32:20", {kBatch}}},
                   ctc_loop});
}

}  // namespace pare::bench
