// einsum, bilinear and the named products: PyTorch's values, bad input.
#include <gtest/gtest.h>

#include "core/golden_convolution.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

TEST(Products, GivePyTorchsValues) {
  std::vector<GoldenCase> cases = convolution_golden();
  std::erase_if(cases,
                [](const GoldenCase& c) { return std::string_view(c.op).starts_with("conv"); });
  ASSERT_EQ(cases.size(), 40U);
  expect_golden_of(cases, 1e-4F, [](const GoldenCase& c, const Tensors& t) {
    const std::string_view op = c.op;
    if (op.starts_with("einsum ")) return einsum(op.substr(7), t);
    if (op == "bilinear") return bilinear(t[0], t[1], t[2], t[3]);
    if (op == "addmm")
      return addmm(t[0], t[1], t[2], {.beta = c.numbers[0], .alpha = c.numbers[1]});
    if (op == "baddbmm")
      return baddbmm(t[0], t[1], t[2], {.beta = c.numbers[0], .alpha = c.numbers[1]});
    if (op == "outer") return outer(t[0], t[1]);
    return dot(t[0], t[1]);
  });
}

TEST(Einsum, BadInput) {
  const Tensor a = Tensor::ones({2, 3});
  const Tensor b = Tensor::ones({3, 4});
  EXPECT_ERROR(einsum("ij,jk", {a}), invalid_argument, "einsum", "2 operands for 'ij,jk'", "got 1");
  EXPECT_ERROR(einsum("i", {a}), invalid_argument, "rank 1", "[2, 3]");
  EXPECT_ERROR(einsum("ijk...", {a}), invalid_argument, "rank 3 or more");
  EXPECT_ERROR(einsum("i1", {a}), invalid_argument, "letters", "got 'i1'");
  EXPECT_ERROR(einsum("i..", {a}), invalid_argument, "letters");
  EXPECT_ERROR(einsum("......", {a}), invalid_argument, "at most one '...'");
  EXPECT_ERROR(einsum("ij->ik", {a}), invalid_argument, "an operand has", "'k'");
  EXPECT_ERROR(einsum("ij->ii", {a}), invalid_argument, "once", "'i' twice");
  EXPECT_ERROR(einsum("ij->...i->", {a}), invalid_argument, "letters");
  EXPECT_ERROR(einsum("ij,ik", {a, b}), shape_mismatch, "one size for 'i'", "2 and 3");
  EXPECT_ERROR(einsum("ii", {a}), shape_mismatch, "'i' twice", "[2, 3]");
  EXPECT_ERROR(einsum("ij,jk", {a, Tensor()}), invalid_argument, "undefined");
}

// The shapes are PyTorch's.
TEST(Einsum, OfOperandsWithoutElementsGivesZeros) {
  const auto expect = [](const char* equation, const std::vector<Shape>& shapes,
                         const Shape& shape) {
    SCOPED_TRACE(equation);
    Tensors operands;
    for (const Shape& s : shapes) operands.push_back(Tensor::ones(s).set_requires_grad());
    const Tensor y = einsum(equation, operands);
    EXPECT_EQ(y.shape(), shape);
    EXPECT_EQ(y.to_vector<float>(),
              std::vector<float>(static_cast<std::size_t>(shape.elements()), 0.0F));
    sum(y).backward();
    for (const Tensor& x : operands) {
      EXPECT_EQ(x.grad().shape(), x.shape());
      EXPECT_EQ(x.grad().to_vector<float>(),
                std::vector<float>(static_cast<std::size_t>(x.elements()), 0.0F));
    }
  };
  expect("bij,bjk->bik", {{0, 2, 3}, {0, 3, 4}}, {0, 2, 4});
  expect("bij,bjk->bik", {{5, 2, 0}, {5, 0, 4}}, {5, 2, 4});
  expect("bij,bjk->bik", {{0, 2, 0}, {0, 0, 4}}, {0, 2, 4});
  expect("ij,jk", {{2, 0}, {0, 0}}, {2, 0});
  expect("ij->ji", {{0, 3}}, {3, 0});
  expect("ij->j", {{0, 3}}, {3});
  expect("ij", {{0, 3}}, {0, 3});
  expect("iij->ij", {{0, 0, 3}}, {0, 3});
  expect("ii", {{0, 0}}, {});
  expect("i,j->ij", {{0}, {0}}, {0, 0});
  expect("ij,kl->ijkl", {{0, 2}, {3, 0}}, {0, 2, 3, 0});
  expect("...i,...i->...", {{0, 2, 3}, {1, 2, 3}}, {0, 2});
  expect("...i,...i->i", {{0, 3}, {1, 3}}, {3});
}

TEST(Products, BadInput) {
  const Tensor v = Tensor::ones({3});
  const Tensor m = Tensor::ones({2, 3});
  const Tensor w = Tensor::ones({5, 3, 3});
  EXPECT_ERROR(dot(v, Tensor::ones({4})), shape_mismatch, "dot", "[3] and [4]");
  EXPECT_ERROR(outer(v, m), shape_mismatch, "outer", "two vectors");
  EXPECT_ERROR(bmm(m, m), shape_mismatch, "bmm", "[B, n, k]");
  EXPECT_ERROR(addmm(v, m, m), shape_mismatch, "addmm", "[2, 3] and [2, 3]");
  EXPECT_ERROR(addmm(Tensor::ones({4}), m, Tensor::ones({3, 3})), shape_mismatch,
               "broadcasts to [2, 3]", "[4]");
  EXPECT_ERROR(baddbmm(v, w, m), shape_mismatch, "baddbmm");
  EXPECT_ERROR(bilinear(m, m, m), shape_mismatch, "[out, in1, in2]");
  EXPECT_ERROR(bilinear(m, Tensor::ones({4, 3}), w), shape_mismatch, "bilinear", "[4, 3]");
  EXPECT_ERROR(bilinear(m, Tensor::ones({2, 4}), w), shape_mismatch, "x2 [..., 3]", "[2, 4]");
  EXPECT_ERROR(bilinear(m, m, w, v), shape_mismatch, "bias of shape [5]");
  EXPECT_EQ(bilinear(Tensor::ones({0, 3}), Tensor::ones({0, 3}), w).shape(), (Shape{0, 5}));
}

TEST(Products, ASummandTimesZeroIsNotRead) {
  const Tensor nan = Tensor::full({2, 3}, std::nan(""));
  const Tensor y = addmm(nan, Tensor::ones({2, 2}), Tensor::ones({2, 3}), {.beta = 0});
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(6, 2.0F));
}

}  // namespace
}  // namespace pare::test
