// matmul in f32, forward and backward, as one matrix product per element of the batch.
#include <array>
#include <utility>

#include "onednn/gemm.h"
#include "onednn/kernels.h"

namespace pare::onednn {
namespace {

/// The product's sizes, and how the batches of the operands advance with that of the result.
struct Sizes {
  std::int64_t batch = 1;
  std::int64_t m = 1, n = 1, k = 1;
  int axes = 0;  // of the batch
  std::array<std::int64_t, Shape::kMaxRank> size{}, a_step{}, b_step{};
  bool a_repeats = false, b_repeats = false;  // broadcast: used by several products

  Sizes(const Shape& a, const Shape& b) {
    m = a.rank() > 1 ? a[-2] : 1;
    k = a[-1];
    n = b.rank() > 1 ? b[-1] : 1;
    const int a_axes = a.rank() > 2 ? a.rank() - 2 : 0;
    const int b_axes = b.rank() > 2 ? b.rank() - 2 : 0;
    axes = a_axes > b_axes ? a_axes : b_axes;
    std::int64_t a_next = m * k;
    std::int64_t b_next = k * n;
    for (int i = axes - 1; i >= 0; --i) {  // aligned from the right
      const int ia = i - (axes - a_axes);
      const int ib = i - (axes - b_axes);
      const std::int64_t sa = ia >= 0 ? a[ia] : 1;
      const std::int64_t sb = ib >= 0 ? b[ib] : 1;
      const auto at = static_cast<std::size_t>(i);
      size[at] = sa == 1 ? sb : sa;
      a_step[at] = sa == 1 ? 0 : a_next;
      b_step[at] = sb == 1 ? 0 : b_next;
      a_repeats |= sa == 1 && sb > 1;
      b_repeats |= sb == 1 && sa > 1;
      a_next *= sa;
      b_next *= sb;
      batch *= size[at];
    }
    // One matrix b for all of a batch of a: the batch is more rows.
    if (b_axes == 0 && a_axes > 0) {
      m *= batch;
      batch = 1;
      axes = 0;
      b_repeats = false;
    }
  }

  /// Calls run(offset in a, offset in b, offset in the result) for every product.
  template <class Run> void each(Run&& run) const {
    std::array<std::int64_t, Shape::kMaxRank> index{};
    std::int64_t a = 0;
    std::int64_t b = 0;
    for (std::int64_t i = 0; i < batch; ++i) {
      run(a, b, i * m * n);
      for (int axis = axes - 1; axis >= 0; --axis) {
        const auto at = static_cast<std::size_t>(axis);
        a += a_step[at];
        b += b_step[at];
        if (++index[at] < size[at]) break;
        a -= a_step[at] * size[at];
        b -= b_step[at] * size[at];
        index[at] = 0;
      }
    }
  }
};

bool plain(const Tensor& t) {
  return t.dtype() == DType::f32 && t.format() == MemoryFormat::row_major && t.elements() > 0;
}

}  // namespace

bool matmul_forward(const Call& /*call*/, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& /*context*/) {
  if (!plain(inputs[0]) || !plain(inputs[1])) return false;
  const Sizes s(inputs[0].shape(), inputs[1].shape());
  const float* x = inputs[0].data<float>();
  const float* y = inputs[1].data<float>();
  float* z = outputs[0].mutable_data<float>();
  s.each([&](std::int64_t a, std::int64_t b, std::int64_t c) {
    multiply(s.m, s.n, s.k, {x + a, s.k}, {y + b, s.n}, 0, z + c, s.n);
  });
  return true;
}

namespace {

Tensor room(const Shape& shape, bool repeats) {
  return repeats ? Tensor::zeros(shape) : Tensor::empty(shape);
}

}  // namespace

bool matmul_backward(BackwardArgs& args) {
  const Tensor& gradient = args.grad_output(0);
  if (!gradient.defined() || !plain(gradient)) return false;
  if (args.needs(0) && !plain(args.input(1))) return false;
  if (args.needs(1) && !plain(args.input(0))) return false;
  const Sizes s(args.input_shape(0), args.input_shape(1));
  const float* g = gradient.data<float>();
  if (args.needs(0)) {  // da = dc · bᵀ
    Tensor da = room(args.input_shape(0), s.a_repeats);
    const float* y = args.input(1).data<float>();
    float* out = da.mutable_data<float>();
    s.each([&](std::int64_t a, std::int64_t b, std::int64_t c) {
      multiply(s.m, s.k, s.n, {g + c, s.n}, {y + b, s.n, true}, s.a_repeats ? 1.F : 0.F, out + a,
               s.k);
    });
    args.set(0, std::move(da));
  }
  if (args.needs(1)) {  // db = aᵀ · dc
    Tensor db = room(args.input_shape(1), s.b_repeats);
    const float* x = args.input(0).data<float>();
    float* out = db.mutable_data<float>();
    s.each([&](std::int64_t a, std::int64_t b, std::int64_t c) {
      multiply(s.k, s.n, s.m, {x + a, s.k, true}, {g + c, s.n}, s.b_repeats ? 1.F : 0.F, out + b,
               s.n);
    });
    args.set(1, std::move(db));
  }
  return true;
}

}  // namespace pare::onednn
