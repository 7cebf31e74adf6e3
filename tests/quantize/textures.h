// Pictures of textures, and a training on them, for the tests of quantization-aware training.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::test {

struct Batch {
  Tensor x, labels;
};

// Pictures of five textures under noise.
inline Batch textures(Generator& generator, std::int64_t count) {
  const Shape shape{count, 3, 8, 8};
  Tensor x = generator.normal(shape, 0, 0.6F);
  std::vector<std::int64_t> labels(static_cast<std::size_t>(count));
  float* values = x.mutable_data<float>();
  for (std::int64_t n = 0; n < count; ++n) {
    const auto label = static_cast<std::int64_t>(generator.below(5));
    labels[static_cast<std::size_t>(n)] = label;
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t h = 0; h < 8; ++h)
        for (std::int64_t w = 0; w < 8; ++w) {
          const double wave[] = {std::sin(1.6 * h), std::sin(1.6 * w), std::sin(1.6 * (h + w)),
                                 std::sin(0.8 * h) * std::sin(0.8 * w), c - 1.0};
          values[((n * 3 + c) * 8 + h) * 8 + w] += static_cast<float>(wave[label]);
        }
  }
  return {x, Tensor::from(labels, {count})};
}

/// The loss of the last ten steps, of Adam.
inline float train(Graph& graph, int steps, double rate, std::uint64_t seed) {
  optim::Adam optimizer(graph.parameters(), {.lr = rate});
  Generator generator(seed);
  ContextScope scope;
  scope->training = true;
  scope->generator = &generator;
  double loss_of_last = 0;
  for (int step = 0; step < steps; ++step) {
    const Batch batch = textures(generator, 64);
    const Tensor loss = cross_entropy(graph(batch.x), batch.labels);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step >= steps - 10) loss_of_last += loss.item() / 10;
  }
  return static_cast<float>(loss_of_last);
}

inline std::vector<std::int64_t> classes(Graph& graph, const Tensor& x) {
  return argmax(infer_with(graph, x), 1).to_vector<std::int64_t>();
}

inline double accuracy(Graph& graph, const Batch& batch) {
  const auto got = classes(graph, batch.x), expected = batch.labels.to_vector<std::int64_t>();
  double right = 0;
  for (std::size_t i = 0; i < got.size(); ++i) right += got[i] == expected[i] ? 1 : 0;
  return right / static_cast<double>(got.size());
}

/// The share of equal elements.
inline double share_of_equal(const std::vector<std::int64_t>& a,
                             const std::vector<std::int64_t>& b) {
  double same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b.at(i) ? 1 : 0;
  return same / static_cast<double>(a.size());
}

/// Branchy, trained on textures.
inline const Graph& trained_branchy() {
  static const Graph trained = [] {
    Branchy net;
    Generator generator(4);
    initialize(net, generator);
    Graph graph = trace(net, Tensor::zeros({2, 3, 8, 8})).copy();
    train(graph, 150, 1e-2, 10);
    return graph;
  }();
  return trained;
}

}  // namespace pare::test
