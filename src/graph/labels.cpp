// Axis labels: elementwise, movement and rule ops; the union-find.
#include "graph/labels.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "core/check.h"
#include "graph/smallest_sizes.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Per index of an output axis the labels that it carries; whether those sets are a clean image of
// the input axis: equal or disjoint, at least two distinct.
struct Carrier {
  std::vector<std::vector<int>> sets;

  bool clean(std::size_t labels) const {
    std::vector<int> set_of(labels + 1, -1);
    int distinct = 0;
    for (std::size_t j = 0; j < sets.size(); ++j) {
      if (sets[j].empty()) continue;
      const int known = set_of[at(sets[j].front())];
      for (const int label : sets[j])
        if (set_of[at(label)] != known) return false;
      if (known >= 0) {
        if (sets[at(known)].size() != sets[j].size()) return false;
        continue;
      }
      for (const int label : sets[j]) set_of[at(label)] = static_cast<int>(j);
      ++distinct;
    }
    return distinct >= 2;
  }
};

Carrier carrier_of(const std::vector<std::int32_t>& moved, const Shape& shape, int axis,
                   std::size_t labels) {
  const std::int64_t size = shape[axis];
  const std::int64_t inner = shape.elements(axis + 1, shape.rank());
  std::vector<bool> seen(at(size) * (labels + 1));
  Carrier c;
  c.sets.resize(at(size));
  for (std::size_t e = 0; e < moved.size(); ++e) {
    const std::int32_t label = moved[e];
    const auto j = static_cast<std::int64_t>(e) / inner % size;
    if (label == 0 || seen[at(j) * (labels + 1) + at(label)]) continue;
    seen[at(j) * (labels + 1) + at(label)] = true;
    c.sets[at(j)].push_back(label);
  }
  return c;
}

}  // namespace

// Takes an op's rule; axes that it does not mention are fixed afterwards.
class LabelRules final : public ChannelLinks {
 public:
  LabelRules(AxisLabels& labels, const Graph::Node& node) : labels_(labels), node_(node) {}

  bool has(Operand o) const override {
    const auto& list = o.is_output ? node_.outputs : node_.inputs;
    return at(o.index) < list.size() && list[at(o.index)] >= 0;
  }
  const Shape& shape(Operand o) const override { return labels_.shape(value(o)); }
  void tie(Operand x, int a, Operand y, int b) override { link(x, a, y, b); }
  void reduce(Operand x, int a, Operand y, int b) override { link(x, a, y, b); }
  void tie_at(Operand x, int a, std::int64_t i, Operand y, int b, std::int64_t j) override {
    mention(x, a);
    mention(y, b);
    labels_.unite(labels_.ids(value(x), a)[at(i)], labels_.ids(value(y), b)[at(j)]);
  }
  bool mentioned(int value, int axis) const { return mentioned_.count({value, axis}) > 0; }

 private:
  int value(Operand o) const { return (o.is_output ? node_.outputs : node_.inputs)[at(o.index)]; }
  void mention(Operand o, int axis) { mentioned_.insert({value(o), axis}); }
  void link(Operand x, int a, Operand y, int b) {
    mention(x, a);
    mention(y, b);
    const auto& left = labels_.ids(value(x), a);
    const auto& right = labels_.ids(value(y), b);
    PARE_CHECK(left.size() == right.size(), internal, node_.call.op->name,
               "expected channel axes of one size, got {} and {}", left.size(), right.size());
    for (std::size_t k = 0; k < left.size(); ++k) labels_.unite(left[k], right[k]);
  }

  AxisLabels& labels_;
  const Graph::Node& node_;
  std::set<std::pair<int, int>> mentioned_;
};

AxisLabels::AxisLabels(const Graph& graph) {
  const Graph concrete = at_smallest_sizes(graph);
  for (const Graph::Value& value : concrete.values())
    PARE_CHECK(!value.shape.symbolic(), unsupported, "channels",
               "expected sizes that do not depend on values, got {} of '{}'", value.shape,
               value.name);
  const auto count = static_cast<int>(concrete.values().size());
  ids_.resize(at(count));
  for (const Graph::Value& v : concrete.values()) shapes_.push_back(v.shape);
  for (int v = 0; v < count; ++v) {
    add_fresh(v);
    const Graph::Value& value = concrete.value(v);
    if (value.kind == Graph::Kind::input) fix(v, kInput);
  }
  for (int n = 0; n < static_cast<int>(concrete.nodes().size()); ++n) label(concrete, n);
  for (const int output : concrete.outputs()) fix(output, kOutput);

  std::vector<int> number(parent_.size(), -1);
  class_count_ = 1;
  classes_.resize(parent_.size());
  for (std::size_t id = 0; id < parent_.size(); ++id) {
    const int root = find(static_cast<int>(id));
    int& n = number[at(root)];
    if (n < 0) n = cause_[at(root)] == kFree ? class_count_++ : kFixed;
    classes_[id] = n;
  }
  for (std::size_t id = 0; id < parent_.size(); ++id)
    cause_[id] = cause_[at(find(static_cast<int>(id)))];
}

std::string AxisLabels::why_fixed(const Graph& graph, int value, int axis,
                                  std::int64_t index) const {
  const int cause = cause_[at(ids_[at(value)][at(axis)][at(index)])];
  switch (cause) {
    case kFree:
      return "it is not fixed";
    case kInput:
      return "it is coupled with an input of the graph";
    case kOutput:
      return "it is coupled with an output of the graph";
    case kOneElement:
      return "it has one channel";
    default:
      break;
  }
  const Graph::Node& node = graph.node(cause);
  return fmt::format("{} ({}) needs all channels", node.name, node.call.op->name);
}

/// Shapes and bounds that are computed say what moves where: nothing can be cut.
bool has_value_inputs(const Graph::Node& node) {
  return node.call.op->min_inputs == 1 && node.call.op->max_inputs > 1 &&
         std::any_of(node.inputs.begin() + 1, node.inputs.end(), [](int v) { return v >= 0; });
}

void AxisLabels::label(const Graph& graph, int number) {
  const Graph::Node& node = graph.node(number);
  switch (node.call.op->channels.kind) {
    case ChannelFact::Kind::elementwise:
      return label_elementwise(node);
    case ChannelFact::Kind::movement:
      if (has_value_inputs(node)) break;
      return label_movement(graph, number);
    case ChannelFact::Kind::rule:
      return label_rule(node, number);
    case ChannelFact::Kind::barrier:
      break;
  }
  for (const int v : node.inputs)
    if (v >= 0) fix(v, number);
  for (const int v : node.outputs) fix(v, number);
}

void AxisLabels::label_elementwise(const Graph::Node& node) {
  const int out = node.outputs.front();
  const Shape& shape = shapes_[at(out)];
  for (const int v : node.inputs) {
    if (v < 0) continue;
    const Shape& own = shapes_[at(v)];
    for (int a = 0; a < own.rank(); ++a) {
      const int b = a + shape.rank() - own.rank();
      if (own[a] != shape[b]) continue;  // broadcast from one element, which is fixed already
      for (std::int64_t k = 0; k < own[a]; ++k) unite(ids(v, a)[at(k)], ids(out, b)[at(k)]);
    }
  }
}

void AxisLabels::label_rule(const Graph::Node& node, int number) {
  LabelRules rules(*this, node);
  node.call.op->channels.rule(node.call, rules);
  const auto fix_others = [&](const std::vector<int>& values) {
    for (const int v : values)
      for (int a = 0; v >= 0 && a < shapes_[at(v)].rank(); ++a)
        if (!rules.mentioned(v, a)) fix(v, a, number);
  };
  fix_others(node.inputs);
  fix_others(node.outputs);
}

void AxisLabels::label_movement(const Graph& graph, int number) {
  const Graph::Node& node = graph.node(number);
  // Which output axes got labels from some input axis; the others are fixed. An index that got none
  // beside others that did is filled in: a class of its own, unless a reader ties it.
  std::size_t axes = 0;
  for (const int v : node.outputs) axes += at(shapes_[at(v)].rank());
  std::vector<std::vector<bool>> carried(node.inputs.size(), std::vector<bool>(axes));
  std::vector<bool> by_any(axes);
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const int v = node.inputs[i];
    if (v < 0) continue;
    // Indices (of gather) and other integers steer the movement: they are not moved themselves.
    if (!is_floating(graph.value(v).dtype) && i > 0 && node.call.op == &kGather) {
      fix(v, number);
      continue;
    }
    for (int a = 0; a < shapes_[at(v)].rank(); ++a)
      if (live(v, a)) move_axis(graph, number, i, a, carried[i]);
    for (std::size_t slot = 0; slot < axes; ++slot) by_any[slot] = by_any[slot] || carried[i][slot];
  }
  std::size_t slot = 0;
  for (const int v : node.outputs)
    for (int b = 0; b < shapes_[at(v)].rank(); ++b, ++slot)
      if (!by_any[slot]) fix(v, b, number);
  for (std::size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] >= 0 && carried[i] != by_any)
      move_fixed(graph, number, i, carried[i], by_any);
}

// Elements that an input brings to an axis which another input carries, but it does not itself
// (its own axis is fixed, or has one element): they must stay, at the indices where they arrive.
void AxisLabels::move_fixed(const Graph& graph, int number, std::size_t input,
                            const std::vector<bool>& carried, const std::vector<bool>& by_any) {
  const Graph::Node& node = graph.node(number);
  if (input > 0 && node.call.op == &kGather) return;  // indices bring nothing
  const Tensor ones = Tensor::full(shapes_[at(node.inputs[input])], 1, DType::i32);
  const auto outputs = run_movement(graph, node, input, ones);
  std::size_t slot = 0;
  for (std::size_t o = 0; o < node.outputs.size(); ++o) {
    const int v = node.outputs[o];
    const Shape& shape = shapes_[at(v)];
    for (int b = 0; b < shape.rank(); ++b, ++slot) {
      if (carried[slot] || !by_any[slot]) continue;
      if (!outputs) {
        fix(v, b, number);
        continue;
      }
      const Carrier c = carrier_of((*outputs)[o].to_vector<std::int32_t>(), shape, b, 1);
      for (std::size_t j = 0; j < c.sets.size(); ++j)
        if (!c.sets[j].empty()) fix_id(ids(v, b)[j], number);
    }
  }
}

// The node's outputs for labels as one of its inputs and 0 as the others; nothing where it depends
// on indices that are not known.
std::optional<Tensors> AxisLabels::run_movement(const Graph& graph, const Graph::Node& node,
                                                std::size_t input, const Tensor& labels) const {
  Call call = node.call;
  if (call.op == &kPad) {  // what is filled in must have label 0
    PadAttributes attributes = call.attributes.as<PadAttributes>();
    attributes.value = 0;
    call.attributes = Attributes::of(attributes);
  }
  Tensors inputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const int v = node.inputs[i];
    if (v < 0) {
      inputs.emplace_back();
    } else if (i > 0 && call.op == &kGather) {
      if (graph.value(v).kind != Graph::Kind::constant) return std::nullopt;
      inputs.push_back(graph.value(v).tensor);
    } else {
      inputs.push_back(i == input ? labels : Tensor::zeros(shapes_[at(v)], DType::i32));
    }
  }
  ContextScope scope;
  scope->grad = false;
  scope->tracer = nullptr;
  return apply_all(call, inputs);
}

void AxisLabels::move_axis(const Graph& graph, int number, std::size_t input, int axis,
                           std::vector<bool>& carried) {
  const Graph::Node& node = graph.node(number);
  const auto freeze = [&] { fix(node.inputs[input], axis, number); };
  Tensor numbered = Tensor::zeros(shapes_[at(node.inputs[input])], DType::i32);
  const std::int64_t size = numbered.dim(axis);
  const std::int64_t inner = numbered.shape().elements(axis + 1, numbered.rank());
  auto* data = numbered.mutable_data<std::int32_t>();
  for (std::int64_t e = 0; e < numbered.elements(); ++e)
    data[e] = static_cast<std::int32_t>(e / inner % size + 1);
  const auto run = run_movement(graph, node, input, numbered);
  if (!run) return freeze();
  const Tensors& outputs = *run;
  const auto labels = at(shapes_[at(node.inputs[input])][axis]);
  const AxisLabels::Ids from = ids(node.inputs[input], axis);
  bool moved_on = false;
  std::size_t slot = 0;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const int v = node.outputs[o];
    const Shape& shape = shapes_[at(v)];
    const auto moved = outputs[o].to_vector<std::int32_t>();
    // Among several the innermost is taken: of heads × width the width.
    int chosen = -1;
    Carrier carrier;
    for (int b = 0; b < shape.rank(); ++b)
      if (Carrier c = carrier_of(moved, shape, b, labels); c.clean(labels)) {
        chosen = b;
        carrier = std::move(c);
      }
    if (chosen < 0) {
      slot += at(shape.rank());
      // An output that holds nothing of the axis (a part of a split) does not matter.
      if (std::any_of(moved.begin(), moved.end(), [](auto l) { return l != 0; })) return freeze();
      continue;
    }
    carried[slot + at(chosen)] = true;
    for (std::size_t j = 0; j < carrier.sets.size(); ++j)
      for (const int label : carrier.sets[j]) unite(from[at(label - 1)], ids(v, chosen)[j]);
    moved_on = true;
    slot += at(shape.rank());
  }
  if (!moved_on) freeze();
}

int AxisLabels::fresh() {
  parent_.push_back(static_cast<int>(parent_.size()));
  cause_.push_back(kFree);
  return parent_.back();
}

int AxisLabels::find(int id) {
  while (parent_[at(id)] != id) {
    parent_[at(id)] = parent_[at(parent_[at(id)])];
    id = parent_[at(id)];
  }
  return id;
}

void AxisLabels::unite(int a, int b) {
  a = find(a);
  b = find(b);
  if (a == b) return;
  parent_[at(b)] = a;
  if (cause_[at(a)] == kFree) cause_[at(a)] = cause_[at(b)];
}

void AxisLabels::add_fresh(int value) {
  const Shape& shape = shapes_[at(value)];
  for (int a = 0; a < shape.rank(); ++a) {
    Ids own(at(shape[a]));
    for (int& id : own) id = fresh();
    ids_[at(value)].push_back(std::move(own));
    // An axis of one element is a broadcast or a batch of one: never cut.
    if (shape[a] == 1) fix(value, a, kOneElement);
  }
}

void AxisLabels::fix_id(int id, int cause) {
  int& known = cause_[at(find(id))];
  if (known == kFree) known = cause;
}

void AxisLabels::fix(int value, int axis, int cause) {
  for (const int id : ids(value, axis)) fix_id(id, cause);
}

void AxisLabels::fix(int value, int cause) {
  for (int a = 0; a < shapes_[at(value)].rank(); ++a) fix(value, a, cause);
}

bool AxisLabels::live(int value, int axis) {
  const Ids& own = ids(value, axis);
  return std::any_of(own.begin(), own.end(), [&](int id) { return cause_[at(find(id))] == kFree; });
}

}  // namespace pare
