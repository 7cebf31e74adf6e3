// Small networks and data for the tests of quantize.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "pare/pare.h"

namespace pare::test {

/// convolution of any kind → [batch norm] → [relu].
template <class Conv, class Norm> struct OneConvOf : nn::Module {
  template <class Options>
  OneConvOf(bool with_norm, bool with_relu, const Options& options)
      : conv(options),
        norm({.features = options.out}),
        with_norm_(with_norm),
        with_relu_(with_relu) {}
  Conv conv;
  Norm norm;
  void members(nn::Members& m) override {
    m("conv", conv);
    if (with_norm_) m("norm", norm);
  }
  Tensor forward(const Tensor& x) override {
    Tensor y = conv(x);
    if (with_norm_) y = norm(y);
    return with_relu_ ? relu(y) : y;
  }

 private:
  bool with_norm_, with_relu_;
};
using OneConv = OneConvOf<nn::Conv2d, nn::BatchNorm2d>;

/// Two products of activations with scores between: what attention is made of. x [N, T, 8].
struct Scores : nn::Module {
  nn::Linear query{{.in = 8, .out = 8}};
  nn::Linear key{{.in = 8, .out = 8}};
  nn::Linear value{{.in = 8, .out = 8}};
  nn::Linear out{{.in = 8, .out = 5}};
  void members(nn::Members& m) override {
    m("query", query)("key", key)("value", value)("out", out);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor scores = matmul(query(x), transpose(key(x), {0, 2, 1}));
    // Nobody sees what comes after it.
    const std::int64_t length = x.dim(1);
    Tensor mask = Tensor::zeros({length, length});
    float* m = mask.mutable_data<float>();
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t k = i + 1; k < length; ++k) m[i * length + k] = -1e9F;
    return out(matmul(softmax(add(scores * 0.35F, mask), -1), value(x)));
  }
};

/// x · xᵀ.
struct OneProduct : nn::Module {
  void members(nn::Members&) override {}
  Tensor forward(const Tensor& x) override { return matmul(x, transpose(x, {0, 2, 1})); }
};

/// linear → [relu].
struct OneLinear : nn::Module {
  explicit OneLinear(bool with_relu) : with_relu_(with_relu) {}
  nn::Linear fc{{.in = 40, .out = 12}};
  void members(nn::Members& m) override { m("fc", fc); }
  Tensor forward(const Tensor& x) override { return with_relu_ ? relu(fc(x)) : fc(x); }

 private:
  bool with_relu_;
};

/// x · w.
struct OneMatmul : nn::Module {
  nn::Parameter weight{Shape{40, 12}};
  void members(nn::Members& m) override { m("weight", weight); }
  Tensor forward(const Tensor& x) override { return matmul(x, weight); }
  void reset(Generator& generator) override { weight.set(generator.normal({40, 12}, 0, 0.2F)); }
};

/// Residual sum, max pooling, concatenation, average pooling, a depthwise layer, dropout.
struct Branchy : nn::Module {
  nn::Conv2d stem{{.in = 3, .out = 8, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d stem_norm{{.features = 8}};
  nn::Conv2d inner{{.in = 8, .out = 8, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d inner_norm{{.features = 8}};
  nn::Conv2d left{{.in = 8, .out = 6, .kernel = 1}};
  nn::Conv2d right{{.in = 8, .out = 8, .kernel = 3, .padding = 1, .groups = 8}};
  nn::Dropout dropout{{.p = 0.1}};
  nn::Linear fc{{.in = 14, .out = 5}};
  void members(nn::Members& m) override {
    m("stem", stem)("stem_norm", stem_norm)("inner", inner)("inner_norm", inner_norm);
    m("left", left)("right", right)("dropout", dropout)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor a = relu(stem_norm(stem(x)));
    const Tensor b = relu(add(inner_norm(inner(a)), a));
    const Tensor c = max_pool2d(b);
    const Tensor d = concat({relu(left(c)), relu6(right(c))}, 1);
    return fc(dropout(flatten(global_average_pool(d))));
  }
};

/// Power of a over that of the difference, in decibels.
inline double sqnr(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<float>(), y = b.to_vector<float>();
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    signal += static_cast<double>(x[i]) * x[i];
    noise += (static_cast<double>(x[i]) - y[i]) * (static_cast<double>(x[i]) - y[i]);
  }
  return 10 * std::log10(signal / noise);
}

/// A graph over copies of the module's tensors, initialized; batch norms with unlike factors, a
/// negative and a zero one among them.
template <class Net> Graph graph_of(Net& net, const Tensor& example, std::uint64_t seed = 1) {
  Generator generator(seed);
  initialize(net, generator);
  net.for_each_module([&](const std::string&, nn::Module& part) {
    auto* norm = dynamic_cast<nn::BatchNorm*>(&part);
    if (!norm) return;
    Tensor gamma = generator.uniform(norm->weight.shape(), 0.5F, 1.5F);
    gamma.mutable_data<float>()[0] *= -1;
    gamma.mutable_data<float>()[1] = 0;
    norm->weight.set(gamma);
    norm->bias.set(generator.normal(norm->bias.shape(), 0.2F, 0.3F));
  });
  return trace(net, example).copy();
}

/// Values of every node by name, of one inference.
struct Seen {
  std::vector<std::pair<std::string, Tensor>> values;
  const Tensor* find(const std::string& name) const {
    for (const auto& [n, t] : values)
      if (n == name) return &t;
    return nullptr;
  }
};
inline Seen look_inside(Graph& graph, const Tensor& x) {
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  Seen seen;
  graph.run_visiting({x}, [&](int value, const Tensor& tensor) {
    seen.values.emplace_back(graph.value(value).name, tensor);
  });
  return seen;
}
inline Tensor infer_with(Graph& graph, const Tensor& x) {
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  return graph(x);
}

}  // namespace pare::test
