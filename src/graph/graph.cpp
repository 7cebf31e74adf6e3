// Graph: copies, lookups and the printed table.
#include "pare/graph/graph.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/check.h"

namespace pare {

namespace {

/// Clones tensors, each once, so that values that shared one go on sharing one.
class Cloner {
 public:
  Tensor operator()(const Tensor& tensor) {
    auto [at, fresh] = clones_.try_emplace(tensor.impl());
    if (fresh) {
      at->second = tensor.clone();
      if (tensor.requires_grad()) at->second.set_requires_grad();
    }
    return at->second;
  }

 private:
  std::unordered_map<detail::TensorImpl*, Tensor> clones_;
};

const char* word(Graph::Kind kind) {
  switch (kind) {
    case Graph::Kind::input:
      return "input";
    case Graph::Kind::parameter:
      return "parameter";
    case Graph::Kind::buffer:
      return "buffer";
    case Graph::Kind::constant:
      return "constant";
    case Graph::Kind::result:
      return "result";
  }
  return "";
}

/// Sets a field called "frozen" where the attributes have one.
class Freeze final : public AttributeVisitor {
 public:
  explicit Freeze(bool on) : on_(on) {}
  void operator()(const char* name, bool& value) override {
    if (std::string_view(name) == "frozen") value = on_;
  }
  void operator()(const char*, std::int64_t&) override {}
  void operator()(const char*, double&) override {}
  void operator()(const char*, std::string&) override {}
  void operator()(const char*, DType&) override {}
  void operator()(const char*, std::vector<std::int64_t>&) override {}
  void operator()(const char*, std::vector<double>&) override {}
  void operator()(const char*, std::span<std::int64_t>) override {}

 private:
  bool on_;
};

}  // namespace

void Graph::no_such(int id, std::size_t count, const char* what) {
  fail(ErrorCode::out_of_range, "Graph", "expected the number of a {}, below {}, got {}", what,
       count, id);
}

Graph::Graph(const Graph& other)
    : nn::Module(other),
      nodes_(other.nodes_),
      values_(other.values_),
      inputs_(other.inputs_),
      outputs_(other.outputs_),
      output_names_(other.output_names_),
      metadata_(other.metadata_) {
  Cloner clone;
  for (Value& value : values_)
    if (value.is_leaf()) value.tensor = clone(value.tensor);
}

Graph& Graph::operator=(const Graph& other) {
  if (this == &other) return *this;
  std::map<std::string_view, const Value*> mine;
  for (const Value& value : values_)
    if (value.is_leaf()) mine.emplace(value.name, &value);
  Graph next = other.share();
  Cloner clone;
  NoGrad no_grad;
  for (Value& value : next.values_) {
    if (!value.is_leaf()) continue;
    const auto at = mine.find(value.name);
    if (at == mine.end() || at->second->shape != value.shape || at->second->dtype != value.dtype) {
      value.tensor = clone(value.tensor);
      continue;
    }
    Tensor kept = at->second->tensor;
    if (!kept.same_as(value.tensor)) kept.copy_from(value.tensor);
    value.tensor = std::move(kept);
  }
  return *this = std::move(next);
}

Graph Graph::share() const {
  Graph shared;
  shared.nodes_ = nodes_;
  shared.values_ = values_;
  shared.inputs_ = inputs_;
  shared.outputs_ = outputs_;
  shared.output_names_ = output_names_;
  shared.metadata_ = metadata_;
  return shared;
}

int Graph::find_value(std::string_view name) const {
  const auto at = std::ranges::find(values_, name, &Value::name);
  return at == values_.end() ? -1 : static_cast<int>(at - values_.begin());
}

int Graph::find_node(std::string_view name) const {
  const auto at = std::ranges::find(nodes_, name, &Node::name);
  return at == nodes_.end() ? -1 : static_cast<int>(at - nodes_.begin());
}

std::vector<int> Graph::readers(int value) const {
  std::vector<int> found;
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    if (std::ranges::find(nodes_[n].inputs, value) != nodes_[n].inputs.end())
      found.push_back(static_cast<int>(n));
  return found;
}

bool Graph::is_output(int value) const {
  return std::ranges::find(outputs_, value) != outputs_.end();
}

std::size_t Graph::bytes() const {
  std::size_t sum = 0;
  for (const Value& value : values_)
    if (value.is_leaf()) sum += value.tensor.bytes();
  return sum;
}

bool Graph::has_value(std::string_view name) const {
  const int v = find_value(name);
  return v >= 0 ? !value(v).is_leaf() : find_node(name) >= 0;
}

bool Graph::has_leaf(std::string_view name) const {
  const int v = find_value(name);
  return v >= 0 && value(v).trainable;
}

std::int64_t Graph::set_leaves_trainable(const std::function<bool(std::string_view)>& chosen,
                                         bool on) {
  std::int64_t count = 0;
  for (Value& value : values_) {
    if (value.kind != Kind::parameter || !is_floating(value.dtype) || !chosen(value.name)) continue;
    value.trainable = on;
    value.tensor.set_requires_grad(on);
    if (!on) value.tensor.zero_grad();
    ++count;
  }
  return count;
}

void Graph::members(nn::Members& m) {
  const std::vector<bool> needed = needed_nodes();
  std::vector<bool> read(values_.size());
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    if (needed[n])
      for (const int v : nodes_[n].inputs)
        if (v >= 0) read[static_cast<std::size_t>(v)] = true;
  for (const int v : outputs_) read[static_cast<std::size_t>(v)] = true;
  for (std::size_t v = 0; v < values_.size(); ++v) {
    Value& value = values_[v];
    if (read[v] && (value.kind == Kind::parameter || value.kind == Kind::buffer))
      m.leaf(value.name, value.tensor, value.trainable);
  }
}

void Graph::set_mode(bool train) {
  Freeze freeze(!train);
  for (Node& node : nodes_)
    if (node.call.attributes) node.call.attributes = node.call.attributes.rewritten(freeze);
}

std::string Graph::to_string() const {
  const auto name_of = [&](int v) { return v < 0 ? std::string("-") : value(v).name; };
  const auto typed = [&](const Value& v) {
    return fmt::format("{}: {}{}", v.name, traits(v.dtype).name, v.shape);
  };
  const auto row = [](std::string_view left, std::string_view right) {
    return fmt::format("  {:<44} {}\n", left, right);
  };
  std::string text = "graph\n";
  for (const Value& v : values_)
    if (v.kind != Kind::result)
      text += row(typed(v), fmt::format("{}{}", word(v.kind), v.trainable ? ", trained" : ""));
  for (const Node& node : nodes_) {
    std::vector<std::string> in;
    for (const int v : node.inputs) in.push_back(name_of(v));
    std::string out;
    for (const int v : node.outputs) out += (out.empty() ? "" : ", ") + typed(value(v));
    std::string call = fmt::format("{}({})", node.call.op->name, listed(in));
    const std::string attributes = node.call.attributes.to_string();
    if (!attributes.empty()) call += " {" + attributes + "}";
    if (node.outputs.empty() || value(node.outputs[0]).name != node.name) call += " = " + node.name;
    text += row(out, call);
  }
  std::vector<std::string> outs;
  for (const int v : outputs_) outs.push_back(name_of(v));
  return text + fmt::format("  outputs: {}\n", listed(outs));
}

}  // namespace pare
