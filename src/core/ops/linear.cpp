// linear: a dense layer.
#include <algorithm>

#include "core/check.h"
#include "core/kernels.h"
#include "core/ops/gemm.h"
#include "core/ops/layout.h"
#include "core/size_agreement.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

struct Sizes {
  std::int64_t rows, in, out;
};

Sizes sizes_of(const Shape& x, const Shape& weight) {
  return {x.elements(0, x.rank() - 1), weight[1], weight[0]};
}

void infer_linear(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& weight = args.shape(1);
  PARE_CHECK(args.dtype(0) == DType::f32 && args.dtype(1) == DType::f32 &&
                 (!args.has(2) || args.dtype(2) == DType::f32),
             dtype_mismatch, "linear", "expected f32 operands, got x {}, weight {}{}",
             args.dtype(0), args.dtype(1),
             args.has(2) ? fmt::format(", bias {}", args.dtype(2)) : "");
  PARE_CHECK(weight.rank() == 2, shape_mismatch, "linear",
             "expected a weight of shape [out, in], got {}", weight);
  PARE_CHECK(x.rank() >= 1 && can_agree(x, x.rank() - 1, weight, 1), shape_mismatch, "linear",
             "expected x of shape [..., {}] for a weight of shape {}, got {}", weight[1], weight,
             x);
  if (args.has(2)) {
    const Shape& bias = args.shape(2);
    PARE_CHECK(bias.rank() == 1 && bias.same_axis(0, weight, 0), shape_mismatch, "linear",
               "expected a bias of shape [{}], got {}", weight[0], bias);
  }
  Shape y;
  for (int a = 0; a + 1 < x.rank(); ++a) y.append(x, a);
  y.append(weight, 0);
  args.output(0, y, DType::f32);
}

void forward_linear(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  const Sizes s = sizes_of(inputs[0].shape(), inputs[1].shape());
  float* y = outputs[0].mutable_data<float>();
  const bool biased = inputs.size() > 2 && inputs[2].defined();
  if (biased) {
    const float* bias = inputs[2].data<float>();
    for (std::int64_t i = 0; i < s.rows; ++i) std::copy_n(bias, s.out, y + i * s.out);
  }
  parallel_gemm(s.rows, s.out, s.in, {inputs[0].data<float>(), s.in},
                {inputs[1].data<float>(), s.in, true}, y, s.out, biased);
}

void backward_linear(BackwardArgs& args) {
  const Sizes s = sizes_of(args.input_shape(0), args.input_shape(1));
  const Tensor grad = in_format(args.grad_output(0), MemoryFormat::row_major);
  const float* g = grad.data<float>();
  if (args.needs(0)) {
    Tensor gx = Tensor::empty(args.input_shape(0));
    parallel_gemm(s.rows, s.in, s.out, {g, s.out}, {args.input(1).data<float>(), s.in},
                  gx.mutable_data<float>(), s.in, false);
    args.set(0, std::move(gx));
  }
  if (args.needs(1)) {
    const Tensor x = in_format(args.input(0), MemoryFormat::row_major);
    Tensor gw = Tensor::empty(args.input_shape(1));
    parallel_gemm(s.out, s.in, s.rows, {g, s.out, true}, {x.data<float>(), s.in},
                  gw.mutable_data<float>(), s.in, false);
    args.set(1, std::move(gw));
  }
  if (args.inputs() > 2 && args.has_input(2) && args.needs(2)) {
    Tensor gb = Tensor::zeros(args.input_shape(2));
    float* sum = gb.mutable_data<float>();
    for (std::int64_t i = 0; i < s.rows; ++i)
      for (std::int64_t j = 0; j < s.out; ++j) sum[j] += g[i * s.out + j];
    args.set(2, std::move(gb));
  }
}

void link_linear(const Call&, ChannelLinks& links) {
  const int last = links.shape(in(0)).rank() - 1;
  links.tie(in(1), 0, out(0), last);
  if (links.has(in(2))) links.tie(in(2), 0, out(0), last);
  links.reduce(in(0), last, in(1), 1);
  for (int a = 1; a < last; ++a)
    if (!links.shape(in(0)).symbolic(a)) links.tie(in(0), a, out(0), a);
}

void emit_linear(const Call&, OnnxEmitter& emitter) {
  if (emitter.input_shape(0).rank() == 2) {
    std::vector<std::string> names{emitter.input(0), emitter.input(1)};
    if (emitter.has_input(2)) names.push_back(emitter.input(2));
    emitter.node("Gemm", names, {emitter.output(0)}).attribute("transB", std::int64_t{1});
    return;
  }
  const std::string transposed = emitter.temporary();
  const std::int64_t permutation[] = {1, 0};
  emitter.node("Transpose", {emitter.input(1)}, {transposed}).attribute("perm", permutation);
  const std::string product = emitter.has_input(2) ? emitter.temporary() : emitter.output(0);
  emitter.node("MatMul", {emitter.input(0), transposed}, {product});
  if (emitter.has_input(2)) emitter.node("Add", {product, emitter.input(2)}, {emitter.output(0)});
}

}  // namespace

constinit const OpDef kLinear = {
    .name = "linear",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer_linear,
    .forward = forward_linear,
    .backward = backward_linear,
    .saves_inputs = 0b11,
    .products = 0b11,
    .kernels = &kernels::kLinear,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_linear},
    .quantization = {.kind = QuantizationFact::Kind::own_range,
                     .weight_input = 1,
                     .weight_axis = 0,
                     .bias_input = 2},
    .onnx = {.op_type = "Gemm", .emit = emit_linear},
};

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (bias.defined()) return apply({&kLinear, {}}, detail::Borrowed(x, weight, bias));
  return apply({&kLinear, {}}, detail::Borrowed(x, weight));
}

}  // namespace pare
