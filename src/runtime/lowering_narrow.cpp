// Lowering in bf16: which values lie in memory as bf16, and the way there and back.
#include "core/ops/line_as_picture.h"
#include "pare/core/ops.h"
#include "runtime/lowering.h"

namespace pare::runtime {

/// Whether a primitive can be made of the chain: a convolution or product with known weights.
bool Lowering::multiplies_constant(const Chain& chain) const {
  const Graph::Node& op = node(chain.op);
  if (is_picture_convolution(op.call.op)) return is_constant(op.inputs[1]);
  return (op.call.op == &kLinear || op.call.op == &kMatmul) && is_constant(op.inputs[1]) &&
         shape_of(op.inputs[1]).rank() == 2;
}

/// Whether all that read a value take it in bf16: products, which round it anyway, sums that become
/// narrow themselves, and what only moves it to another narrow value.
bool Lowering::may_stay_narrow(int value) const {
  if (uses_.is_output(value)) return false;
  for (const int n : uses_.reads(value)) {
    if (node(n).call.op == &kConcat || node(n).call.op == &kReshape) {
      if (!narrow_[static_cast<std::size_t>(output_of(n))]) return false;
      continue;
    }
    // A chain reads at its first node, and at its sum.
    const Chain* reader = nullptr;
    for (const Chain& chain : chains_)
      if (chain.op == n || chain.add == n) reader = &chain;
    if (!reader || !multiplies_constant(*reader)) return false;
    const bool source = reader->op == n && node(n).inputs[0] == value;
    const bool addend = reader->add == n && reader->other == value &&
                        narrow_[static_cast<std::size_t>(output_of(reader->last()))];
    if (!source && !addend) return false;
  }
  return true;
}

void Lowering::find_narrow() {
  narrow_.assign(graph_.values().size(), false);
  std::vector<int> candidates;
  const auto add = [&](int value) {
    narrow_[static_cast<std::size_t>(value)] = true;
    candidates.push_back(value);
  };
  for (const Chain& chain : chains_)
    if (multiplies_constant(chain)) add(output_of(chain.last()));
  for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
    const Graph::Node& moved = graph_.nodes()[n];
    const bool moves =
        moved.call.op == &kConcat || (moved.call.op == &kReshape && moved.inputs.size() == 1);
    if (moves && !inside_[n] && graph_.value(moved.outputs[0]).dtype == DType::f32)
      add(moved.outputs[0]);
  }
  // The largest set that agrees with itself.
  for (bool changed = true; changed;) {
    changed = false;
    for (const int value : candidates) {
      if (!narrow_[static_cast<std::size_t>(value)]) continue;
      bool stays = may_stay_narrow(value);
      const Graph::Node& producer = node(graph_.value(value).producer);
      if (producer.call.op == &kConcat || producer.call.op == &kReshape)
        for (const int v : producer.inputs) stays = stays && narrow_[static_cast<std::size_t>(v)];
      if (stays) continue;
      narrow_[static_cast<std::size_t>(value)] = false;
      changed = true;
    }
  }
}

/// What a step that moves `from` into `to` moves.
DType Lowering::moved_dtype(int from, int to) const {
  const DType result = result_dtype(to);
  return result == DType::bf16 ? result : graph_.value(from).dtype;
}

DType Lowering::result_dtype(int value) const {
  return !narrow_.empty() && narrow_[static_cast<std::size_t>(value)] ? DType::bf16
                                                                      : graph_.value(value).dtype;
}

int Lowering::cast(int slot, DType dtype, const std::string& name) {
  const Slot from = program_.slots[static_cast<std::size_t>(slot)];
  const Call call{&kCast, Attributes::of(CastAttributes{dtype})};
  const int to = program_.add_slot(from.shape, dtype, from.format);
  Step& step = emit(call_step(program_, call, {slot}, {to}), name);
  step.info.kernel = "cast";
  step.info.slow = false;
  return to;
}

}  // namespace pare::runtime
