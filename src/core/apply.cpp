// apply: what every eager call goes through.
#include <array>
#include <memory>

#include "core/autograd.h"
#include "core/check.h"
#include "core/tensor_bytes.h"
#include "pare/core/op.h"

namespace pare {
namespace {

// Operands of nearly every call fit on the stack; concat of many does not.
constexpr std::size_t kInline = 8;

template <class T> class Operands {
 public:
  explicit Operands(std::size_t count)
      : heap_(count > kInline ? std::make_unique<T[]>(count) : nullptr), count_(count) {}
  std::span<T> span() { return {heap_ ? heap_.get() : inline_.data(), count_}; }

 private:
  std::array<T, kInline> inline_;
  std::unique_ptr<T[]> heap_;
  std::size_t count_;
};

bool has_channels_last(std::span<const Tensor> inputs) {
  for (const Tensor& t : inputs)
    if (t.defined() && t.channels_last()) return true;
  return false;
}

// The output's format under FormatRule::keep.
MemoryFormat kept_format(const Shape& output, std::span<const Tensor> inputs) {
  for (const Tensor& t : inputs)
    if (t.defined() && t.channels_last() && t.rank() == output.rank())
      return MemoryFormat::channels_last;
  return MemoryFormat::row_major;
}

Tensor make_output(InferArgs::Output& spec, MemoryFormat format) {
  detail::Ref<detail::TensorImpl> impl(new detail::TensorImpl);
  impl->storage = detail::Storage::allocate(tensor_bytes(spec.shape, spec.dtype));
  impl->shape = std::move(spec.shape);
  impl->dtype = spec.dtype;
  impl->format = format;
  return Tensor(std::move(impl));
}

/// Of any number of inputs none is optional: one that is not wanted is not there.
bool may_be_left_out(const OpDef& op, std::size_t input) {
  return op.max_inputs >= 0 && static_cast<int>(input) >= op.min_inputs;
}

void run(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  const OpDef& op = *call.op;
  const Context& ctx = context();
  const int count = static_cast<int>(inputs.size());
  PARE_CHECK(count >= op.min_inputs && (op.max_inputs < 0 || count <= op.max_inputs),
             invalid_argument, op.name, "expected {} to {} inputs, got {}", op.min_inputs,
             op.max_inputs < 0 ? std::string("any number of") : std::to_string(op.max_inputs),
             count);

  Operands<InferArgs::Input> known(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& t = inputs[i];
    PARE_CHECK(t.defined() || may_be_left_out(op, i), invalid_argument, op.name,
               "expected input {}, got an undefined tensor", i);
    known.span()[i] = t.defined() ? InferArgs::Input{&t.shape(), t.dtype(), &t}
                                  : InferArgs::Input{nullptr, DType::f32, nullptr};
  }
  Operands<InferArgs::Output> specs(outputs.size());
  InferArgs args(call, known.span(), specs.span(), ctx.training);
  op.infer(args);

  const bool channels_last = has_channels_last(inputs);
  if (op.view) {
    auto& spec = specs.span()[0];
    outputs[0] = op.view(call, inputs[0], spec.shape);
  }
  if (!op.view || !outputs[0].defined()) {
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      auto& spec = specs.span()[o];
      if (!spec.produced) continue;
      const MemoryFormat format =
          channels_last ? kept_format(spec.shape, inputs) : MemoryFormat::row_major;
      outputs[o] = make_output(spec, format);
    }
    forward(call, inputs, outputs, ctx);
  }

  if (ctx.grad && op.backward) {
    bool wanted = false;
    for (const Tensor& t : inputs) wanted = wanted || (t.defined() && t.requires_grad());
    if (wanted) detail::record(call, inputs, outputs, ctx.training);
  }
  // Saved tensors keep the storage they had; the handles that everybody holds get the new one.
  for (const StatePair& pair : op.state) {
    if (pair.input >= count) continue;
    const Tensor& now = outputs[static_cast<std::size_t>(pair.output)];
    const Tensor& slot = inputs[static_cast<std::size_t>(pair.input)];
    if (!now.defined() || !slot.defined()) continue;
    slot.impl()->storage = now.impl()->storage;
    slot.impl()->offset = now.impl()->offset;
    slot.impl()->format = now.impl()->format;
  }
  if (ctx.tracer)
    ctx.tracer->record(call, inputs, outputs.first(static_cast<std::size_t>(op.visible_outputs)));
}

// As run, with channels-last inputs converted (on the tape) for ops that know row-major only.
void run_in_format(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  if (call.op->format == FormatRule::keep || !has_channels_last(inputs)) {
    run(call, inputs, outputs);
    return;
  }
  // A view can often be taken where the elements lie in the same order in both formats.
  Operands<Tensor> converted(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    converted.span()[i] = inputs[i].defined() ? inputs[i].to(MemoryFormat::row_major) : inputs[i];
  run(call, converted.span(), outputs);
}

void check_op(const Call& call) {
  PARE_CHECK(call.op, invalid_argument, "apply", "expected an op, got none");
}

}  // namespace

Tensor apply(const Call& call, std::span<const Tensor> inputs) {
  check_op(call);
  Operands<Tensor> outputs(static_cast<std::size_t>(call.op->outputs()));
  run_in_format(call, inputs, outputs.span());
  return std::move(outputs.span()[0]);
}

Tensors apply_all(const Call& call, std::span<const Tensor> inputs) {
  check_op(call);
  Operands<Tensor> outputs(static_cast<std::size_t>(call.op->outputs()));
  run_in_format(call, inputs, outputs.span());
  const auto visible = outputs.span().first(static_cast<std::size_t>(call.op->visible_outputs));
  return {std::make_move_iterator(visible.begin()), std::make_move_iterator(visible.end())};
}

}  // namespace pare
