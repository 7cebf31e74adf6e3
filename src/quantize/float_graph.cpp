// Float graphs, and the float network within a prepared one.
#include "quantize/float_graph.h"

#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "pare/core/ops/observe.h"
#include "quantize/ranges.h"

namespace pare::quantize {

void check_float(const Graph& graph, const char* where) {
  for (const Graph::Node& node : graph.nodes()) {
    const OpDef* op = node.call.op;
    const bool quantized = is_observer(node) || is_learned(node) || op == &kFakeQuantize ||
                           op == &kQuantizeLinear || op == &kDequantizeLinear ||
                           op == &kDequantizeWeight || op == &kDynamicQuantizeLinear;
    PARE_CHECK(!quantized, invalid_state, where,
               "expected a float graph, got one that is prepared or quantized already (node '{}')",
               node.name);
  }
}

void check_prepared(const Graph& prepared, const char* where) {
  bool any = false;
  for (const Graph::Node& node : prepared.nodes()) {
    PARE_CHECK(node.call.op != &kObserveFakeQuantize && !is_learned(node), invalid_state, where,
               "expected a graph from prepare, got one from prepare_qat (node '{}')", node.name);
    any = any || is_observer(node);
  }
  PARE_CHECK(any, invalid_state, where, "expected a graph from prepare, got one without observers");
}

Graph float_form(const Graph& prepared) {
  Graph graph = prepared.share();
  const auto nodes = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < nodes; ++n) {
    const Graph::Node& node = graph.node(n);
    if (is_observer(node) || is_learned(node) || node.call.op == &kFakeQuantize)
      graph.replace_uses(node.outputs[0], node.inputs[0]);
  }
  graph.compact();
  return graph;
}

}  // namespace pare::quantize
