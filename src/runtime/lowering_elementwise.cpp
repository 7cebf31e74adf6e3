// Lowering of elementwise ops that follow one another: which become one step, and that step.
#include "runtime/elementwise.h"

#include <algorithm>
#include <queue>

#include "pare/core/ops.h"
#include "runtime/lowering.h"

namespace pare::runtime {
namespace {

bool is_float_or_truth(DType dtype) { return dtype == DType::f32 || dtype == DType::boolean; }

}  // namespace

/// Whether a node may be part of an elementwise run.
bool Lowering::may_run(int n) const {
  const Graph::Node& call = node(n);
  if (inside_[static_cast<std::size_t>(n)] || !is_elementwise(*call.call.op)) return false;
  const int out = output_of(n);
  if (is_constant(out) || !is_float_or_truth(graph_.value(out).dtype)) return false;
  for (const int v : call.inputs)
    if (v < 0 || !is_float_or_truth(graph_.value(v).dtype)) return false;
  if (call.call.op != &kPow) return true;
  // The op squares where all exponents are one number: a block must not look so where the whole
  // does not.
  const Shape& exponent = shape_of(call.inputs[1]);
  return exponent == shape_of(out) ||
         (exponent.elements() == 1 && shape_of(call.inputs[0]) == shape_of(out));
}

/// The nodes, ascending, that can be computed block by block with `last`: results of its shape that
/// nobody else reads.
std::vector<int> Lowering::run_to(int last) const {
  std::vector<int> members{last};
  std::priority_queue<int> producers;  // the latest first: whoever reads it is decided before it
  const auto look_at_inputs = [&](int n) {
    for (const int v : node(n).inputs)
      if (const int producer = graph_.value(v).producer; producer >= 0) producers.push(producer);
  };
  look_at_inputs(last);
  while (!producers.empty()) {
    const int n = producers.top();
    producers.pop();
    if (n == members.back() || !may_run(n)) continue;
    const int value = output_of(n);
    const auto reads = uses_.reads(value);
    const bool is_ours = !uses_.is_output(value) && shape_of(value) == shape_of(output_of(last)) &&
                         std::ranges::all_of(reads, [&](int reader) {
                           return std::binary_search(members.rbegin(), members.rend(), reader);
                         });
    if (!is_ours) continue;
    members.push_back(n);
    look_at_inputs(n);
  }
  std::ranges::reverse(members);
  return members;
}

/// Whether it is a sum of tensors of one shape and its clip: a step of its own kind.
bool Lowering::is_clipped_sum(const std::vector<int>& run) const {
  const Graph::Node& sum = node(run[0]);
  if (run.size() != 2 || sum.call.op != &kAdd || shape_of(sum.inputs[0]) != shape_of(sum.inputs[1]))
    return false;
  const auto activation = activation_of(node(run[1]).call);
  return activation && activation->activation == Activation::none;
}

void Lowering::find_runs() {
  for (std::size_t i = graph_.nodes().size(); i-- > 0;) {
    const int last = static_cast<int>(i);
    if (!may_run(last) || graph_.value(output_of(last)).dtype != DType::f32) continue;
    std::vector<int> run = run_to(last);
    if (run.size() < 2 || is_clipped_sum(run)) continue;
    for (const int n : run) inside_[static_cast<std::size_t>(n)] = true;
    run_at_[i] = static_cast<int>(runs_.size());
    runs_.push_back(std::move(run));
  }
}

/// The format that most of a run's operands have already.
MemoryFormat Lowering::format_of_run(const std::vector<int>& operands, const Shape& shape) {
  const auto is_last = [&](int v) {
    return shape_of(v).rank() == shape.rank() && format_of(v) == MemoryFormat::channels_last;
  };
  bool has_whole = false;
  for (const int v : operands) {
    if (shape_of(v) != shape) continue;
    has_whole = has_whole || !is_constant(v);
    if (is_last(v)) return MemoryFormat::channels_last;
  }
  return !has_whole && std::ranges::any_of(operands, is_last) ? MemoryFormat::channels_last
                                                              : MemoryFormat::row_major;
}

/// The slot of an operand that is walked with a result of this shape and format. A constant of
/// lower rank whose elements come in another order is turned, others do not get here.
int Lowering::slot_in_run(int value, const Shape& shape, MemoryFormat format) {
  const Shape& own = shape_of(value);
  if (own.rank() == shape.rank()) return slot_of(value, format);
  if (in_order_of(own, shape, format)) return slot_of(value, MemoryFormat::row_major);
  std::vector<std::int64_t> padded(static_cast<std::size_t>(shape.rank() - own.rank()), 1);
  for (int a = 0; a < own.rank(); ++a) padded.push_back(own[a]);
  return add_constant(reshape(constant_of(value), padded).to(format));
}

void Lowering::lower_run(const std::vector<int>& run) {
  const int out = output_of(run.back());
  std::vector<int> operands;
  std::string name;
  ElementwiseSpec spec;
  spec.shape = shape_of(out);
  for (const int n : run) {
    ElementwiseSpec::Operation operation{node(n).call, {}, graph_.value(output_of(n)).dtype};
    for (const int v : node(n).inputs) {
      const auto made = std::ranges::find(run, graph_.value(v).producer);
      if (made != run.end()) {
        operation.inputs.push_back(~static_cast<int>(made - run.begin()));
        continue;
      }
      const auto known = std::ranges::find(operands, v);
      operation.inputs.push_back(static_cast<int>(known - operands.begin()));
      if (known == operands.end()) operands.push_back(v);
    }
    spec.operations.push_back(std::move(operation));
    name += (name.empty() ? "" : " + ") + node(n).name;
  }
  spec.format = format_of_run(operands, spec.shape);
  const bool walks = std::ranges::all_of(operands, [&](int v) {
    return shape_of(v).rank() == spec.shape.rank() || is_constant(v) ||
           in_order_of(shape_of(v), spec.shape, spec.format);
  });
  if (!walks) {
    for (const int n : run) lower_node(n);
    return;
  }
  for (const int v : operands)
    spec.operands.push_back(
        {slot_in_run(v, spec.shape, spec.format), shape_of(v), graph_.value(v).dtype});
  spec.to = add_result(out, spec.format);
  emit(elementwise_step(spec), name);
}

}  // namespace pare::runtime
