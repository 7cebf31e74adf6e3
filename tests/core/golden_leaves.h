// Golden cases whose inputs are leaves of the tape: running one and comparing its gradients.
#pragma once

#include <string>
#include <vector>

#include "core/golden.h"
#include "pare/core/context.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/module.h"

namespace pare::test {

inline Tensor i64s(const std::vector<std::int64_t>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}
inline Tensor numbers_from(const GoldenCase& c, std::size_t first, std::size_t count) {
  std::vector<std::int64_t> values(c.numbers.begin() + static_cast<std::ptrdiff_t>(first),
                                   c.numbers.begin() + static_cast<std::ptrdiff_t>(first + count));
  return i64s(values, {static_cast<std::int64_t>(count)});
}

/// All outputs, one behind the other.
inline Tensor flat(const Tensors& outputs) {
  Tensors rows;
  for (const Tensor& t : outputs) rows.push_back(reshape(t, {-1}));
  return concat(rows, 0);
}

/// The inputs of a case, those with a gradient as leaves.
inline Tensors leaves_of(const GoldenCase& c) {
  Tensors inputs;
  for (const GoldenTensor& t : c.inputs) {
    Tensor x = t.tensor();
    if (inputs.size() < c.gradients.size()) x.set_requires_grad();
    inputs.push_back(x);
  }
  return inputs;
}

/// Compares a result with the case's, and the gradients of leaves.
inline void expect_case(const GoldenCase& c, const Tensor& y, const Tensors& leaves,
                        float tolerance) {
  expect_close(y, c.output, tolerance, c.op);
  if (c.gradients.empty()) return;
  y.backward(c.given.tensor());
  for (std::size_t i = 0; i < c.gradients.size(); ++i)
    expect_close(leaves[i].grad(), c.gradients[i], tolerance,
                 std::string(c.op) + ", gradient " + std::to_string(i));
}

/// States that a case gives to its module, of those that there are.
struct GoldenStates {
  std::size_t given, all;
};

/// Runs a recurrent module with the case's weights: x, the states, then the parameters in their
/// order; numbers from the seventh on are lengths.
inline void expect_module(const GoldenCase& c, nn::Module& net, const GoldenStates& states) {
  Generator generator(1);
  nn::initialize(net, generator);
  const Tensors inputs = leaves_of(c);
  std::size_t next = 1 + states.given;
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
  for (std::size_t s = 1; s <= states.all; ++s)
    operands.push_back(s <= states.given ? inputs[s] : Tensor());
  if (c.numbers.size() > 7) operands.push_back(numbers_from(c, 7, c.numbers.size() - 7));
  expect_case(c, flat(net.run(operands)), leaves, 2e-5F);
}

}  // namespace pare::test
