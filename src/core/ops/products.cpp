// bilinear, dot, outer, bmm, addmm, baddbmm: products composed of other ops.
#include "pare/core/ops/products.h"

#include "core/check.h"
#include "core/defined.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

void check_batches(const Tensor& a, const Tensor& b, const char* where) {
  require_defined(a, where);
  require_defined(b, where);
  PARE_CHECK(a.rank() == 3 && b.rank() == 3 && a.dim(0) == b.dim(0) && a.dim(2) == b.dim(1),
             shape_mismatch, where, "expected [B, n, k] and [B, k, m], got {} and {}", a.shape(),
             b.shape());
}

Tensor add_scaled(const Tensor& c, Tensor product, const AddmmOptions& options) {
  if (options.alpha != 1) product = product * options.alpha;
  if (options.beta == 0) return product;
  return add(options.beta == 1 ? c : c * options.beta, product);
}

void check_summand(const Tensor& c, const Tensor& product, const char* where) {
  require_defined(c, where);
  bool fits = c.rank() <= product.rank();
  for (int a = 1; fits && a <= c.rank(); ++a) fits = c.dim(-a) == product.dim(-a) || c.dim(-a) == 1;
  PARE_CHECK(fits, shape_mismatch, where, "expected a summand that broadcasts to {}, got {}",
             product.shape(), c.shape());
}

}  // namespace

// As two products: x1 · W to [..., out, in2], then that with x2.
Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& weight, const Tensor& bias) {
  for (const Tensor* t : {&x1, &x2, &weight}) require_defined(*t, "bilinear");
  PARE_CHECK(weight.rank() == 3, shape_mismatch, "bilinear",
             "expected a weight of shape [out, in1, in2], got {}", weight.shape());
  const std::int64_t out = weight.dim(0);
  const std::int64_t in1 = weight.dim(1);
  const std::int64_t in2 = weight.dim(2);
  bool fits = x1.rank() >= 1 && x1.rank() == x2.rank() && x1.dim(-1) == in1 && x2.dim(-1) == in2;
  for (int a = 0; fits && a + 1 < x1.rank(); ++a) fits = x1.dim(a) == x2.dim(a);
  PARE_CHECK(fits, shape_mismatch, "bilinear",
             "expected x1 [..., {}] and x2 [..., {}] for a weight {}, got {} and {}", in1, in2,
             weight.shape(), x1.shape(), x2.shape());
  PARE_CHECK(!bias.defined() || bias.shape() == Shape{out}, shape_mismatch, "bilinear",
             "expected a bias of shape [{}], got {}", out, bias.shape());
  // [in1, out · in2], so that each row of x1 gives a matrix [out, in2].
  const Tensor flat = reshape(transpose(weight, {1, 0, 2}), {in1, out * in2});
  const Tensor rows = reshape(x1, {-1, in1});
  const Tensor matrices = reshape(matmul(rows, flat), {-1, out, in2});
  Tensor y = reshape(matmul(matrices, reshape(x2, {-1, in2, 1})), {-1, out});
  if (bias.defined()) y = add(y, bias);
  if (x1.rank() == 2) return y;
  std::vector<std::int64_t> shape(x1.shape().to_vector());
  shape.back() = out;
  return reshape(y, shape);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  require_defined(a, "dot");
  require_defined(b, "dot");
  PARE_CHECK(a.rank() == 1 && b.rank() == 1 && a.dim(0) == b.dim(0), shape_mismatch, "dot",
             "expected two vectors of one length, got {} and {}", a.shape(), b.shape());
  return sum(mul(a, b));
}

Tensor outer(const Tensor& a, const Tensor& b) {
  require_defined(a, "outer");
  require_defined(b, "outer");
  PARE_CHECK(a.rank() == 1 && b.rank() == 1, shape_mismatch, "outer",
             "expected two vectors, got {} and {}", a.shape(), b.shape());
  return mul(reshape(a, {-1, 1}), b);
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  check_batches(a, b, "bmm");
  return matmul(a, b);
}

Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b, const AddmmOptions& options) {
  for (const Tensor* t : {&c, &a, &b}) require_defined(*t, "addmm");
  PARE_CHECK(a.rank() == 2 && b.rank() == 2 && a.dim(1) == b.dim(0), shape_mismatch, "addmm",
             "expected [n, k] and [k, m], got {} and {}", a.shape(), b.shape());
  const Tensor product = matmul(a, b);
  check_summand(c, product, "addmm");
  return add_scaled(c, product, options);
}

Tensor baddbmm(const Tensor& c, const Tensor& a, const Tensor& b, const AddmmOptions& options) {
  check_batches(a, b, "baddbmm");
  const Tensor product = matmul(a, b);
  check_summand(c, product, "baddbmm");
  return add_scaled(c, product, options);
}

}  // namespace pare
