// Codes for the tests of plans in int8, and the bound between a plan and the interpreter.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "runtime/nets.h"

namespace pare::test {

inline Tensor random_codes(const Shape& shape, DType dtype, std::uint64_t seed) {
  const std::vector<float> drawn = Generator(seed).uniform(shape).to_vector<float>();
  if (dtype == DType::u8) {
    std::vector<std::uint8_t> codes;
    for (const float v : drawn) codes.push_back(static_cast<std::uint8_t>(v * 256));
    return Tensor::from(codes, shape);
  }
  std::vector<std::int8_t> codes;
  for (const float v : drawn) codes.push_back(static_cast<std::int8_t>(v * 256 - 128));
  return Tensor::from(codes, shape);
}

inline std::vector<int> codes_of(const Tensor& t) {
  std::vector<int> codes;
  if (t.dtype() == DType::u8)
    for (const std::uint8_t c : t.to_vector<std::uint8_t>()) codes.push_back(c);
  else
    for (const std::int8_t c : t.to_vector<std::int8_t>()) codes.push_back(c);
  return codes;
}

/// A plan's codes beside the interpreter's: within 1, and only next to a tie. The graph's last node
/// is the quantization with this scale and zero point.
inline void expect_near(Graph graph, const Tensors& inputs, double scale, int zero) {
  const NoGrad no_grad;
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor found = plan.run(inputs)[0];
  const int result = graph.outputs()[0];
  const int real = graph.node(graph.value(result).producer).inputs[0];
  // What a residual is added to: it may cancel it, but not its rounding (docs/numerics.md).
  int sum = -1;
  for (int v = real; graph.value(v).producer >= 0;) {
    const Graph::Node& node = graph.node(graph.value(v).producer);
    v = node.inputs[0];
    if (node.call.op == &kAdd && graph.value(v).producer >= 0 &&
        graph.node(graph.value(v).producer).call.op->quantization.weight_input >= 0)
      sum = v;
    if (node.call.op->quantization.kind != QuantizationFact::Kind::fused_activation) break;
  }
  Tensor before;
  std::vector<float> summed;
  const Tensor expected = graph.run_visiting(inputs, [&](int value, const Tensor& tensor) {
    if (value == real) before = tensor;
    if (value == sum) summed = tensor.to_vector<float>();
  })[0];
  ASSERT_EQ(expected.dtype(), found.dtype());
  const auto a = codes_of(expected);
  const auto b = codes_of(found);
  const auto v = before.to_vector<float>();
  ASSERT_EQ(a.size(), b.size());
  std::map<int, int> histogram;
  std::size_t differ = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ++histogram[a[i]];
    if (a[i] == b[i]) continue;
    ++differ;
    ASSERT_LE(std::abs(a[i] - b[i]), 1) << "element " << i << "\n" << plan.to_string();
    const double y = static_cast<double>(v[i]) / scale;
    const double from_tie = std::abs(y - std::floor(y) - 0.5);
    const double rounded = summed.empty() ? 0 : std::abs(static_cast<double>(summed[i])) / scale;
    EXPECT_LE(from_tie, std::ldexp(std::abs(y) + rounded + std::abs(zero) + 1, -21)) << y;
  }
  // Averages of few codes are full of ties.
  EXPECT_LE(differ, 1 + a.size() / 50) << plan.to_string();
  EXPECT_GE(histogram.size(), 10U) << "the scale makes the test see too few codes";
}

}  // namespace pare::test
