// Small networks that the graph's tests trace, and helpers to compare what they compute.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace pare::test {

/// Two convolutions with batch norm around a shortcut that strides and pads (option A).
struct ResidualNet : nn::Module {
  nn::Conv2d conv1{{.in = 3, .out = 8, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn1{{.features = 8}};
  nn::Conv2d conv2{{.in = 8, .out = 16, .kernel = 3, .stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn2{{.features = 16}};
  nn::Linear fc{{.in = 16, .out = 5}};

  void members(nn::Members& m) override {
    m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor y = relu(bn1(conv1(x)));
    const Tensor strided =
        slice(y, {.axes = {2, 3}, .starts = {0, 0}, .ends = {64, 64}, .steps = {2, 2}});
    const Tensor shortcut = pad(strided, {0, 4, 0, 0}, {0, 4, 0, 0});
    const Tensor z = relu(bn2(conv2(y)) + shortcut);
    return fc(flatten(global_average_pool(z)));
  }
};

/// Two branches joined by a concatenation, dropout, and a mean over the picture.
struct ConcatNet : nn::Module {
  nn::Conv2d left{{.in = 3, .out = 4, .kernel = 3, .padding = 1}};
  nn::Conv2d right{{.in = 3, .out = 6, .kernel = 1}};
  nn::BatchNorm2d norm{{.features = 6}};
  nn::ReLU activation;
  nn::Dropout dropout{{.p = 0.25}};
  nn::Conv2d joined{{.in = 10, .out = 12, .kernel = 1}};
  nn::Sequential head{nn::Linear{{.in = 12, .out = 12}}, nn::BatchNorm1d{{.features = 12}},
                      nn::Tanh{}, nn::Linear{{.in = 12, .out = 3}}};

  void members(nn::Members& m) override {
    m("left", left)("right", right)("norm", norm)("activation", activation)("dropout", dropout)(
        "joined", joined)("head", head);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor both = concat({activation(left(x)), norm(right(x))}, 1);
    const Tensor y = joined(dropout(both));
    return head(mean(reshape(y, {y.dim(0), 12, y.dim(2) * y.dim(3)}), {2}));
  }
};

inline Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  return Generator(seed).normal(shape);
}

/// First values as PyTorch's, and statistics and factors of batch norms that are no identity.
inline void fill(nn::Module& module, std::uint64_t seed = 7) {
  Generator generator(seed);
  initialize(module, generator);
  NoGrad no_grad;
  for (nn::NamedTensor& item : module.state()) {
    const auto ends_in = [&](const char* text) { return item.name.ends_with(text); };
    if (ends_in("running_mean"))
      item.tensor.copy_from(generator.normal(item.tensor.shape(), 0, 0.3F));
    if (ends_in("running_var"))
      item.tensor.copy_from(generator.uniform(item.tensor.shape(), 0.5F, 2));
    const bool of_norm = item.name.find("bn") != std::string::npos ||
                         item.name.find("norm") != std::string::npos ||
                         item.name.find("head.1") != std::string::npos;
    if (of_norm && ends_in("weight"))
      item.tensor.copy_from(generator.uniform(item.tensor.shape(), 0.5F, 1.5F));
    if (of_norm && ends_in("bias")) item.tensor.copy_from(generator.normal(item.tensor.shape()));
  }
}

inline Tensor run_one(nn::Module& module, const Tensor& x) {
  NoGrad no_grad;
  return module.run({x}).at(0);
}

inline void expect_identical(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  ASSERT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.to_vector<float>(), b.to_vector<float>());
}

/// Largest difference, relative to the largest value of b.
inline double difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  const auto x = a.to_vector<float>();
  const auto y = b.to_vector<float>();
  double most = 0;
  double largest = 1e-30;
  for (std::size_t i = 0; i < y.size(); ++i) {
    most = std::max(most, std::fabs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(y[i])));
  }
  return most / largest;
}

/// The message of the pare::Error that `action` throws, with its code.
struct Caught {
  ErrorCode code = ErrorCode::internal;
  std::string message;
};
inline Caught caught(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.message()};
  }
  ADD_FAILURE() << "expected an Error";
  return {};
}

/// Puts a mask on a weight, as pruning does: names weight_orig and weight_mask.
inline void mask(nn::Parameter& weight, const Tensor& values) {
  Expression& expression = weight.expression();
  expression.leaves[0].suffix = "_orig";
  const int leaf = expression.add_leaf({"_mask", values, false});
  expression.insert_after_leaf(0, {&kMul, {}}, {leaf});
}

}  // namespace pare::test
