// Golden cases: what PyTorch gave for an op, values and gradients, and how to compare with them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/core/error.h"
#include "pare/core/op.h"

namespace pare::test {

struct GoldenTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  Tensor tensor() const { return Tensor::from(values, Shape(std::span(shape))); }
};
/// A call by name; `numbers` are its attributes, in the order of their fields.
struct GoldenCase {
  const char* op;
  std::vector<double> numbers;
  std::vector<GoldenTensor> inputs;
  GoldenTensor output;
  GoldenTensor given;                   ///< the gradient of the output
  std::vector<GoldenTensor> gradients;  ///< of the inputs that have one, in order
};

/// The same as a constant: vectors with thousands of values in the code that fills them take a
/// compiler minutes.
struct GoldenTensorLiteral {
  std::initializer_list<std::int64_t> shape;
  std::initializer_list<float> values;
  GoldenTensor tensor() const { return {shape, values}; }
};
struct GoldenLiteral {
  const char* op;
  std::initializer_list<double> numbers;
  std::initializer_list<GoldenTensorLiteral> inputs;
  GoldenTensorLiteral output;
  GoldenTensorLiteral given;
  std::initializer_list<GoldenTensorLiteral> gradients;
};
inline std::vector<GoldenCase> golden_cases(std::span<const GoldenLiteral> literals) {
  const auto tensors = [](std::initializer_list<GoldenTensorLiteral> from) {
    std::vector<GoldenTensor> to;
    for (const GoldenTensorLiteral& t : from) to.push_back(t.tensor());
    return to;
  };
  std::vector<GoldenCase> cases;
  for (const GoldenLiteral& l : literals)
    cases.push_back({l.op, l.numbers, tensors(l.inputs), l.output.tensor(), l.given.tensor(),
                     tensors(l.gradients)});
  return cases;
}

/// Every element within `tolerance` times its size, or times 0.1 if it is smaller; NaN equals NaN.
inline void expect_close(const Tensor& found, const GoldenTensor& expected, float tolerance,
                         const std::string& what) {
  ASSERT_TRUE(found.defined()) << what;
  ASSERT_EQ(found.shape().to_vector(), expected.shape) << what;
  const std::vector<float> values = found.to(DType::f32).to_vector<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float e = expected.values[i];
    if (std::isnan(e) || std::isinf(e)) {
      EXPECT_EQ(std::isnan(e), std::isnan(values[i])) << what << " at " << i;
      if (std::isinf(e)) {
        EXPECT_EQ(values[i], e) << what << " at " << i;
      }
      continue;
    }
    EXPECT_NEAR(values[i], e, tolerance * std::max(std::abs(e), 0.1F)) << what << " at " << i;
  }
}

/// Runs run(case, inputs) in both memory formats, forwards and backwards.
template <class Run>
void expect_golden_of(const std::vector<GoldenCase>& cases, float tolerance, Run run) {
  for (const GoldenCase& c : cases) {
    for (const bool last : {false, true}) {
      Tensors inputs;
      std::string what = c.op;
      for (const GoldenTensor& t : c.inputs) {
        Tensor x = t.tensor();
        if (last && x.rank() >= 3 && x.rank() <= 5) x = x.to(MemoryFormat::channels_last);
        inputs.push_back(x.clone());
        what.append(" ").append(x.shape().to_string());
      }
      for (std::size_t i = 0; i < c.gradients.size(); ++i) inputs[i].set_requires_grad();
      if (last) what.append(", channels last");
      const Tensors leaves = inputs;
      const Tensor y = run(c, inputs);
      expect_close(y, c.output, tolerance, what);
      if (c.gradients.empty()) continue;
      y.backward(c.given.tensor());
      what.append(", a gradient");
      for (std::size_t i = 0; i < c.gradients.size(); ++i)
        expect_close(leaves[i].grad(), c.gradients[i], tolerance, what);
    }
  }
}
/// The same for the call that make_call(case, inputs) gives.
template <class MakeCall>
void expect_golden(const std::vector<GoldenCase>& cases, float tolerance, MakeCall make_call) {
  expect_golden_of(cases, tolerance, [&](const GoldenCase& c, Tensors& inputs) {
    const Call call = make_call(c, inputs);
    return pare::apply(call, inputs);
  });
}

/// The same, and its code in `code`.
template <class Run> std::string error_of(Run run, ErrorCode* code) {
  return error_of([&] {
    try {
      run();
    } catch (const Error& error) {
      *code = error.code();
      throw;
    }
  });
}

}  // namespace pare::test
