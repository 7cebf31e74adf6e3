// Inverse trigonometric and hyperbolic functions against PyTorch; bad input.
#include "pare/core/ops/trigonometry.h"

#include <gmock/gmock.h>

#include "core/golden_trigonometry.h"
#include "expect_error.h"

namespace pare::test {
namespace {

TEST(Trigonometry, GoldenValues) {
  expect_golden(trigonometry_golden(), 3e-6F, [](const GoldenCase& c, Tensors&) {
    return Call{find_op(c.op), {}};
  });
}

TEST(Trigonometry, TakesFloatingTypesOnly) {
  const Tensor whole = Tensor::ones({3}, DType::i32);
  for (const auto& run : {asin, acos, atan, sinh, cosh, asinh, acosh, atanh})
    EXPECT_THROW(run(whole), Error);
  expect_error(ErrorCode::dtype_mismatch, {"asin", "expected a floating type", "i32"},
               [&] { asin(whole); });
}

}  // namespace
}  // namespace pare::test
