// Training of what `dynamic` quantizes: fake-quantized rows of weights, rounded rows of x and h.
#include "quantize/dynamic_training.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/names.h"
#include "pare/core/ops.h"
#include "quantize/dynamic_layers.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "prepare_qat";

}  // namespace

std::vector<std::size_t> row_weights(const Graph::Node& node) {
  if (is_recurrent(node.call.op)) return recurrent_weights(node);
  const WeightPlace place = weight_place(node);
  if (!is_table(node) || place.input < 0) return {};
  return {static_cast<std::size_t>(place.input)};
}

void check_dynamic_ops(const Graph& graph, const QATConfig& qat) {
  const std::vector<std::string> known{"embedding", "gather", "gru", "lstm", "rnn"};
  std::set<std::string> there;
  for (const Graph::Node& node : graph.nodes()) there.insert(node.call.op->name);
  for (const std::string& op : qat.dynamic_ops) {
    PARE_CHECK(std::ranges::find(known, op) != known.end(), invalid_argument, kWhere,
               "expected dynamic_ops of embedding, gather, gru, lstm and rnn, got '{}'", op);
    PARE_CHECK(there.count(op) != 0, invalid_argument, kWhere,
               "expected an op of the graph in dynamic_ops, got '{}'; the nearest are {}", op,
               nearest_names(op, {there.begin(), there.end()}));
  }
}

bool trains_dynamically(const Graph& graph, int n, const QATConfig& qat, std::string& reason) {
  const Graph::Node& node = graph.node(n);
  if (std::ranges::find(qat.dynamic_ops, node.call.op->name) == qat.dynamic_ops.end()) return false;
  const std::vector<std::size_t> weights = row_weights(node);
  const std::vector<bool> leaf = leaf_values(graph);
  const auto can = [&](std::size_t input) {
    const Graph::Value& value = graph.value(node.inputs[input]);
    return leaf[static_cast<std::size_t>(node.inputs[input])] && value.dtype == DType::f32 &&
           value.shape.rank() == 2 && value.shape.elements() > 0;
  };
  if (!weights.empty() && std::ranges::all_of(weights, can)) return true;
  reason = "its weights are no matrices of constants";
  return false;
}

void prepare_dynamic(Graph& graph, int n, const QConfig& config, const QATConfig& qat,
                     RoundedWeights& known) {
  for (const std::size_t input : row_weights(graph.node(n)))
    prepare_rows(graph, n, input, config, qat, known);
  if (is_recurrent(graph.node(n).call.op)) round_rows(graph.edit_node(n).call);
}

}  // namespace pare::quantize
