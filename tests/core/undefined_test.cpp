// Undefined tensors and a call without an op: an Error that says where, never a crash.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

TEST(Undefined, IsAnErrorInFunctionsComposedOfOps) {
  const Tensor none;
  const Tensor a = Tensor::ones({2, 2});
  const Tensor v = Tensor::ones({2});
  const Tensor batch = Tensor::ones({1, 2, 2});
#define EXPECT_UNDEFINED(expression, where) \
  EXPECT_ERROR(expression, invalid_argument, where ": expected a tensor, got an undefined one")
  EXPECT_UNDEFINED(glu(none), "glu");
  EXPECT_UNDEFINED(dot(none, v), "dot");
  EXPECT_UNDEFINED(dot(v, none), "dot");
  EXPECT_UNDEFINED(outer(none, v), "outer");
  EXPECT_UNDEFINED(outer(v, none), "outer");
  EXPECT_UNDEFINED(bmm(none, batch), "bmm");
  EXPECT_UNDEFINED(bmm(batch, none), "bmm");
  EXPECT_UNDEFINED(baddbmm(none, batch, batch), "baddbmm");
  EXPECT_UNDEFINED(baddbmm(batch, none, batch), "baddbmm");
  EXPECT_UNDEFINED(addmm(none, a, a), "addmm");
  EXPECT_UNDEFINED(addmm(a, none, a), "addmm");
  EXPECT_UNDEFINED(addmm(a, a, none), "addmm");
  EXPECT_UNDEFINED(bilinear(none, a, batch), "bilinear");
  EXPECT_UNDEFINED(bilinear(a, none, batch), "bilinear");
  EXPECT_UNDEFINED(bilinear(a, a, none), "bilinear");
  EXPECT_UNDEFINED(flatten(none), "flatten");
  EXPECT_UNDEFINED(prelu(none, v), "prelu");
  EXPECT_UNDEFINED(prelu(batch, none), "prelu");
  EXPECT_UNDEFINED(adaptive_average_pool(none, {1}), "adaptive_average_pool");
  EXPECT_UNDEFINED(adaptive_max_pool(none, {1}), "adaptive_max_pool");
  EXPECT_UNDEFINED(global_max_pool(none), "global_max_pool");
  EXPECT_UNDEFINED(Tensor{}.mutable_raw(), "mutable_raw");
#undef EXPECT_UNDEFINED
}

TEST(Undefined, ACallNeedsAnOp) {
  const Tensors inputs{Tensor::ones({2})};
  EXPECT_ERROR(pare::apply(Call{}, inputs), invalid_argument, "apply: expected an op, got none");
  EXPECT_ERROR(apply_all(Call{}, inputs), invalid_argument, "apply: expected an op, got none");
}

}  // namespace
}  // namespace pare::test
