// Editing a graph: adding, rewiring, putting in order.
#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "core/check.h"
#include "graph/infer_node.h"
#include "graph/size_values.h"
#include "pare/graph/graph.h"

namespace pare {

std::string Graph::unique_name(const std::string& wish) const {
  const auto is_wish = [&](const auto& named) { return named.name == wish; };
  if (std::ranges::none_of(values_, is_wish) && std::ranges::none_of(nodes_, is_wish)) return wish;
  std::unordered_set<std::string_view> taken;
  for (const Value& value : values_)
    if (value.name.starts_with(wish)) taken.insert(value.name);
  for (const Node& node : nodes_)
    if (node.name.starts_with(wish)) taken.insert(node.name);
  std::string name = wish;
  for (int k = 1; taken.contains(name); ++k) name = fmt::format("{}_{}", wish, k);
  return name;
}

int Graph::add_input(const std::string& name, const Shape& shape, DType dtype) {
  Value value;
  value.name = unique_name(name);
  value.kind = Kind::input;
  value.shape = shape;
  value.dtype = dtype;
  values_.push_back(std::move(value));
  inputs_.push_back(static_cast<int>(values_.size()) - 1);
  return inputs_.back();
}

int Graph::add_leaf(Kind kind, const std::string& name, Tensor tensor, bool trainable) {
  PARE_CHECK(kind != Kind::input && kind != Kind::result, invalid_argument, "Graph::add_leaf",
             "expected a parameter, buffer or constant for '{}', got an input or a result", name);
  PARE_CHECK(tensor.defined(), invalid_argument, "Graph::add_leaf",
             "expected a tensor for '{}', got an undefined one", name);
  Value value;
  value.name = unique_name(name);
  value.kind = kind;
  value.shape = tensor.shape();
  value.dtype = tensor.dtype();
  value.tensor = std::move(tensor);
  value.trainable = trainable;
  values_.push_back(std::move(value));
  return static_cast<int>(values_.size()) - 1;
}

int Graph::add_node(const std::string& name, Call call, std::vector<int> inputs) {
  for (const int v : inputs)
    PARE_CHECK(v >= -1 && v < static_cast<int>(values_.size()), out_of_range, "Graph::add_node",
               "expected values of the graph as inputs of '{}', got number {} of {}", name, v,
               values_.size());
  Node node;
  node.name = unique_name(name);
  node.call = std::move(call);
  node.inputs = std::move(inputs);
  const auto inferred = infer_node(*this, node.name, node.call, node.inputs);
  const int id = static_cast<int>(nodes_.size());
  for (int k = 0; k < node.call.op->visible_outputs; ++k) {
    Value value;
    value.name = k == 0 ? node.name : unique_name(fmt::format("{}.{}", node.name, k));
    value.shape = inferred[static_cast<std::size_t>(k)].shape;
    value.dtype = inferred[static_cast<std::size_t>(k)].dtype;
    value.producer = id;
    if (k == 0) value.sizes = size_values(*this, node, value.shape, value.dtype);
    values_.push_back(std::move(value));
    node.outputs.push_back(static_cast<int>(values_.size()) - 1);
  }
  nodes_.push_back(std::move(node));
  return id;
}

void Graph::set_outputs(std::vector<int> outputs) {
  if (outputs.size() != output_names_.size()) output_names_.clear();
  outputs_ = std::move(outputs);
}

void Graph::set_outputs(std::vector<int> outputs, std::vector<std::string> names) {
  PARE_CHECK(names.size() == outputs.size(), invalid_argument, "Graph::set_outputs",
             "expected a name for each of {} outputs, got {}", outputs.size(), names.size());
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names)
    PARE_CHECK(!name.empty() && seen.insert(name).second, invalid_argument, "Graph::set_outputs",
               "expected names that are different and not empty, got '{}'", name);
  outputs_ = std::move(outputs);
  output_names_ = std::move(names);
}

std::vector<std::string> Graph::output_names() const {
  if (!output_names_.empty()) return output_names_;
  std::vector<std::string> names;
  for (const int v : outputs_) {
    std::string name = value(v).name;
    for (int k = 1; std::ranges::find(names, name) != names.end(); ++k)
      name = fmt::format("{}_{}", value(v).name, k);
    names.push_back(std::move(name));
  }
  return names;
}

void Graph::replace_uses(int from, int to, int except) {
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    if (static_cast<int>(n) != except) std::ranges::replace(nodes_[n].inputs, from, to);
  if (std::ranges::find(outputs_, from) == outputs_.end()) return;
  if (output_names_.empty()) output_names_ = output_names();
  std::ranges::replace(outputs_, from, to);
}

std::vector<bool> Graph::needed_nodes() const {
  std::vector<bool> needed(nodes_.size());
  std::vector<int> open = outputs_;
  while (!open.empty()) {
    const int v = open.back();
    open.pop_back();
    const int n = v < 0 ? -1 : value(v).producer;
    if (n < 0 || needed[static_cast<std::size_t>(n)]) continue;
    needed[static_cast<std::size_t>(n)] = true;
    open.insert(open.end(), node(n).inputs.begin(), node(n).inputs.end());
  }
  return needed;
}

void Graph::compact() {
  // Depth first from each needed node in the present order: a graph that is in order stays as it
  // is.
  const std::vector<bool> needed = needed_nodes();
  enum class Mark : std::uint8_t { fresh, open, placed };
  std::vector<Mark> marks(nodes_.size(), Mark::fresh);
  std::vector<int> order;
  std::vector<std::pair<int, std::size_t>> path;  // a node and the input it goes on with
  for (std::size_t root = 0; root < nodes_.size(); ++root) {
    if (!needed[root] || marks[root] != Mark::fresh) continue;
    path.emplace_back(static_cast<int>(root), 0);
    marks[root] = Mark::open;
    while (!path.empty()) {
      const int n = path.back().first;
      const std::vector<int>& inputs = node(n).inputs;
      if (path.back().second == inputs.size()) {
        marks[static_cast<std::size_t>(n)] = Mark::placed;
        order.push_back(n);
        path.pop_back();
        continue;
      }
      const int v = inputs[path.back().second++];
      const int producer = v < 0 ? -1 : value(v).producer;
      if (producer < 0) continue;
      Mark& mark = marks[static_cast<std::size_t>(producer)];
      PARE_CHECK(mark != Mark::open, internal, "Graph::compact",
                 "expected no cycle, got one through '{}' and '{}'", node(n).name,
                 node(producer).name);
      if (mark == Mark::placed) continue;
      mark = Mark::open;
      path.emplace_back(producer, 0);
    }
  }

  std::vector<int> renumbered(values_.size(), -1);
  std::vector<Value> values;
  const auto keep = [&](int& v) {
    if (v < 0) return;
    int& now = renumbered[static_cast<std::size_t>(v)];
    if (now < 0) {
      now = static_cast<int>(values.size());
      values.push_back(std::move(values_[static_cast<std::size_t>(v)]));
    }
    v = now;
  };
  std::vector<Node> nodes;
  for (int& v : inputs_) keep(v);
  for (const int n : order) {
    Node node = std::move(nodes_[static_cast<std::size_t>(n)]);
    for (int& v : node.inputs) keep(v);
    for (int& v : node.outputs) {
      keep(v);
      values[static_cast<std::size_t>(v)].producer = static_cast<int>(nodes.size());
    }
    nodes.push_back(std::move(node));
  }
  for (int& v : outputs_) keep(v);
  nodes_ = std::move(nodes);
  values_ = std::move(values);
}

}  // namespace pare
