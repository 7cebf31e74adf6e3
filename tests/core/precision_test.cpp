// bf16 in products: rounded operands, f32 sums, whatever the CPU; everything else as it was.
#include "pare/core/precision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/precision.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

// By the conversions of tensors, which are other code.
Tensor rounded(const Tensor& t) { return t.to(DType::bf16).to(DType::f32); }

Tensor draw(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return generator.normal(shape);
}

void expect_near(const Tensor& found, const Tensor& expected, double tolerance) {
  ASSERT_EQ(found.shape(), expected.shape());
  ASSERT_EQ(found.dtype(), DType::f32);
  const auto a = found.to_vector<float>(), b = expected.to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a[i], b[i], tolerance * (1 + std::fabs(b[i]))) << i;
}

double distance(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<float>(), y = b.to_vector<float>();
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::fabs(x[i] - y[i]);
  return sum;
}

using Run = std::function<Tensor(const Tensors&)>;

// Result and gradients under bf16 are those of f32 on rounded operands and a rounded gradient.
// Kernels of bf16 leave the gradient of what is only added as it is; where an op multiplies several
// times over
// (`deep`) they round in between.
void expect_rounded_operands(const Run& run, const Tensors& inputs, std::uint32_t products,
                             bool deep = false) {
  context().threads = 1;
  Tensors mixed, plain;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    mixed.push_back(inputs[i].clone());
    plain.push_back(products >> i & 1U ? rounded(inputs[i]) : inputs[i].clone());
    mixed.back().set_requires_grad();
    plain.back().set_requires_grad();
  }
  Tensor y;
  {
    ContextScope scope;
    scope->precision = Precision::bf16;
    y = run(mixed);
  }
  const Tensor expected = run(plain);
  const double inside = deep && has_bf16() ? 0x1p-7 : 1e-5;
  expect_near(y, expected, inside);
  EXPECT_GT(distance(y, run(inputs)), 1e-4);  // it does round
  // The backward pass remembers, outside of the scope.
  const Tensor gradient = draw(y.shape(), 77);
  y.backward(gradient);
  expected.backward(rounded(gradient));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool multiplied = products >> i & 1U;
    expect_near(mixed[i].grad(), plain[i].grad(), multiplied || !has_bf16() ? inside : 0x1p-7);
  }
}

TEST(Precision, ProductsRoundTheirOperands) {
  expect_rounded_operands([](const Tensors& t) { return linear(t[0], t[1], t[2]); },
                          {draw({5, 7}, 1), draw({6, 7}, 2), draw({6}, 3)}, 0b11);
  expect_rounded_operands([](const Tensors& t) { return linear(t[0], t[1]); },
                          {draw({2, 3, 40}, 1), draw({33, 40}, 2)}, 0b11);
  expect_rounded_operands([](const Tensors& t) { return matmul(t[0], t[1]); },
                          {draw({3, 4, 5}, 1), draw({5, 6}, 2)}, 0b11);
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last})
    expect_rounded_operands(
        [](const Tensors& t) {
          return conv2d(t[0], t[1], t[2], {.stride = {1, 1}, .padding = {1, 1, 1, 1}});
        },
        {draw({2, 8, 9, 9}, 1).to(format), draw({16, 8, 3, 3}, 2), draw({16}, 3)}, 0b11);
  expect_rounded_operands([](const Tensors& t) { return conv1d(t[0], t[1]); },
                          {draw({2, 3, 20}, 1), draw({4, 3, 3}, 2)}, 0b11);
  expect_rounded_operands([](const Tensors& t) { return conv_transpose2d(t[0], t[1]); },
                          {draw({2, 3, 5, 5}, 1), draw({3, 4, 3, 3}, 2)}, 0b11);
  expect_rounded_operands(
      [](const Tensors& t) { return scaled_dot_product_attention(t[0], t[1], t[2]); },
      {draw({1, 2, 5, 8}, 1), draw({1, 2, 6, 8}, 2), draw({1, 2, 6, 8}, 3)}, 0b111, true);
  expect_rounded_operands(
      [](const Tensors& t) {
        return lstm(t[0], {.weights = {.ih = t[1], .hh = t[2], .bias_ih = {}, .bias_hh = {}}})[0];
      },
      {draw({3, 2, 5}, 1), draw({16, 5}, 2), draw({16, 4}, 3)}, 0b111, true);
}

TEST(Precision, OtherOpsAndTypesStayAsTheyWere) {
  const Tensor x = draw({4, 6}, 1), y = draw({4, 6}, 2);
  const auto all = [&] {
    return std::vector<std::vector<float>>{mul(x, y).to_vector<float>(), tanh(x).to_vector<float>(),
                                           sum(x).to_vector<float>(),
                                           softmax(x).to_vector<float>()};
  };
  const auto before = all();
  ContextScope scope;
  scope->precision = Precision::bf16;
  EXPECT_EQ(all(), before);
}

TEST(Precision, WhatWasRecordedInF32StaysSoUnderTheScope) {
  Tensor x = draw({3, 5}, 1), w = draw({4, 5}, 2);
  w.set_requires_grad();
  const Tensor gradient = draw({3, 4}, 3);
  linear(x, w).backward(gradient);
  const auto expected = w.grad().to_vector<float>();
  w.zero_grad();
  const Tensor y = linear(x, w);
  ContextScope scope;
  scope->precision = Precision::bf16;
  y.backward(gradient);
  EXPECT_EQ(w.grad().to_vector<float>(), expected);
}

TEST(Precision, RoundingIsThatOfTheType) {
  const Tensor x = Tensor::from(
      {0.0F, -0.0F, 1.00390625F, 1.01171875F, 3.4e38F, -INFINITY, NAN, 1e-40F, -2.5F}, {9});
  const auto found = rounded_to_bf16(x).to_vector<float>();
  const auto expected = rounded(x).to_vector<float>();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(found[i]));
    } else {
      EXPECT_EQ(found[i], expected[i]) << i;
    }
  }
  const Tensor last = draw({2, 3, 4, 5}, 1).to(MemoryFormat::channels_last);
  EXPECT_TRUE(rounded_to_bf16(last).channels_last());
  EXPECT_EQ(rounded_to_bf16(last).to_vector<float>(), rounded(last).to_vector<float>());
  const Tensor integers = Tensor::zeros({2}, DType::i64);
  EXPECT_TRUE(rounded_to_bf16(integers).same_as(integers));
  EXPECT_FALSE(rounded_to_bf16(Tensor()).defined());
}

TEST(Precision, TheCpuHasItFromItsOwnInstructionsOn) {
  EXPECT_FALSE(has_bf16(Isa::avx2));
  EXPECT_FALSE(has_bf16(Isa::avx512_vnni));
  EXPECT_TRUE(has_bf16(Isa::avx512_bf16));
  EXPECT_TRUE(has_bf16(Isa::avx512_amx));
}

}  // namespace
}  // namespace pare
