// transpose: axes in another order.
#include <vector>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/strided.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

void check_permutation(const std::vector<std::int64_t>& permutation, const Shape& x) {
  bool seen[Shape::kMaxRank] = {};
  bool fits = static_cast<int>(permutation.size()) == x.rank();
  for (const std::int64_t axis : permutation) {
    fits = fits && axis >= 0 && axis < x.rank() && !seen[axis];
    if (!fits) break;
    seen[axis] = true;
  }
  PARE_CHECK(fits, invalid_argument, "transpose",
             "expected a permutation of 0 to {} for x {}, got [{}]", x.rank() - 1, x,
             listed(permutation));
}

void infer_transpose(InferArgs& args) {
  const std::vector<std::int64_t>& permutation =
      args.call.attributes.as<TransposeAttributes>().permutation;
  check_permutation(permutation, args.shape(0));
  movable_bytes(args.dtype(0), "transpose");
  Shape y;
  for (const std::int64_t axis : permutation) y.append(args.shape(0), static_cast<int>(axis));
  args.output(0, y, args.dtype(0));
}

void forward_transpose(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context&) {
  const std::vector<std::int64_t>& permutation =
      call.attributes.as<TransposeAttributes>().permutation;
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  const Strides from = strides_of(x);
  Strides permuted{};
  for (std::size_t a = 0; a < permutation.size(); ++a)
    permuted[a] = from[static_cast<std::size_t>(permutation[a])];
  copy_strided(y.shape(), movable_bytes(x.dtype(), "transpose"), {y.mutable_raw(), strides_of(y)},
               {x.raw(), permuted});
}

void backward_transpose(BackwardArgs& args) {
  const std::vector<std::int64_t>& permutation =
      args.call().attributes.as<TransposeAttributes>().permutation;
  const Tensor& g = args.grad_output(0);
  Tensor gx = Tensor::empty(args.input_shape(0), g.dtype());
  const Strides to = strides_of(gx);
  Strides permuted{};
  for (std::size_t a = 0; a < permutation.size(); ++a)
    permuted[a] = to[static_cast<std::size_t>(permutation[a])];
  copy_strided(g.shape(), movable_bytes(g.dtype(), "transpose"), {gx.mutable_raw(), permuted},
               {g.raw(), strides_of(g)});
  args.set(0, std::move(gx));
}

void emit_transpose(const Call& call, OnnxEmitter& emitter) {
  emitter.node("Transpose", {emitter.input(0)}, {emitter.output(0)})
      .attribute("perm", call.attributes.as<TransposeAttributes>().permutation);
}

}  // namespace

constinit const OpDef kTranspose = {
    .name = "transpose",
    .infer = infer_transpose,
    .forward = forward_transpose,
    .backward = backward_transpose,
    .defaults = [] { return Attributes::of(TransposeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::movement},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Transpose", .opset = 1, .emit = emit_transpose},
};

Tensor transpose(const Tensor& x, const std::vector<std::int64_t>& permutation) {
  return apply({&kTranspose, Attributes::of(TransposeAttributes{permutation})},
               detail::Borrowed(x));
}

}  // namespace pare
