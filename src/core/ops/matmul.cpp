// matmul: NumPy's product of matrices, batches of them, and vectors.
#include <algorithm>

#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/gemm.h"
#include "core/ops/layout.h"
#include "core/ops/matmul.h"
#include "core/size_agreement.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/parallel.h"

namespace pare {

MatmulPlan::MatmulPlan(const Shape& a, const Shape& b) {
  m = a.rank() == 1 ? 1 : a[-2];
  k = a[-1];
  n = b.rank() == 1 ? 1 : b[-1];
  const int batch_a = std::max(0, a.rank() - 2);
  const int batch_b = std::max(0, b.rank() - 2);
  const int batch = std::max(batch_a, batch_b);
  offsets.push_back({0, 0});
  // From the innermost batch axis outwards: repeat what is there for each index of the axis.
  std::int64_t step_a = m * k;
  std::int64_t step_b = k * n;
  for (int axis = 1; axis <= batch; ++axis) {
    const std::int64_t size_a = axis <= batch_a ? a[batch_a - axis] : 1;
    const std::int64_t size_b = axis <= batch_b ? b[batch_b - axis] : 1;
    const std::int64_t size = size_a == 1 ? size_b : size_a;
    const std::vector<std::pair<std::int64_t, std::int64_t>> inner = std::move(offsets);
    offsets.clear();
    for (std::int64_t i = 0; i < size; ++i)
      for (const auto& [oa, ob] : inner)
        offsets.push_back(
            {oa + (size_a == 1 ? 0 : i * step_a), ob + (size_b == 1 ? 0 : i * step_b)});
    repeats_a = repeats_a || size_a != size;
    repeats_b = repeats_b || size_b != size;
    step_a *= size_a;
    step_b *= size_b;
  }
  // Many matrices times one: a single product of more rows.
  if (batch_b == 0 && batch_a > 0) {
    m *= static_cast<std::int64_t>(offsets.size());
    offsets.assign(1, {0, 0});
    repeats_b = false;
  }
}

Shape matmul_shape(const Shape& a, const Shape& b) {
  PARE_CHECK(a.rank() >= 1 && b.rank() >= 1, shape_mismatch, "matmul",
             "expected operands of rank 1 or more, got {} and {}", a, b);
  PARE_CHECK(can_agree(a, a.rank() - 1, b, std::max(0, b.rank() - 2)), shape_mismatch, "matmul",
             "expected the last axis of the left side to equal the {} of the right, got {} and {}",
             b.rank() == 1 ? "length" : "last but one", a, b);
  Shape y;
  const int batch_a = std::max(0, a.rank() - 2);
  const int batch_b = std::max(0, b.rank() - 2);
  const int batch = std::max(batch_a, batch_b);
  for (int i = 0; i < batch; ++i) {
    const int ia = i - (batch - batch_a);
    const int ib = i - (batch - batch_b);
    const bool one_a = ia < 0 || (!a.symbolic(ia) && a[ia] == 1);
    const bool one_b = ib < 0 || (!b.symbolic(ib) && b[ib] == 1);
    PARE_CHECK(one_a || one_b || can_agree(a, ia, b, ib), shape_mismatch, "matmul",
               "expected batch axes that broadcast, got {} and {}", a, b);
    if (!one_a && !one_b) {
      append_agreed(y, a, ia, b, ib);
    } else if (ia >= 0 && (!one_a || ib < 0)) {
      y.append(a, ia);
    } else {
      y.append(b, ib);
    }
  }
  if (a.rank() > 1) y.append(a, a.rank() - 2);
  if (b.rank() > 1) y.append(b, b.rank() - 1);
  return y;
}

namespace {

void infer_matmul(InferArgs& args) {
  PARE_CHECK(args.dtype(0) == DType::f32 && args.dtype(1) == DType::f32, dtype_mismatch, "matmul",
             "expected f32 operands, got {} and {}", args.dtype(0), args.dtype(1));
  args.output(0, matmul_shape(args.shape(0), args.shape(1)), DType::f32);
}

void forward_matmul(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  const MatmulPlan plan(inputs[0].shape(), inputs[1].shape());
  const float* a = inputs[0].data<float>();
  const float* b = inputs[1].data<float>();
  float* y = outputs[0].mutable_data<float>();
  const auto batches = static_cast<std::int64_t>(plan.offsets.size());
  if (batches == 1) {
    parallel_gemm(plan.m, plan.n, plan.k, {a, plan.k}, {b, plan.n}, y, plan.n, false);
    return;
  }
  parallel_for(0, batches, plan.grain(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto [oa, ob] = plan.offsets[static_cast<std::size_t>(i)];
      gemm(plan.m, plan.n, plan.k, {a + oa, plan.k}, {b + ob, plan.n}, y + i * plan.m * plan.n,
           plan.n, false);
    }
  });
}

/// Sums product(i, accumulate) over the batches; in one thread where batches share a result.
template <class Product>
void over_batches(const MatmulPlan& plan, bool shared, const Product& product) {
  const auto batches = static_cast<std::int64_t>(plan.offsets.size());
  parallel_for(0, batches, shared ? batches : plan.grain(),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   product(i, plan.offsets[static_cast<std::size_t>(i)]);
               });
}

void backward_matmul(BackwardArgs& args) {
  const MatmulPlan plan(args.input_shape(0), args.input_shape(1));
  const std::int64_t m = plan.m;
  const std::int64_t n = plan.n;
  const std::int64_t k = plan.k;
  const Tensor grad = in_format(args.grad_output(0), MemoryFormat::row_major);
  const float* g = grad.data<float>();
  const bool one = plan.offsets.size() == 1;
  if (args.needs(0)) {
    const Tensor right = in_format(args.input(1), MemoryFormat::row_major);
    const float* b = right.data<float>();
    Tensor ga =
        plan.repeats_a ? Tensor::zeros(args.input_shape(0)) : Tensor::empty(args.input_shape(0));
    float* out = ga.mutable_data<float>();
    if (one) {
      parallel_gemm(m, k, n, {g, n}, {b, n, true}, out, k, false);
    } else {
      over_batches(plan, plan.repeats_a, [&](std::int64_t i, auto offset) {
        gemm(m, k, n, {g + i * m * n, n}, {b + offset.second, n, true}, out + offset.first, k,
             plan.repeats_a);
      });
    }
    args.set(0, std::move(ga));
  }
  if (args.needs(1)) {
    const Tensor left = in_format(args.input(0), MemoryFormat::row_major);
    const float* a = left.data<float>();
    Tensor gb =
        plan.repeats_b ? Tensor::zeros(args.input_shape(1)) : Tensor::empty(args.input_shape(1));
    float* out = gb.mutable_data<float>();
    if (one) {
      parallel_gemm(k, n, m, {a, k, true}, {g, n}, out, n, false);
    } else {
      over_batches(plan, plan.repeats_b, [&](std::int64_t i, auto offset) {
        gemm(k, n, m, {a + offset.first, k, true}, {g + i * m * n, n}, out + offset.second, n,
             plan.repeats_b);
      });
    }
    args.set(1, std::move(gb));
  }
}

void link_matmul(const Call&, ChannelLinks& links) {
  const Shape& a = links.shape(in(0));
  const Shape& b = links.shape(in(1));
  const Shape& y = links.shape(out(0));
  links.reduce(in(0), a.rank() - 1, in(1), std::max(0, b.rank() - 2));
  const int inner = (a.rank() > 1 ? 1 : 0) + (b.rank() > 1 ? 1 : 0);
  if (a.rank() > 1) links.tie(in(0), a.rank() - 2, out(0), y.rank() - inner);
  if (b.rank() > 1) links.tie(in(1), b.rank() - 1, out(0), y.rank() - 1);
  // Batch axes go index to index where they are not broadcast; heads are such an axis.
  for (int side = 0; side < 2; ++side) {
    const Shape& s = side == 0 ? a : b;
    for (int i = 0; i < s.rank() - 2; ++i) {
      const int axis = y.rank() - inner - (s.rank() - 2) + i;
      if (s.same_axis(i, y, axis) && !s.symbolic(i)) links.tie(in(side), i, out(0), axis);
    }
  }
}

}  // namespace

constinit const OpDef kMatmul = {
    .name = "matmul",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_matmul,
    .forward = forward_matmul,
    .backward = backward_matmul,
    .saves_inputs = 0b11,
    .products = 0b11,
    .kernels = &kernels::kMatmul,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_matmul},
    .quantization = {.kind = QuantizationFact::Kind::own_range,
                     .weight_input = 1,
                     .weight_axis = 1},
    .onnx = {.op_type = "MatMul"},
};

Tensor matmul(const Tensor& a, const Tensor& b) {
  return apply({&kMatmul, {}}, detail::Borrowed(a, b));
}

}  // namespace pare
