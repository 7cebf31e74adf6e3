// Counts what a graph's nodes hold and cost.
#include "pare/graph/statistics.h"

#include <algorithm>
#include <unordered_set>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/products.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/ops/learned_steps.h"

namespace pare {
namespace {

// What a value that depends on leaves alone is computed from.
struct Cone {
  std::vector<int> leaves;
  bool trained = false;    // a parameter is among them
  bool quantized = false;  // integer codes are
};

std::int64_t count_nonzero(const Tensor& tensor) {
  const Tensor wide = tensor.detach().to(MemoryFormat::row_major).to(DType::f32);
  const float* const x = wide.data<float>();
  return std::count_if(x, x + wide.elements(), [](float v) { return v != 0; });
}

class Counter {
 public:
  explicit Counter(const Graph& graph)
      : graph_(graph), of_leaves_(leaf_values(graph)), evaluate_(graph) {}

  NodeStatistics count(const Graph::Node& node) {
    NodeStatistics out{.name = node.name, .op = node.call.op->name};
    if (!node.outputs.empty()) out.shape = graph_.value(node.outputs[0]).shape;
    std::size_t largest = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const int v = node.inputs[i];
      if (v < 0 || !of_leaves_[static_cast<std::size_t>(v)]) continue;
      const Cone cone = cone_of(v);
      bool fresh = false;
      for (const int leaf : cone.leaves) {
        const Tensor& tensor = graph_.value(leaf).tensor;
        if (!seen_.insert(tensor.impl()).second) continue;
        fresh = true;
        out.bytes += tensor.bytes();
        if (tensor.bytes() > largest) {
          largest = tensor.bytes();
          out.stored = tensor.dtype();
        }
      }
      if (!holds_weights(node, i, cone)) continue;
      out.quantized = out.quantized || cone.quantized;
      if (!fresh) {
        out.shared = true;
        continue;
      }
      const Tensor weights = evaluate_(v);
      out.parameters += weights.elements();
      out.nonzero += count_nonzero(weights);
    }
    return out;
  }

  bool depends_on_inputs(const Graph::Node& node) const {
    return std::ranges::any_of(node.outputs, [&](int v) {
      return !of_leaves_[static_cast<std::size_t>(v)] || graph_.is_output(v);
    });
  }

 private:
  // Scales and zero points of activations are no weights.
  static bool holds_weights(const Graph::Node& node, std::size_t i, const Cone& cone) {
    const OpDef* const op = node.call.op;
    if (i > 0 && (op == &kQuantizeLinear || op == &kDequantizeLinear || op == &kDequantizeWeight ||
                  op == &kFakeQuantize || op == &kFakeQuantizeLearned))
      return false;
    return cone.trained || cone.quantized;
  }

  Cone cone_of(int value) const {
    Cone cone;
    std::vector<int> open{value};
    std::unordered_set<int> met{value};
    while (!open.empty()) {
      const int v = open.back();
      open.pop_back();
      const Graph::Value& here = graph_.value(v);
      if (here.is_leaf()) {
        cone.leaves.push_back(v);
        cone.trained = cone.trained || here.kind == Graph::Kind::parameter;
        continue;
      }
      const Graph::Node& node = graph_.node(here.producer);
      cone.quantized = cone.quantized || node.call.op == &kDequantizeLinear ||
                       node.call.op == &kDequantizeWeight;
      for (const int i : node.inputs)
        if (i >= 0 && met.insert(i).second) open.push_back(i);
    }
    return cone;
  }

  const Graph& graph_;
  std::vector<bool> of_leaves_;
  LeafEvaluator evaluate_;
  std::unordered_set<const detail::TensorImpl*> seen_;
};

// The graph with numbers for symbols.
Graph sized(const Graph& graph, const StatisticsOptions& options) {
  Graph out = graph.share();
  std::map<std::string, std::int64_t> sizes = options.symbols;
  for (const int v : out.inputs()) {
    const Shape& shape = out.value(v).shape;
    if (shape.rank() > 0 && shape.symbolic(0)) sizes.emplace(shape.symbol(0), 1);
  }
  for (const int v : out.inputs()) {
    Shape& shape = out.edit_value(v).shape;
    for (int a = 0; a < shape.rank(); ++a) {
      const auto size = shape.symbolic(a) ? sizes.find(shape.symbol(a)) : sizes.end();
      if (size != sizes.end()) shape.set(a, size->second);
    }
  }
  out.infer_shapes();
  return out;
}

}  // namespace

GraphStatistics statistics(const Graph& graph, const StatisticsOptions& options) {
  const Graph numbers = sized(graph, options);
  Counter counter(graph);
  GraphStatistics all;
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Graph::Node& node = graph.node(static_cast<int>(n));
    if (!counter.depends_on_inputs(node)) continue;
    NodeStatistics one = counter.count(node);
    one.macs = multiply_accumulates(numbers, numbers.node(static_cast<int>(n)));
    all.parameters += one.parameters;
    all.nonzero += one.nonzero;
    all.macs += std::max<std::int64_t>(one.macs, 0);
    all.nodes.push_back(std::move(one));
  }
  std::unordered_set<const detail::TensorImpl*> tensors;
  for (const Graph::Value& value : graph.values())
    if (value.is_leaf() && tensors.insert(value.tensor.impl()).second)
      all.bytes += value.tensor.bytes();
  return all;
}

}  // namespace pare
