// What of a graph that trains with quantization moves no more: ranges, batch norms' statistics.
#include <algorithm>
#include <string>
#include <vector>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/quantize/qat.h"
#include "quantize/call_facts.h"
#include "quantize/own_rounding.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

template <class A> bool fix(Graph& graph, int n, const OpDef& op, bool on) {
  if (graph.node(n).call.op != &op) return false;
  Call& call = graph.edit_node(n).call;
  A attributes = call.attributes.as<A>();
  attributes.fixed = on;
  call.attributes = Attributes::of(attributes);
  return true;
}

bool follows(const Graph::Node& node) {
  return node.call.op == &kObserveFakeQuantize || is_learned(node);
}

int nodes_of(const Graph& graph, const char* where) {
  const bool trains = std::ranges::any_of(graph.nodes(), [](const Graph::Node& node) {
    return follows(node) || node.call.op == &kFakeQuantize;
  });
  PARE_CHECK(trains, invalid_state, where,
             "expected a graph from prepare_qat, got one without fake-quantization");
  for (const Graph::Node& node : graph.nodes())
    PARE_CHECK(!is_observer(node) || follows(node), invalid_state, where,
               "expected a graph from prepare_qat, got one from prepare: '{}' is {}", node.name,
               node.call.op->name);
  return static_cast<int>(graph.nodes().size());
}

// A range that has seen nothing would pass its activation on for ever.
void check_seen(const Graph& graph) {
  const std::vector<bool> leaf = leaf_values(graph);
  const Uses uses(graph);
  std::string missing;
  for (const Graph::Node& node : graph.nodes())
    if (follows(node) && !is_read_as_weight(graph, uses, leaf, node.outputs[0]) &&
        observed(graph, node, {}).seen.empty())
      missing += fmt::format("{}'{}'", missing.empty() ? "" : ", ", activation_name(graph, node));
  PARE_CHECK(missing.empty(), invalid_state, "freeze_observers",
             "expected ranges that have seen something, got none that has at {}", missing);
}

}  // namespace

void freeze_observers(Graph& prepared, bool on) {
  const int nodes = nodes_of(prepared, "freeze_observers");
  if (on) check_seen(prepared);
  freeze_own_leaves(prepared, on);
  for (int n = 0; n < nodes; ++n)
    if (!fix<ObserveAttributes>(prepared, n, kObserveFakeQuantize, on) &&
        !fix<FakeQuantizeLearnedAttributes>(prepared, n, kFakeQuantizeLearned, on))
      fix<ObserveWeightAttributes>(prepared, n, kObserveWeight, on);
}

void freeze_batch_norm(Graph& prepared, bool on) {
  const int nodes = nodes_of(prepared, "freeze_batch_norm");
  for (int n = 0; n < nodes; ++n) fix<BatchNormAttributes>(prepared, n, kBatchNorm, on);
}

std::function<void(std::int64_t epoch)> freeze_schedule(Graph& prepared,
                                                        const FreezeSchedule& schedule) {
  for (const std::optional<std::int64_t>& from : {schedule.observers, schedule.batch_norm})
    PARE_CHECK(!from || *from >= 0, invalid_argument, "freeze_schedule",
               "expected epochs of at least 0, got {}", *from);
  return [&prepared, schedule](std::int64_t epoch) {
    if (schedule.observers) freeze_observers(prepared, epoch >= *schedule.observers);
    if (schedule.batch_norm) freeze_batch_norm(prepared, epoch >= *schedule.batch_norm);
  };
}

}  // namespace pare::quantize
