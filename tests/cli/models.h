// Small models in .pare files, which the tests of the command make themselves.
#pragma once

#include "pare/pare.h"

namespace pare::test {

struct Classifier : nn::Module {
  nn::Conv2d conv{{.in = 1, .out = 4, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d norm{{.features = 4}};
  nn::MaxPool2d pool{{.kernel = 2}};
  nn::Linear fc{{.in = 64, .out = 7}};
  void members(nn::Members& m) override { m("conv", conv)("norm", norm)("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(flatten(pool(relu(norm(conv(x)))))); }
};

inline Tensor pictures(std::int64_t count) { return Generator(5).normal({count, 1, 8, 8}); }

inline Graph classifier() {
  Generator generator(1);
  Classifier net;
  nn::initialize(net, generator);
  return trace(net, pictures(2)).copy();
}

/// The same, quantized.
inline Graph integer_classifier() {
  Graph prepared = quantize::prepare(classifier());
  prepared(pictures(16));
  return quantize::convert(prepared).graph;
}

/// {a + b, a · b} of two inputs, whose first outputs' names have a slash.
inline Graph two_inputs() {
  Graph graph;
  Shape shape;
  shape.append_symbol("n");
  shape.append(3);
  const int a = graph.add_input("a", shape, DType::f32),
            b = graph.add_input("b", shape, DType::f32);
  const auto call = [](const OpDef& op) {
    return Call{&op, op.defaults ? op.defaults() : Attributes()};
  };
  const int sum = graph.add_node("/head/sum", call(kAdd), {a, b});
  const int product = graph.add_node("product", call(kMul), {a, b});
  graph.set_outputs({graph.node(sum).outputs[0], graph.node(product).outputs[0]});
  graph.compact();
  return graph;
}

inline Tensor labels(std::int64_t count, std::int64_t classes) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back((i * 5 + 3) % classes);
  return Tensor::from(out, {count});
}

}  // namespace pare::test
