// The registry of ops, infer and forward.
#include "pare/core/op.h"

#include <array>
#include <vector>

#include "core/check.h"
#include "core/precision.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/core/ops/observers.h"
#include "pare/core/ops/round_bias.h"
#include "pare/core/ops/trigonometry.h"

namespace pare {
namespace {

constexpr std::array kOps = {
#define PARE_OP(constant) &constant,
#include "core/ops.def"
#undef PARE_OP
};

}  // namespace

ChannelLinks::~ChannelLinks() = default;
ChannelResize::~ChannelResize() = default;
OnnxEmitter::~OnnxEmitter() = default;
OnnxEmitter::Node::~Node() = default;
Tracer::~Tracer() = default;

std::span<const OpDef* const> all_ops() { return kOps; }

const OpDef* find_op(std::string_view name) {
  for (const OpDef* op : kOps)
    if (name == op->name) return op;
  return nullptr;
}

std::vector<InferArgs::Output> infer(const Call& call, std::span<const InferArgs::Input> inputs,
                                     bool training) {
  const OpDef& op = *call.op;
  const int count = static_cast<int>(inputs.size());
  PARE_CHECK(count >= op.min_inputs && (op.max_inputs < 0 || count <= op.max_inputs),
             invalid_argument, op.name, "expected {} to {} inputs, got {}", op.min_inputs,
             op.max_inputs < 0 ? std::string("any number of") : std::to_string(op.max_inputs),
             count);
  for (int i = 0; i < count; ++i) {
    // Of any number of inputs none is optional.
    const bool optional = op.max_inputs >= 0 && i >= op.min_inputs;
    PARE_CHECK(optional || inputs[static_cast<std::size_t>(i)].shape, invalid_argument, op.name,
               "expected input {}, got none", i);
  }
  std::vector<InferArgs::Output> outputs(static_cast<std::size_t>(op.outputs()));
  InferArgs args(call, inputs, outputs, training);
  op.infer(args);
  return outputs;
}

namespace {

// The products in bf16: by a kernel that has it, else on rounded operands.
void forward_bf16(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context, const char** name) {
  if (has_bf16() && call.op->kernels)
    for (const ForwardKernel& kernel : call.op->kernels->forward)
      if (kernel.bf16 && kernel.run(call, inputs, outputs, context)) {
        if (name) *name = kernel.name;
        return;
      }
  std::vector<Tensor> rounded(inputs.begin(), inputs.end());
  for (std::size_t i = 0; i < rounded.size(); ++i)
    if (call.op->products >> i & 1U) rounded[i] = rounded_to_bf16(rounded[i]);
  ContextScope plain;
  plain->precision = Precision::f32;
  forward(call, rounded, outputs, context, name);
}

}  // namespace

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context& context, const char** name) {
  const OpDef& op = *call.op;
  if (op.products && pare::context().precision == Precision::bf16) [[unlikely]] {
    forward_bf16(call, inputs, outputs, context, name);
    return;
  }
  if (op.kernels)
    for (const ForwardKernel& kernel : op.kernels->forward)
      if (kernel.run(call, inputs, outputs, context)) {
        if (name) *name = kernel.name;
        return;
      }
  if (name) *name = "reference";
  op.forward(call, inputs, outputs, context);
}

}  // namespace pare
