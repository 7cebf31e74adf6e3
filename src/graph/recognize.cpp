// recognize: calls that exporters wrote out become the op they stand for.
#include "core/check.h"
#include "graph/infer_node.h"
#include "graph/rewrites.h"

namespace pare {
namespace {

constexpr Finder* kFinders[] = {
    find_hardswish,   find_hardsigmoid, find_silu,          find_gelu,
    find_softmax,     find_log_softmax, find_layer_norm,    find_rms_norm,
    find_norm_weight, find_norm_bias,   find_instance_norm, find_attention,
};

/// Makes the node what was found, where shape and type stay as they are.
bool rewrite(Graph& graph, int n, const Rewrite& found) {
  const std::string name = graph.node(n).name;
  const Graph::Value value = graph.value(graph.node(n).outputs[0]);
  std::vector<int> inputs = found.inputs;
  try {
    for (const auto& [input, call] : found.prepared) {
      const int prepared = graph.add_node(name + ".operand", call, {inputs[input]});
      inputs[input] = graph.node(prepared).outputs[0];
    }
    const auto inferred = infer_node(graph, name, found.call, inputs);
    if (inferred[0].shape != value.shape || inferred[0].dtype != value.dtype) return false;
  } catch (const Error&) {
    return false;  // operands that the op does not take: it stays written out
  }
  Graph::Node& node = graph.edit_node(n);
  node.call = found.call;
  node.inputs = std::move(inputs);
  return true;
}

}  // namespace

PassResult recognize(Graph graph) {
  PassReport report;
  const int count = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < count; ++n) {
    const Pattern pattern(graph);
    for (Finder* const find : kFinders) {
      if (graph.node(n).outputs.size() != 1) break;
      const auto found = find(pattern, graph.node(n).outputs[0]);
      if (!found) continue;
      const std::string name = graph.node(n).name;
      if (rewrite(graph, n, *found)) {
        report.done.push_back({name, fmt::format("is {}", found->what)});
        continue;
      }
      report.left.push_back(
          {name, fmt::format("looks like {}, of other shapes or types", found->what)});
    }
  }
  recognize_lstm_cells(graph, report);
  recognize_dynamic_products(graph, report);
  recognize_linear(graph, report);
  graph.compact();  // what was rewritten reads nothing any more
  recognize_squeeze_excite(graph, report);
  graph.compact();
  graph.infer_shapes();
  graph.verify();
  return {std::move(graph), std::move(report)};
}

}  // namespace pare
