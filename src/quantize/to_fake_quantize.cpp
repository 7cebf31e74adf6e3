// to_fake_quantize: dequantized codes become parameters, Q/DQ pairs fake_quantize.
#include "pare/quantize/to_fake_quantize.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "quantize/coded_graph.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "to_fake_quantize";

void check(const Graph& quantized, const ToFakeQuantizeOptions& options) {
  PARE_CHECK(options.averaging > 0 && options.averaging <= 1, invalid_argument, kWhere,
             "expected an averaging above 0 and at most 1, got {}", options.averaging);
  bool any = false;
  for (const Graph::Node& n : quantized.nodes()) {
    PARE_CHECK(!is_observer(n) && !is_learned(n) && n.call.op != &kFakeQuantize, invalid_state,
               kWhere, "expected a graph of integers, got one that is prepared already (node '{}')",
               n.name);
    any = any || n.call.op == &kDequantizeLinear || n.call.op == &kDequantizeWeight;
  }
  PARE_CHECK(any, invalid_state, kWhere,
             "expected a graph with dequantized codes, got a float one");
}

/// Of the integers that are left those that nothing was said about.
void note_rest(CodedGraph& coded) {
  const Graph& graph = coded.graph;
  std::set<std::string> known;
  for (const PassReport::Line& line : coded.report.left) known.insert(line.node);
  const auto note = [&](const std::string& name, const char* why) {
    if (known.insert(name).second) coded.report.left.push_back({name, why});
  };
  for (const Graph::Node& n : graph.nodes()) {
    const OpDef* const op = n.call.op;
    if (op == &kDynamicQuantizeLinear)
      note(n.name, "quantizes values as they come: layers before it get no gradient through it");
    const bool stored = !n.inputs.empty() && graph.value(n.inputs[0]).is_leaf();
    if (op == &kDequantizeWeight)
      for (const int r : graph.readers(n.outputs[0]))
        note(graph.node(r).name, "its input has no codes: its weight stays integers");
    if (op != &kDequantizeLinear || !stored) continue;
    const std::vector<int> readers = graph.readers(n.outputs[0]);
    const bool told =
        std::ranges::any_of(readers, [&](int r) { return known.contains(graph.node(r).name); });
    if (!told) note(n.name, "constant codes that are no layer's weight or bias");
  }
}

}  // namespace

FakeQuantized to_fake_quantize(const Graph& quantized, const ToFakeQuantizeOptions& options) {
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  scope->tracer = nullptr;
  check(quantized, options);
  CodedGraph coded(quantized, options);
  fake_quantize_activations(coded);
  train_weights(coded);
  coded.graph.compact();
  coded.graph.verify();
  note_rest(coded);
  return {std::move(coded.graph), std::move(coded.report)};
}

}  // namespace pare::quantize
