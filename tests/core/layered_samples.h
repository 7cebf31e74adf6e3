// Samples between linear layers: graphs whose op is quantized.
#pragma once

#include <string>
#include <vector>

#include "core/samples.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/graph/graph.h"

namespace pare::test {

/// A linear layer over the last axis of a value.
inline int layer_over(Graph& graph, const std::string& name, int value, std::int64_t outputs) {
  const Shape& shape = graph.value(value).shape;
  const int weight = graph.add_leaf(Graph::Kind::parameter, name + ".weight",
                                    Generator(7).normal({outputs, shape[shape.rank() - 1]}), true);
  const int node = graph.add_node(name, {&kLinear, {}}, {value, weight});
  return graph.node(node).outputs[0];
}

/// The sample's op between linear layers, without which most ops would stay float: all its
/// activations come from one, and one reads its output, which is the graph's first output.
/// `inputs` gets values for the graph's inputs. A weight is a parameter, or an activation as well.
inline Graph between_layers(const Sample& s, bool constant_weight, Tensors& inputs) {
  Graph graph;
  const QuantizationFact& fact = s.call.op->quantization;
  std::vector<int> operands;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const Tensor& t = s.inputs[i];
    const auto name = "input" + std::to_string(i);
    const int which = static_cast<int>(i);
    if (!t.defined()) {
      operands.push_back(-1);
    } else if (t.dtype() != DType::f32) {
      operands.push_back(graph.add_leaf(Graph::Kind::constant, name, t.clone()));
    } else if (constant_weight && (which == fact.weight_input || which == fact.bias_input)) {
      operands.push_back(graph.add_leaf(Graph::Kind::parameter, name, t.clone(), true));
    } else {
      const int input = graph.add_input(name, t.shape(), DType::f32);
      operands.push_back(
          layer_over(graph, "before" + std::to_string(i), input, t.dim(t.rank() - 1)));
      inputs.push_back(t.to(MemoryFormat::row_major));
    }
  }
  const int node = graph.add_node("op", s.call, operands);
  const int y = graph.node(node).outputs[0];
  graph.set_outputs({y, layer_over(graph, "after", y, 3)});
  graph.compact();
  graph.verify();
  return graph;
}

/// Float operands and result with elements, all with a last axis for the layers around.
inline bool suits_layers(const Sample& s) {
  const auto fits = [](const Tensor& t) {
    return t.dtype() == DType::f32 && t.rank() > 0 && t.elements() > 0;
  };
  if (!s.inputs[0].defined() || !fits(s.inputs[0])) return false;
  for (const Tensor& t : s.inputs)
    if (t.defined() && t.dtype() == DType::f32 && !fits(t)) return false;
  const NoGrad no_grad;
  return fits(apply_all(s.call, s.inputs)[0]);
}

}  // namespace pare::test
