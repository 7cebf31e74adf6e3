// Which layers a call is to quantize, by their ops and names.
#include "quantize/layer_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/check.h"
#include "graph/names.h"
#include "quantize/settings.h"

namespace pare::quantize {
namespace {

// The first pattern that matches.
const std::string* match(const std::vector<std::string>& patterns, const std::string& name) {
  const auto found = std::ranges::find_if(
      patterns, [&](const std::string& pattern) { return matches(pattern, name); });
  return found == patterns.end() ? nullptr : &*found;
}

}  // namespace

void LayerChoice::check(const Graph& graph, const std::function<bool(const Graph::Node&)>& possible,
                        const char* which, const char* where) const {
  std::vector<std::string> nodes;
  std::set<std::string> there;
  for (const Graph::Node& node : graph.nodes()) {
    nodes.push_back(node.name);
    if (possible(node)) there.insert(node.call.op->name);
  }
  for (const std::string& op : ops)
    PARE_CHECK(there.contains(op), invalid_argument, where,
               "expected an op of the graph {}, got '{}'; there are {}", which, op,
               there.empty() ? "none" : fmt::format("'{}'", listed(there, "', '")));
  for (const std::string& name : names) check_name(name, nodes, "quantize", where);
  for (const std::string& name : exclude) check_name(name, nodes, "exclude", where);
}

std::string LayerChoice::why_not(const Graph::Node& node) const {
  const std::string op = node.call.op->name;
  if (!ops.empty() && std::ranges::find(ops, op) == ops.end())
    return fmt::format("{} is not among the ops", op);
  if (!names.empty() && !match(names, node.name)) return "not chosen by name";
  const std::string* const excluded = match(exclude, node.name);
  return excluded ? fmt::format("excluded by name ('{}')", *excluded) : "";
}

bool LayerChoice::is_named(const std::string& name) const {
  return match(names, name) || match(exclude, name);
}

void check_any(const std::vector<std::string>& chosen, const std::vector<PassReport::Line>& left,
               const char* what, const char* where) {
  PARE_CHECK(!chosen.empty(), unsupported, where, "expected {}, got none{}{}", what,
             left.empty() ? "" : ": ", left.empty() ? "" : PassReport{{}, left}.to_string());
}

std::string float_lines(const std::vector<PassReport::Line>& left) {
  std::string text;
  for (const PassReport::Line& line : left)
    text += fmt::format("{:<40} stays float: {}\n", line.node, line.text);
  return text;
}

bool reads_weights(const Graph& graph, const Graph::Node& node,
                   const std::vector<bool>& of_leaves) {
  return std::ranges::any_of(node.inputs, [&](int v) {
    return v >= 0 && of_leaves[static_cast<std::size_t>(v)] && is_floating(graph.value(v).dtype) &&
           graph.value(v).shape.rank() >= 2;
  });
}

}  // namespace pare::quantize
