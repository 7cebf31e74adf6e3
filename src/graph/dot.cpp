// A graph as a drawing for Graphviz.
#include <fmt/format.h>

#include "pare/graph/graph.h"

namespace pare {
namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    // A newline in a name would end the line of the file.
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out;
}

std::string described(const Graph::Value& value) {
  return fmt::format("{} {}", traits(value.dtype).name, escaped(value.shape.to_string()));
}

}  // namespace

std::string Graph::to_dot() const {
  std::string text = "digraph {\n  node [shape=box, fontsize=10];\n  edge [fontsize=9];\n";
  const auto source = [&](int v) {
    const Value& from = value(v);
    if (from.producer < 0) return fmt::format("v{}", v);
    return fmt::format("n{}", from.producer);
  };
  for (const int v : inputs_)
    text += fmt::format("  v{} [shape=oval, label=\"{}\\n{}\"];\n", v, escaped(value(v).name),
                        described(value(v)));
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    const Node& node = nodes_[n];
    // Leaves are told in the box of their reader: drawn apart they would hide the network.
    std::string leaves;
    std::string edges;
    for (const int v : node.inputs) {
      if (v < 0) continue;
      if (value(v).is_leaf())
        leaves += fmt::format("\\n{} {}", escaped(value(v).name), described(value(v)));
      else
        edges += fmt::format("  {} -> n{} [label=\"{}\"];\n", source(v), n, described(value(v)));
    }
    text += fmt::format("  n{} [label=\"{}\\n{}{}\"];\n{}", n, escaped(node.call.op->name),
                        escaped(node.name), leaves, edges);
  }
  const std::vector<std::string> names = output_names();
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const int v = outputs_[k];
    text += fmt::format("  o{} [shape=oval, label=\"{}\"];\n", k, escaped(names[k]));
    if (value(v).is_leaf())
      text += fmt::format("  v{} [label=\"{}\\n{}\"];\n", v, escaped(value(v).name),
                          described(value(v)));
    text += fmt::format("  {} -> o{} [label=\"{}\"];\n", source(v), k, described(value(v)));
  }
  return text + "}\n";
}

}  // namespace pare
