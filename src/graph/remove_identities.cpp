// remove_identities: drops calls that give their input back in inference, and what training reads.
#include "pare/core/ops.h"
#include "pare/graph/passes.h"

namespace pare {

namespace {

/// Why the node is an identity, or null.
const char* identity(const Graph& graph, const Graph::Node& node) {
  const OpDef* op = node.call.op;
  if (op == &kDropout) return "dropout does nothing in inference";
  if (op == &kDetach) return "detach does nothing in inference";
  if (op == &kToFormat) return "the memory format is no part of the value";
  const Graph::Value& in = graph.value(node.inputs[0]);
  const Graph::Value& out = graph.value(node.outputs[0]);
  if (op == &kCast && in.dtype == out.dtype) return "the dtype stays";
  if ((op == &kReshape || op == &kExpand) && in.shape == out.shape) return "the shape stays";
  if (op == &kTranspose) {
    const auto& order = node.call.attributes.as<TransposeAttributes>().permutation;
    for (std::size_t k = 0; k < order.size(); ++k)
      if (order[k] != static_cast<std::int64_t>(k)) return nullptr;
    return "the axes stay";
  }
  return nullptr;
}

}  // namespace

PassResult remove_identities(Graph graph) {
  PassResult result{std::move(graph), {}};
  for (int n = 0; n < static_cast<int>(result.graph.nodes().size()); ++n) {
    if (result.graph.node(n).call.op == &kBatchNorm && result.graph.node(n).inputs.size() > 5) {
      result.graph.edit_node(n).inputs.resize(5);
      result.report.done.push_back(
          {result.graph.node(n).name, "the batch's statistics are not read in inference"});
    }
    // An identity before this one is bridged already, by a value of the same shape and type.
    const char* reason = identity(result.graph, result.graph.node(n));
    if (!reason) continue;
    const Graph::Node& node = result.graph.node(n);
    result.graph.replace_uses(node.outputs[0], node.inputs[0]);
    result.report.done.push_back({node.name, reason});
  }
  result.graph.compact();
  result.graph.verify();
  return result;
}

}  // namespace pare
