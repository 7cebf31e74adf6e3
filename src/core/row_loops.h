// Broadcast loops whose nest is walked in one place for all ops and types: an op gives only the
// loop over a row. Costs a call per row and compiles several times faster than zip_tensors.
#pragma once

#include "core/multiversion.h"
#include "pare/core/tensor.h"

namespace pare {

/// y[i] = f(a[i · step_a], b[i · step_b]); steps are in elements, y is dense.
struct Row {
  const void* a;
  const void* b;
  void* y;
  std::int64_t step_a, step_b, count;
};
using RowLoop = void (*)(const Row& row);

/// y = f(a, b), a and b broadcast to y's shape, any formats; `loop` knows the types of all three.
void zip_rows(const Tensor& a, const Tensor& b, Tensor& y, RowLoop loop);

template <class A, class B, class Out, class F> PARE_INLINE void row_body(const Row& row, F f) {
  const A* __restrict a = static_cast<const A*>(row.a);
  const B* __restrict b = static_cast<const B*>(row.b);
  Out* __restrict y = static_cast<Out*>(row.y);
  const std::int64_t count = row.count;
  if (row.step_a == 1 && row.step_b == 1) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(a[i], b[i]);
  } else if (row.step_a == 1 && row.step_b == 0) {
    const B value = *b;
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(a[i], value);
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(a[i * row.step_a], b[i * row.step_b]);
  }
}

/// The loop for a stateless F, compiled for the baseline only, or for each instruction set.
template <class In, class Out, class F> void plain_row(const Row& row) {
  row_body<In, In, Out>(row, F{});
}
template <class In, class Out, class F> void fast_row(const Row& row) {
  multiversion([=]() PARE_INLINE_LAMBDA { row_body<In, In, Out>(row, F{}); });
}

/// f(a, b) broadcast to `shape`, both f32 or both f64, off the tape.
Tensor combine_rows(const Tensor& a, const Tensor& b, const Shape& shape, RowLoop f32, RowLoop f64);
template <class F> Tensor combine_rows(const Tensor& a, const Tensor& b, const Shape& shape) {
  return combine_rows(a, b, shape, fast_row<float, float, F>, plain_row<double, double, F>);
}

}  // namespace pare
