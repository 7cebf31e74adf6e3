// to_fake_quantize: dequantized codes become parameters, Q/DQ pairs fake_quantize.
#include "pare/quantize/to_fake_quantize.h"

#include <utility>

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
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
    any = any || n.call.op == &kDequantizeLinear;
  }
  PARE_CHECK(any, invalid_state, kWhere,
             "expected a graph with quantize_linear and dequantize_linear, got a float one");
}

/// Of the integers that are left those that nothing was said about.
void note_rest(CodedGraph& coded) {
  const Graph& graph = coded.graph;
  for (const Graph::Node& n : graph.nodes())
    if (n.call.op == &kDequantizeLinear && graph.value(n.inputs[0]).is_leaf())
      coded.report.left.push_back({n.name, "constant codes that are no layer's weight or bias"});
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
