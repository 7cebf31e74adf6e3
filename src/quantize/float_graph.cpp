// What methods on a float graph ask of it.
#include "quantize/float_graph.h"

#include "core/check.h"
#include "pare/core/ops.h"
#include "quantize/ranges.h"

namespace pare::quantize {

void check_float(const Graph& graph, const char* where) {
  for (const Graph::Node& node : graph.nodes()) {
    const OpDef* op = node.call.op;
    const bool quantized = is_observer(node) || op == &kFakeQuantize || op == &kQuantizeLinear ||
                           op == &kDequantizeLinear;
    PARE_CHECK(!quantized, invalid_state, where,
               "expected a float graph, got one that is prepared or quantized already (node '{}')",
               node.name);
  }
}

}  // namespace pare::quantize
