// Lowering: values, chains, outputs.
#include "runtime/lowering.h"

#include <algorithm>

#include "core/aligned.h"
#include "core/check.h"
#include "core/ops/line_as_picture.h"
#include "core/tensor_bytes.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dynamic_quantize.h"

namespace pare::runtime {
std::unique_ptr<Primitive> Lowering::make(const ConvolutionSpec& spec) const {
  return options_.makers.convolution ? options_.makers.convolution(spec) : nullptr;
}

std::unique_ptr<Primitive> Lowering::make(const DenseSpec& spec) const {
  return options_.makers.dense ? options_.makers.dense(spec) : nullptr;
}

Lowering::Lowering(Graph graph, WeightStore& weights, PassReport& report,
                   const LoweringOptions& options)
    : graph_(std::move(graph)),
      weights_(weights),
      report_(report),
      groups_(quantized_groups(graph_)),
      group_at_(graph_.nodes().size(), -1),
      chain_at_(graph_.nodes().size(), -1),
      run_at_(graph_.nodes().size(), -1),
      inside_(graph_.nodes().size()),
      uses_(graph_),
      evaluate_(graph_),
      primary_(graph_.values().size(), -1),
      is_constant_(leaf_values(graph_)),
      options_(options) {
  for (std::size_t i = 0; i < graph_.inputs().size(); ++i) {
    const int slot = add_result(graph_.inputs()[i], MemoryFormat::row_major);
    Slot& s = program_.slots[static_cast<std::size_t>(slot)];
    s.place = Slot::Place::input;
    s.number = static_cast<int>(i);
  }
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    int last = -1;
    for (const int n : {groups_[g].op, groups_[g].add, groups_[g].activation, groups_[g].quantize})
      if (n >= 0) {
        inside_[static_cast<std::size_t>(n)] = true;
        last = n;
      }
    group_at_[static_cast<std::size_t>(last)] = static_cast<int>(g);
  }
  note_float_layers();
  find_chains();
  if (options.precision == Precision::bf16) find_narrow();
}

/// The bias that `sum` adds to a product with a constant matrix, −1 where it does not.
int Lowering::bias_behind(int product, int sum) const {
  const OpDef* op = node(product).call.op;
  const auto& factors = node(product).inputs;
  if (op != &kMatmul && (op != &kLinear || factors.size() > 2)) return -1;
  if (node(sum).call.op != &kAdd || !is_constant(factors[1]) || shape_of(factors[1]).rank() != 2)
    return -1;
  const auto& terms = node(sum).inputs;
  const int other = terms[terms[0] == output_of(product) ? 1 : 0];
  const Shape out{shape_of(factors[1])[op == &kMatmul ? 1 : 0]};
  return is_constant(other) && shape_of(other) == out ? other : -1;
}

Chain Lowering::chain_from(int op) const {
  const auto is_free = [&](int n) { return n >= 0 && !inside_[static_cast<std::size_t>(n)]; };
  Chain chain{.op = op};
  int value = output_of(op);
  int next = uses_.only_reader(value);
  const bool contraction = node(op).call.op != &kAdd;
  if (is_free(next)) chain.bias = bias_behind(op, next);
  if (chain.bias >= 0) {
    chain.add_bias = next;
    value = output_of(next);
    next = uses_.only_reader(value);
  }
  if (contraction && is_free(next) && node(next).call.op == &kAdd) {
    const int other = node(next).inputs[node(next).inputs[0] == value ? 1 : 0];
    if (shape_of(other) != shape_of(value)) return chain;
    chain.add = next;
    chain.other = other;
    value = output_of(next);
    next = uses_.only_reader(value);
  }
  if (!is_free(next)) return chain;
  const auto activation = activation_of(node(next).call);
  if (activation && (contraction || activation->activation == Activation::none))
    chain.activation = next;
  return chain;
}

void Lowering::add_chain(const Chain& chain) {
  for (const int member : {chain.op, chain.add_bias, chain.add, chain.activation})
    if (member >= 0) inside_[static_cast<std::size_t>(member)] = true;
  chain_at_[static_cast<std::size_t>(chain.last())] = static_cast<int>(chains_.size());
  chains_.push_back(chain);
}

// Elementwise runs take what no convolution or product takes, sums what is left of them.
void Lowering::find_chains() {
  const auto add_chains = [&](auto starts) {
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const int n = static_cast<int>(i);
      if (!inside_[i] && starts(node(n).call.op) && !is_constant(output_of(n)) &&
          graph_.value(output_of(n)).dtype == DType::f32)
        add_chain(chain_from(n));
    }
  };
  add_chains([](const OpDef* op) {
    return is_picture_convolution(op) || op == &kLinear || op == &kMatmul;
  });
  find_runs();
  add_chains([](const OpDef* op) { return op == &kAdd; });
}

Program Lowering::run() {
  for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
    const int n = static_cast<int>(i);
    if (is_constant(output_of(n))) continue;
    if (group_at_[i] >= 0)
      lower_group(groups_[static_cast<std::size_t>(group_at_[i])]);
    else if (chain_at_[i] >= 0)
      lower_chain(chains_[static_cast<std::size_t>(chain_at_[i])]);
    else if (run_at_[i] >= 0)
      lower_run(runs_[static_cast<std::size_t>(run_at_[i])]);
    else if (!inside_[i] && node(n).call.op != &kDequantizeLinear &&
             node(n).call.op != &kDynamicQuantizeLinear)
      lower_node(n);
  }
  lower_outputs();
  evaluate_.forget();
  graph_ = Graph();
  weights_.pack(packed_);
  program_.finish();
  return std::move(program_);
}

Tensor Lowering::constant_of(int value) { return is_constant(value) ? evaluate_(value) : Tensor(); }

int Lowering::add_constant(const Tensor& tensor) {
  const int slot = program_.add_slot(tensor.shape(), tensor.dtype(), tensor.format());
  Slot& s = program_.slots[static_cast<std::size_t>(slot)];
  s.place = Slot::Place::constant;
  s.constant = tensor;
  return slot;
}

int Lowering::add_result(int value, MemoryFormat format) {
  return add_result(value, format, graph_.value(value).dtype);
}

int Lowering::add_result(int value, MemoryFormat format, DType dtype) {
  return primary_[static_cast<std::size_t>(value)] =
             program_.add_slot(shape_of(value), dtype, format);
}

int Lowering::stored(int value) {
  int& slot = primary_[static_cast<std::size_t>(value)];
  if (slot >= 0) return slot;
  if (const Tensor constant = constant_of(value); constant.defined())
    return slot = add_constant(constant);
  const int producer = graph_.value(value).producer;
  if (const auto view = views_.find(value); view != views_.end()) {
    const View seen = view->second;
    views_.erase(view);
    const MemoryFormat format = program_.slots[static_cast<std::size_t>(seen.slot)].format;
    if (const int in_place = seen_in_place(seen, format); in_place >= 0)
      return primary_[static_cast<std::size_t>(value)] = in_place;
    CopyPiece piece{seen.slot,    seen.shape, seen.begin,
                    seen.strides, 0,          strides_of(seen.shape, format),
                    nullptr};
    Rearrangement what;
    what.to = add_result(value, format);
    what.element_bytes = tensor_bytes({1}, graph_.value(value).dtype);
    what.bytes = program_.slot_bytes(what.to);
    what.pieces = {piece};
    emit(rearrange_step(std::move(what)), node(producer).name);
    return primary_[static_cast<std::size_t>(value)];
  }
  PARE_ASSERT(node(producer).call.op == &kDequantizeLinear ||
              node(producer).call.op == &kDynamicQuantizeLinear);
  lower_node(producer);
  return primary_[static_cast<std::size_t>(value)];
}

MemoryFormat Lowering::format_of(int value) {
  return program_.slots[static_cast<std::size_t>(stored(value))].format;
}

int Lowering::convert(int slot, const Shape& shape, MemoryFormat format, const std::string& name) {
  const Slot from = program_.slots[static_cast<std::size_t>(slot)];
  if (from.place == Slot::Place::constant) return add_constant(from.constant.to(format));
  const int to = program_.add_slot(shape, from.dtype, format);
  if (one_order(shape)) {
    program_.slots[static_cast<std::size_t>(to)].root = slot;
    return to;
  }
  Rearrangement what;
  what.to = to;
  what.element_bytes = tensor_bytes({1}, from.dtype);
  what.bytes = program_.slot_bytes(to);
  what.pieces = {
      {slot, shape, 0, strides_of(shape, from.format), 0, strides_of(shape, format), nullptr}};
  Step& step = emit(rearrange_step(std::move(what)), name);
  const Slot& root = program_.slots[static_cast<std::size_t>(program_.root(slot))];
  if (root.place == Slot::Place::input && root.shape == shape) step.turned_input = root.number;
  return to;
}

/// A slot for what a view sees, where that lies together and in order; −1 elsewhere.
int Lowering::seen_in_place(const View& view, MemoryFormat format) {
  const DType dtype = program_.slots[static_cast<std::size_t>(view.slot)].dtype;
  const std::size_t shift = tensor_bytes({view.begin}, dtype);
  if (!same_places(view.shape, view.strides, strides_of(view.shape, format)) ||
      shift % kAlignment != 0 || view.shape.elements() == 0)
    return -1;
  const int slot = program_.add_slot(view.shape, dtype, format);
  program_.slots[static_cast<std::size_t>(slot)].root = view.slot;
  program_.slots[static_cast<std::size_t>(slot)].shift = shift;
  return slot;
}

int Lowering::slot_of(int value) { return slot_of(value, format_of(value)); }

int Lowering::slot_of(int value, MemoryFormat format) {
  return slot_of(value, format, graph_.value(value).dtype);
}

int Lowering::slot_of(int value, MemoryFormat format, DType dtype) {
  const int slot = stored(value);
  const Slot at = program_.slots[static_cast<std::size_t>(slot)];
  if (at.format == format && at.dtype == dtype) return slot;
  const auto key = std::make_tuple(value, format, dtype);
  if (const auto known = converted_.find(key); known != converted_.end()) return known->second;
  const std::string& name = graph_.value(value).name;
  const int made = at.dtype == dtype ? convert(slot, shape_of(value), format, name)
                                     : cast(slot_of(value, format, at.dtype), dtype, name);
  return converted_[key] = made;
}

View Lowering::view_of(int value, DType dtype) {
  if (const auto view = views_.find(value); view != views_.end()) return view->second;
  const int slot = slot_of(value, format_of(value), dtype);
  const Slot& s = program_.slots[static_cast<std::size_t>(slot)];
  return {slot, s.shape, 0, strides_of(s.shape, s.format)};
}

Step& Lowering::emit(std::unique_ptr<Step> step, const std::string& name, std::int64_t macs) {
  PlanStep& info = step->info;
  const auto& slots = program_.slots;
  if (!step->reads.empty()) info.source = slots[static_cast<std::size_t>(step->reads[0])].dtype;
  info.destination = slots[static_cast<std::size_t>(step->writes[0])].dtype;
  for (const int slot : step->reads) info.bytes += program_.slot_bytes(slot);
  for (const int slot : step->writes) info.bytes += program_.slot_bytes(slot);
  info.node = name;
  info.macs = macs;
  program_.steps.push_back(std::move(step));
  return *program_.steps.back();
}

void Lowering::copy_output(int number, int value, int slot) {
  const int to =
      program_.add_slot(shape_of(value), graph_.value(value).dtype, MemoryFormat::row_major);
  Slot& s = program_.slots[static_cast<std::size_t>(to)];
  s.place = Slot::Place::output;
  s.number = number;
  emit(copy_step(slot, to, program_.slot_bytes(slot)), graph_.value(value).name);
  program_.outputs.push_back(to);
}

void Lowering::lower_outputs() {
  // All are made first: the making of one may still read what another one becomes.
  std::vector<int> slots;
  for (const int value : graph_.outputs()) slots.push_back(slot_of(value, MemoryFormat::row_major));
  for (std::size_t k = 0; k < slots.size(); ++k) {
    const int slot = slots[k];
    Slot& root = program_.slots[static_cast<std::size_t>(program_.root(slot))];
    if (root.place != Slot::Place::arena || !program_.fills_root(slot)) {
      copy_output(static_cast<int>(k), graph_.outputs()[k], slot);
      continue;
    }
    root.place = Slot::Place::output;
    root.number = static_cast<int>(k);
    program_.outputs.push_back(slot);
  }
}

std::string Lowering::name_of(const Chain& chain) const {
  std::string name = node(chain.op).name;
  for (const int n : {chain.add_bias, chain.add, chain.activation})
    if (n >= 0) name += " + " + node(n).name;
  return name;
}

void Lowering::left(int n, const std::string& text) {
  for (const PassReport::Line& line : report_.left)
    if (line.node == node(n).name && line.text == text) return;
  report_.left.push_back({node(n).name, text});
}

}  // namespace pare::runtime
