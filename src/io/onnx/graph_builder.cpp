// Building a graph: folding of constants, names, kinds of leaves.
#include "io/onnx/graph_builder.h"

#include <algorithm>

#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"

namespace pare::onnx {
namespace {

constexpr std::size_t kMaxCalls = 100'000;

}  // namespace

int GraphBuilder::add_input(const std::string& name, const Shape& shape, DType dtype) {
  const int value = graph_.add_input(name, shape, dtype);
  grow();
  name_value(value, name);
  return value;
}

int GraphBuilder::add_leaf(Graph::Kind kind, const std::string& name, Tensor tensor) {
  const bool trainable = kind == Graph::Kind::parameter;
  if (trainable) tensor.set_requires_grad();
  const int value = graph_.add_leaf(kind, name, std::move(tensor), trainable);
  grow();
  return value;
}

/// What is new since the last time.
void GraphBuilder::grow() {
  for (std::size_t v = constant_.size(); v < graph_.values().size(); ++v) {
    const Graph::Value& value = graph_.values()[v];
    constant_.push_back(value.kind == Graph::Kind::constant);
    from_leaves_.push_back(value.is_leaf());
    if (value.is_leaf()) known_.emplace(static_cast<int>(v), value.tensor);
  }
}

bool GraphBuilder::all_of(const std::vector<int>& inputs, const std::vector<bool>& property) const {
  return std::ranges::all_of(inputs,
                             [&](int v) { return v < 0 || property[static_cast<std::size_t>(v)]; });
}

std::vector<int> GraphBuilder::add_call(const std::string& name, Call call,
                                        std::vector<int> inputs) {
  PARE_CHECK(graph_.nodes().size() < kMaxCalls, unsupported, "graph",
             "expected at most {} calls, got more", kMaxCalls);
  const int n = graph_.add_node(name, std::move(call), std::move(inputs));
  grow();
  const Graph::Node& node = graph_.node(n);
  if (all_of(node.inputs, from_leaves_))
    for (const int v : node.outputs) from_leaves_[static_cast<std::size_t>(v)] = true;
  // Dequantization is the form of a quantized weight.
  if (all_of(node.inputs, constant_) && node.call.op->state.empty() &&
      node.call.op != &kDequantizeLinear && node.call.op != &kDequantizeWeight &&
      may_evaluate(node))
    fold(n);
  return graph_.node(n).outputs;
}

bool GraphBuilder::can_afford(const Shape& shape) const {
  std::size_t bytes = 8;
  for (const std::int64_t size : shape.to_vector())
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes))
      return false;
  return bytes <= budget_;
}

bool GraphBuilder::may_evaluate(const Graph::Node& node) {
  for (const int v : node.outputs) {
    const Shape& shape = graph_.value(v).shape;
    if (!can_afford(shape)) return false;
    spend(static_cast<std::size_t>(shape.elements()) * 8);
  }
  return true;
}

Tensors GraphBuilder::evaluate(const Graph::Node& node) {
  ContextScope scope;
  scope->training = scope->observing = scope->grad = false;
  scope->tracer = nullptr;
  Tensors inputs;
  for (const int v : node.inputs) inputs.push_back(v < 0 ? Tensor() : known_.at(v));
  return apply_all(node.call, inputs);
}

void GraphBuilder::fold(int n) {
  const Graph::Node node = graph_.node(n);
  const Tensors results = evaluate(node);
  for (std::size_t k = 0; k < results.size(); ++k) {
    const int v = node.outputs[k];
    Graph::Value& value = graph_.edit_value(v);
    value.kind = Graph::Kind::constant;
    value.producer = -1;
    value.tensor = results[k].to(MemoryFormat::row_major).clone();  // no view of its operand
    known_.insert_or_assign(v, value.tensor);
    constant_[static_cast<std::size_t>(v)] = true;
  }
}

const Tensor* GraphBuilder::known(int value) {
  if (!from_leaves_[static_cast<std::size_t>(value)]) return nullptr;
  if (const auto at = known_.find(value); at != known_.end()) return &at->second;
  // The nodes behind it that are not known yet, in the order of the graph.
  std::vector<int> open{value};
  std::unordered_set<int> seen;
  std::vector<int> nodes;
  while (!open.empty()) {
    const int v = open.back();
    open.pop_back();
    if (v < 0 || known_.contains(v)) continue;
    const int n = graph_.value(v).producer;
    if (!seen.insert(n).second) continue;
    nodes.push_back(n);
    open.insert(open.end(), graph_.node(n).inputs.begin(), graph_.node(n).inputs.end());
  }
  std::ranges::sort(nodes);
  for (const int n : nodes) {
    const Graph::Node& node = graph_.node(n);
    if (!node.call.op->state.empty() || !may_evaluate(node)) return nullptr;
    const Tensors results = evaluate(node);
    for (std::size_t k = 0; k < results.size(); ++k)
      known_.insert_or_assign(node.outputs[k], results[k]);
  }
  return &known_.at(value);
}

const Shape& GraphBuilder::shape(int value) {
  return shapes_.try_emplace(value, graph_.value(value).shape).first->second;
}

void GraphBuilder::name_value(int value, const std::string& name, bool again) {
  if (again)
    value_names_.insert_or_assign(value, name);
  else
    value_names_.emplace(value, name);
}
void GraphBuilder::name_node(int node, const std::string& name) { node_names_.emplace(node, name); }

/// State is a buffer, and scales of codes are not trained.
void GraphBuilder::settle_kinds() {
  const auto settle = [&](int v, Graph::Kind kind) {
    if (v < 0 || !graph_.value(v).is_leaf()) return;
    Graph::Value& value = graph_.edit_value(v);
    value.kind = kind;
    value.trainable = false;
    value.tensor.set_requires_grad(false);
  };
  for (const Graph::Node& node : graph_.nodes()) {
    const OpDef& op = *node.call.op;
    if (&op == &kQuantizeLinear || &op == &kDequantizeLinear || &op == &kDequantizeWeight)
      for (std::size_t i = 1; i < node.inputs.size(); ++i)
        settle(node.inputs[i], Graph::Kind::constant);
  }
  for (const Graph::Node& node : graph_.nodes())
    for (const StatePair& pair : node.call.op->state)
      if (pair.input < static_cast<int>(node.inputs.size()))
        settle(node.inputs[static_cast<std::size_t>(pair.input)], Graph::Kind::buffer);
}

void GraphBuilder::settle_names(const std::vector<int>& outputs) {
  // A leaf that nobody reads leaves its name to what replaces it.
  std::unordered_set<int> read(outputs.begin(), outputs.end());
  for (const Graph::Node& node : graph_.nodes())
    read.insert(node.inputs.begin(), node.inputs.end());
  for (int v = 0; v < static_cast<int>(graph_.values().size()); ++v)
    if (graph_.value(v).is_leaf() && !read.contains(v) && value_names_.erase(v) > 0)
      graph_.edit_value(v).name += "/unread";
  // Names of the file first, then the others made of them.
  const auto name_all = [](std::size_t count, const auto& given, const auto& set, const auto& now) {
    std::unordered_set<std::string> taken;
    std::unordered_map<std::string, int> next;
    const auto take = [&](int id, const std::string& wish) {
      std::string name = wish;
      while (!taken.insert(name).second) name = fmt::format("{}_{}", wish, ++next[wish]);
      set(id, name);
    };
    for (int id = 0; id < static_cast<int>(count); ++id)
      if (const auto at = given.find(id); at != given.end()) take(id, at->second);
    for (int id = 0; id < static_cast<int>(count); ++id)
      if (!given.contains(id)) take(id, now(id));
  };
  name_all(
      graph_.nodes().size(), node_names_,
      [&](int n, const std::string& name) { graph_.edit_node(n).name = name; },
      [&](int n) { return graph_.node(n).name; });
  name_all(
      graph_.values().size(), value_names_,
      [&](int v, const std::string& name) { graph_.edit_value(v).name = name; },
      [&](int v) { return graph_.value(v).name; });
}

Graph GraphBuilder::finish(std::vector<int> outputs, std::vector<std::string> output_names) {
  settle_names(outputs);
  settle_kinds();
  graph_.set_outputs(std::move(outputs), std::move(output_names));
  graph_.compact();
  // Sizes that only the data know are named after nodes, which have got their names since.
  graph_.infer_shapes();
  graph_.verify();
  return std::move(graph_);
}

}  // namespace pare::onnx
