// Looking into prepared and quantized graphs.
#include "pare/quantize/inspect.h"

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/names.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "quantize/call_facts.h"
#include "quantize/own_rounding.h"
#include "quantize/report.h"

namespace pare::quantize {
namespace {

constexpr std::string_view kSuffix = "_dequantize";

// The dequantize_linear node of a constant or an activation.
const Graph::Node& dequantizer(const Graph& graph, std::string_view name, const char* where) {
  std::vector<std::string> names;
  for (const Graph::Node& node : graph.nodes()) {
    const OpDef* op = node.call.op;
    if ((op != &kDequantizeLinear && op != &kDequantizeWeight) || !node.name.ends_with(kSuffix))
      continue;
    names.push_back(node.name.substr(0, node.name.size() - kSuffix.size()));
    if (names.back() == name) return node;
  }
  fail(ErrorCode::invalid_argument, where,
       "expected the name of something quantized, got '{}'; the nearest are {}", name,
       nearest_names(name, names));
}

Tensor constant(const Graph& graph, std::string_view name, std::size_t input, const char* where) {
  const Graph::Node& node = dequantizer(graph, name, where);
  if (input == 2 && node.inputs.size() < 3)  // of symmetric weights
    return Tensor::zeros(graph.value(node.inputs[1]).shape, DType::i32);
  const Graph::Value& value = graph.value(node.inputs[input]);
  PARE_CHECK(value.is_leaf(), invalid_argument, where,
             "expected the name of a quantized constant, got the activation '{}'", name);
  return value.tensor;
}

}  // namespace

std::vector<ActivationRange> observed_ranges(const Graph& prepared, const RangeSearches& searches) {
  std::vector<ActivationRange> ranges;
  const std::vector<bool> leaf = leaf_values(prepared);
  const Uses uses(prepared);
  for (const Graph::Node& node : prepared.nodes()) {
    if (!is_observer(node) &&
        !(is_learned(node) && !is_read_as_weight(prepared, uses, leaf, node.outputs[0])))
      continue;
    const Observed seen = observed(prepared, node, searches);
    if (!seen.seen.empty())
      ranges.push_back(describe(activation_name(prepared, node), seen, codes_of(node)));
  }
  const std::vector<ActivationRange> own = own_ranges(prepared);
  ranges.insert(ranges.end(), own.begin(), own.end());
  return ranges;
}

Tensor int_repr(const Graph& graph, std::string_view name) {
  return constant(graph, name, 0, "int_repr");
}

Tensor scale(const Graph& graph, std::string_view name) {
  return constant(graph, name, 1, "scale");
}

Tensor zero_point(const Graph& graph, std::string_view name) {
  return constant(graph, name, 2, "zero_point");
}

Tensor dequantized(const Graph& graph, std::string_view name) {
  const Graph::Node& node = dequantizer(graph, name, "dequantized");
  const NoGrad no_grad;
  const Tensors inputs{constant(graph, name, 0, "dequantized"),
                       constant(graph, name, 1, "dequantized"),
                       constant(graph, name, 2, "dequantized")};
  return pare::apply(node.call, inputs);
}

}  // namespace pare::quantize
