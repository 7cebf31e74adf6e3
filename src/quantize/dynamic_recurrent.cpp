// Dynamic quantization of recurrent layers.
#include "quantize/dynamic_recurrent.h"

#include <algorithm>

#include "core/check.h"
#include "core/ops/recurrent.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/weights.h"

namespace pare::quantize {
namespace {

constexpr std::int64_t kQmax = 127;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

std::vector<int> weight_inputs(const Graph::Node& node) {
  std::vector<int> inputs;
  for (const int first : {0, static_cast<int>(kDirectionInputs)})
    for (const int weight : {static_cast<int>(kWeightIh), static_cast<int>(kWeightHh)})
      inputs.push_back(weight + first);
  for (const int direction : {0, 1}) inputs.push_back(kWeightHr + direction);
  std::erase_if(inputs,
                [&](int i) { return at(i) >= node.inputs.size() || node.inputs[at(i)] < 0; });
  return inputs;
}

template <class A> Attributes quantized(const Call& call) {
  A attributes = call.attributes.as<A>();
  attributes.dynamic_quantize = true;
  return Attributes::of(attributes);
}

LayerCodes code_rows(const std::string& name, const Tensor& weight) {
  const Tensor scales = symmetric_scale(weight, {.qmax = kQmax, .axis = 0});
  LayerWeights layer;
  layer.name = name;
  layer.weight = weight;
  layer.scales = scales.to_vector<float>();
  layer.zero_points.assign(layer.scales.size(), 0);
  layer.qmin = -kQmax;
  layer.qmax = kQmax;
  return code_layer(layer);
}

/// Zero points of symmetric weights, one constant for each number of rows.
int zeros(Graph& graph, const Shape& shape) {
  const std::string name = fmt::format("zero_points_{}", shape[0]);
  const int found = graph.find_value(name);
  if (found >= 0 && graph.value(found).is_leaf() && graph.value(found).dtype == DType::i32 &&
      graph.value(found).shape == shape)
    return found;
  return graph.add_leaf(Graph::Kind::constant, name, Tensor::zeros(shape, DType::i32));
}

}  // namespace

bool is_recurrent(const Graph::Node& node) {
  return node.call.op == &kLstm || node.call.op == &kGru || node.call.op == &kRnn;
}

std::string recurrent_refusal(const Graph& graph, int n) {
  const Graph::Node& node = graph.node(n);
  if (quantizes_dynamically(node.call)) return "it is quantized already";
  const std::vector<bool> of_leaves = leaf_values(graph);
  for (const int input : weight_inputs(node)) {
    const int v = node.inputs[at(input)];
    const Graph::Value& weight = graph.value(v);
    if (!of_leaves[at(v)]) return "a weight of it is computed from the inputs";
    if (weight.dtype != DType::f32) return fmt::format("a weight of it is {}", weight.dtype);
    if (weight.shape.elements() == 0) return "a weight of it has no elements";
  }
  return "";
}

RecurrentBytes quantize_recurrent(Graph& graph, int n, CodedWeights& coded) {
  const Graph::Node node = graph.node(n);
  RecurrentBytes bytes;
  for (const int input : weight_inputs(node)) {
    const int value = node.inputs[at(input)];
    if (const auto [found, fresh] = coded.try_emplace(value, -1); fresh) {
      const Tensor weight = LeafEvaluator(graph)(value);
      const LayerCodes codes = code_rows(node.name, weight);
      const std::string name = graph.value(value).name;
      const auto constant = [&](const char* suffix, const Tensor& tensor) {
        return graph.add_leaf(Graph::Kind::constant, name + suffix, tensor);
      };
      const std::vector<int> inputs{constant("_quantized", codes.weight),
                                    constant("_scale", codes.scale),
                                    zeros(graph, codes.scale.shape())};
      const Call call{&kDequantizeLinear, Attributes::of(DequantizeAttributes{.axis = 0})};
      found->second = graph.node(graph.add_node(name + "_dequantize", call, inputs)).outputs[0];
      bytes.before += weight.bytes();
      bytes.after += codes.weight.bytes() + codes.scale.bytes();
    }
    graph.edit_node(n).inputs[at(input)] = coded.at(value);
  }
  Call& call = graph.edit_node(n).call;
  call.attributes = call.op == &kLstm  ? quantized<LstmAttributes>(call)
                    : call.op == &kGru ? quantized<GruAttributes>(call)
                                       : quantized<RnnAttributes>(call);
  return bytes;
}

}  // namespace pare::quantize
