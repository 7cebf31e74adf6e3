// What batch norms say about the results of layers.
#include "pare/quantize/channel_statistics.h"

#include <cmath>

#include "graph/leaf_evaluator.h"
#include "graph/uses.h"
#include "quantize/placement.h"

namespace pare::quantize {

ChannelStatistics batch_norm_statistics(const Graph& graph) {
  const Uses uses(graph);
  LeafEvaluator evaluate(graph);
  ChannelStatistics result;
  for (const Graph::Node& node : graph.nodes()) {
    const int layer = absorbed_into(graph, uses, node);
    if (layer < 0) continue;
    ChannelDistribution& d = result[graph.node(layer).name];
    for (const float beta : evaluate(node.inputs[2]).to_vector<float>())
      d.mean.push_back(static_cast<double>(beta));
    for (const float gamma : evaluate(node.inputs[1]).to_vector<float>())
      d.deviation.push_back(static_cast<double>(std::fabs(gamma)));
  }
  return result;
}

}  // namespace pare::quantize
