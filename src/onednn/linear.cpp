// linear in f32, forward and backward, as matrix products.
#include <algorithm>
#include <utility>

#include "core/multiversion.h"
#include "onednn/gemm.h"
#include "onednn/kernels.h"
#include "pare/core/parallel.h"

namespace pare::onednn {
namespace {

bool plain(const Tensor& t) {
  return t.dtype() == DType::f32 && t.format() == MemoryFormat::row_major && t.elements() > 0;
}

}  // namespace

bool linear_forward(const Call& /*call*/, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& /*context*/) {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  if (!plain(x) || !plain(weight)) return false;
  const std::int64_t in = weight.dim(1);
  const std::int64_t out = weight.dim(0);
  const std::int64_t rows = x.elements() / in;
  float* y = outputs[0].mutable_data<float>();
  const bool bias = inputs.size() > 2 && inputs[2].defined();
  if (bias) {
    const float* b = inputs[2].data<float>();
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(b, out, y + r * out);
  }
  multiply(rows, out, in, {x.data<float>(), in}, {weight.data<float>(), in, true}, bias ? 1.F : 0.F,
           y, out);
  return true;
}

namespace {

/// out [columns] = the sum over the rows of x.
PARE_INLINE void sum_rows_body(const float* x, std::int64_t rows, std::int64_t columns,
                               float* out) {
  std::copy_n(x, columns, out);
  for (std::int64_t r = 1; r < rows; ++r) {
    const float* row = x + r * columns;
    for (std::int64_t c = 0; c < columns; ++c) out[c] += row[c];
  }
}
PARE_MULTIVERSION(void, sum_rows,
                  (const float* x, std::int64_t rows, std::int64_t columns, float* out),
                  (x, rows, columns, out))

}  // namespace

bool linear_backward(BackwardArgs& args) {
  const Tensor& gradient = args.grad_output(0);
  if (!gradient.defined() || !plain(gradient)) return false;
  if (args.needs(0) && !plain(args.input(1))) return false;
  if (args.needs(1) && !plain(args.input(0))) return false;
  const std::int64_t in = args.input_shape(1)[1];
  const std::int64_t out = args.input_shape(1)[0];
  const std::int64_t rows = gradient.elements() / out;
  const float* g = gradient.data<float>();
  if (args.needs(0)) {
    Tensor dx = Tensor::empty(args.input_shape(0));
    multiply(rows, in, out, {g, out}, {args.input(1).data<float>(), in}, 0,
             dx.mutable_data<float>(), in);
    args.set(0, std::move(dx));
  }
  if (args.needs(1)) {
    Tensor dw = Tensor::empty(args.input_shape(1));
    multiply(out, in, rows, {g, out, true}, {args.input(0).data<float>(), in}, 0,
             dw.mutable_data<float>(), in);
    args.set(1, std::move(dw));
  }
  if (args.inputs() > 2 && args.has_input(2) && args.needs(2)) {
    Tensor db = Tensor::empty(args.input_shape(2));
    sum_rows(g, rows, out, db.mutable_data<float>());
    args.set(2, std::move(db));
  }
  return true;
}

}  // namespace pare::onednn
