// Topological order of the nodes of a file.
#include "io/onnx/node_order.h"

#include <functional>
#include <queue>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "core/check.h"

namespace pare::onnx {
namespace {

using Producers = std::unordered_map<std::string_view, std::size_t>;

using Visit = std::function<void(const std::string& name)>;

/// Shows every name that a node reads, in its branches too (nesting was bounded by the reader).
/// What a branch gives itself is its own, though a node outside gives the same name.
void visit_reads(const NodeProto& node, const Visit& visit) {
  for (const std::string& name : node.inputs) visit(name);
  for (const AttributeProto& attribute : node.attributes)
    for (const auto& graph : attribute.graphs) {
      std::unordered_set<std::string_view> own;
      for (const TensorProto& tensor : graph->initializers) own.insert(tensor.name);
      for (const NodeProto& inner : graph->nodes)
        own.insert(inner.outputs.begin(), inner.outputs.end());
      const Visit outside = [&](const std::string& name) {
        if (!own.contains(name)) visit(name);
      };
      for (const NodeProto& inner : graph->nodes) visit_reads(inner, outside);
      for (const ValueInfo& output : graph->outputs) outside(output.name);
    }
}

}  // namespace

std::string label_of(const NodeProto& node, std::size_t index) {
  const std::string op = node.domain.empty() ? node.op_type : node.domain + "." + node.op_type;
  return node.name.empty() ? fmt::format("node {} ({})", index, op)
                           : fmt::format("'{}' ({})", node.name, op);
}

std::vector<std::size_t> node_order(const std::vector<NodeProto>& nodes, const std::string& place) {
  Producers producers;
  for (std::size_t n = 0; n < nodes.size(); ++n)
    for (const std::string& name : nodes[n].outputs) {
      if (name.empty()) continue;
      const auto [at, fresh] = producers.emplace(name, n);
      PARE_CHECK(fresh, corrupt_data, place, "expected one node that gives '{}', got {} and {}",
                 name, label_of(nodes[at->second], at->second), label_of(nodes[n], n));
    }
  std::vector<std::vector<std::size_t>> readers(nodes.size());
  std::vector<std::size_t> waits(nodes.size());
  for (std::size_t n = 0; n < nodes.size(); ++n)
    visit_reads(nodes[n], [&](const std::string& name) {
      const auto at = producers.find(name);
      if (at == producers.end()) return;
      readers[at->second].push_back(n);
      ++waits[n];
    });

  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t n = 0; n < nodes.size(); ++n)
    if (waits[n] == 0) ready.push(n);
  std::vector<std::size_t> order;
  while (!ready.empty()) {
    const std::size_t n = ready.top();
    ready.pop();
    order.push_back(n);
    for (const std::size_t reader : readers[n])
      if (--waits[reader] == 0) ready.push(reader);
  }
  for (std::size_t n = 0; n < nodes.size() && order.size() < nodes.size(); ++n)
    PARE_CHECK(waits[n] == 0, corrupt_data, place,
               "expected nodes that can be put in order, got a cycle before {}",
               label_of(nodes[n], n));
  return order;
}

}  // namespace pare::onnx
