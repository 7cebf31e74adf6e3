// Training with biases as the integers will have them.
#include "quantize/rounded_biases.h"

#include <string>
#include <vector>

#include "pare/core/ops.h"
#include "pare/core/ops/round_bias.h"
#include "quantize/batch_norm_factor.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

class Rounder {
 public:
  explicit Rounder(Graph& graph) : graph_(graph) {}

  void round(int n, int norm) {
    const Graph::Node node = graph_.node(n);
    const QuantizationFact& fact = node.call.op->quantization;
    const bool biased = fact.bias_input >= 0 && at(fact.bias_input) < node.inputs.size() &&
                        node.inputs[at(fact.bias_input)] >= 0;
    if (norm < 0 && !biased) return;
    const int weight = node.inputs[at(fact.weight_input)];
    const int with_factor = quantized_with_factor(graph_, weight);
    const bool folded = with_factor >= 0;
    const int quantizer = graph_.value(folded ? with_factor : weight).producer;
    const OpDef* rounds = graph_.node(quantizer).call.op;
    if (rounds != &kFakeQuantize && rounds != &kFakeQuantizeLearned) return;  // weights by group
    const int source = activation_scale(node.inputs[0]);
    const int bias = norm >= 0 ? graph_.node(norm).inputs[2] : node.inputs[at(fact.bias_input)];
    if (source < 0 || graph_.value(bias).shape.rank() != 1) return;
    RoundBiasAttributes a{.scales_follow = !folded};
    std::vector<int> inputs{bias, source, weight_scale(graph_.node(quantizer))};
    if (norm >= 0) {
      const Graph::Node& batch_norm = graph_.node(norm);
      a.epsilon = batch_norm.call.attributes.as<BatchNormAttributes>().epsilon;
      for (const int i : {1, 3, 4}) inputs.push_back(batch_norm.inputs[at(i)]);
      if (biased) inputs.push_back(node.inputs[at(fact.bias_input)]);
    }
    const int rounded = output_of(graph_.add_node(graph_.value(bias).name + "_rounded",
                                                  {&kRoundBias, Attributes::of(a)}, inputs));
    if (norm >= 0)
      graph_.edit_node(norm).inputs[2] = rounded;
    else
      graph_.edit_node(n).inputs[at(fact.bias_input)] = rounded;
  }

 private:
  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  int weight_scale(const Graph::Node& quantizer) {
    if (!is_learned(quantizer)) return quantizer.inputs[1];
    return step_scale(quantizer, quantizer.name + "_scale");
  }

  int step_scale(const Graph::Node& quantizer, const std::string& name) {
    return output_of(graph_.add_node(name, {&kStepScale, quantizer.call.attributes},
                                     {quantizer.inputs.begin() + 1, quantizer.inputs.end()}));
  }

  // The scale of the codes that a layer reads: of the observer before it, through what passes codes
  // on. −1: none.
  int activation_scale(int value) {
    for (int producer = graph_.value(value).producer; producer >= 0;
         producer = graph_.value(value).producer) {
      const Graph::Node node = graph_.node(producer);
      if (node.call.op == &kFakeQuantize) return node.inputs[1];
      if (is_learned(node))
        return shared(producer, [&] { return step_scale(node, node.name + "_scale"); });
      if (node.call.op == &kObserveFakeQuantize)
        return shared(producer, [&] {
          return output_of(graph_.add_node(node.name + "_scale",
                                           {&kRangeScale, node.call.attributes},
                                           {node.inputs.begin() + 1, node.inputs.end()}));
        });
      const bool joins =
          node.call.op->quantization.kind == QuantizationFact::Kind::all_inputs_share;
      if (!joins && !selects(node.call)) return -1;
      value = node.inputs[0];
    }
    return -1;
  }

  // One node for all layers that read an activation.
  template <class Make> int shared(int observer, Make&& make) {
    const auto found = scales_.find(observer);
    if (found != scales_.end()) return found->second;
    return scales_[observer] = make();
  }

  Graph& graph_;
  std::map<int, int> scales_;  // by the observer's node
};

}  // namespace

void round_biases(Graph& graph, const std::map<int, int>& norms) {
  Rounder rounder(graph);
  for (const auto& [node, norm] : norms) rounder.round(node, norm);
}

}  // namespace pare::quantize
