// Codes of weights that were read: stored as they are, or bytes for layers that multiply integers.
#include "io/onnx/stored_weights.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/packed_codes.h"
#include "io/onnx/import_quantized.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"

namespace pare::onnx {
namespace {

/// Which weights plans keep as they are stored, or make floats of once.
bool keeps_stored(const Graph::Node& node, int value) {
  const OpDef* const op = node.call.op;
  if (op == &kGather) return node.inputs[0] == value;
  return op == &kLinear || op == &kMatmul || op == &kEmbedding || op == &kConv1d || op == &kConv2d;
}

class Settler {
 public:
  explicit Settler(Graph& graph) : graph_(graph) {
    readers_.resize(graph.values().size());
    for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n)
      for (const int v : graph.node(n).inputs)
        if (v >= 0) readers_[static_cast<std::size_t>(v)].push_back(n);
  }

  void run() {
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) {
      const Graph::Node& node = graph_.node(n);
      if (node.call.op != &kDequantizeWeight ||
          node.call.attributes.as<DequantizeWeightAttributes>().block > 0)
        continue;
      Use use;
      look(node.outputs[0], use);
      const bool packed = is_packed(graph_.value(node.inputs[0]).dtype);
      if (use.with_codes || (packed && (use.otherwise || !use.in_layer))) to_bytes(n);
    }
  }

 private:
  struct Use {
    bool with_codes = false, in_layer = false, otherwise = false;
  };

  void look(int value, Use& use) const {
    for (const int n : readers_[static_cast<std::size_t>(value)]) {
      const Graph::Node& node = graph_.node(n);
      if (node.call.op == &kTranspose || (node.call.op == &kReshape && node.inputs[0] == value)) {
        look(node.outputs[0], use);
        continue;
      }
      (keeps_stored(node, value) ? use.in_layer : use.otherwise) = true;
      if (node.call.op->quantization.weight_input < 0) continue;
      for (const int other : node.inputs)
        use.with_codes = use.with_codes || (other != value && has_codes(other));
    }
  }

  /// Whether codes that are no constants stand behind a value, at once or through movement.
  bool has_codes(int value) const {
    while (value >= 0 && graph_.value(value).producer >= 0) {
      const Graph::Node& node = graph_.node(graph_.value(value).producer);
      if (node.call.op == &kDequantizeLinear) return !graph_.value(node.inputs[0]).is_leaf();
      if (node.call.op->quantization.kind != QuantizationFact::Kind::same_as_input) return false;
      value = node.inputs[0];
    }
    return false;
  }

  void to_bytes(int n) {
    const std::vector<int> inputs = graph_.node(n).inputs;
    const int zero = inputs.size() > 2 ? inputs[2] : -1;
    if (!graph_.value(inputs[0]).is_leaf() || (zero >= 0 && !graph_.value(zero).is_leaf())) return;
    const auto axis = graph_.node(n).call.attributes.as<DequantizeWeightAttributes>().axis;
    auto [found, fresh] = bytes_.emplace(std::pair{inputs[0], zero}, std::pair{-1, -1});
    if (fresh) {
      const ByteCodes made = in_bytes(graph_.value(inputs[0]).tensor,
                                      zero < 0 ? Tensor() : graph_.value(zero).tensor, axis);
      found->second = {instead_of(inputs[0], made.codes),
                       zero < 0 ? -1 : instead_of(zero, made.zeros)};
    }
    Graph::Node& node = graph_.edit_node(n);
    node.call = {&kDequantizeLinear, Attributes::of(DequantizeAttributes{axis})};
    node.inputs[0] = found->second.first;
    if (zero >= 0) node.inputs[2] = found->second.second;
  }

  /// A constant under the name of the leaf that it replaces.
  int instead_of(int leaf, const Tensor& tensor) {
    if (tensor.same_as(graph_.value(leaf).tensor)) return leaf;
    const std::string name = graph_.value(leaf).name;
    const int value = graph_.add_leaf(Graph::Kind::constant, name, tensor);
    graph_.edit_value(value).name = name;
    return value;
  }

  Graph& graph_;
  std::vector<std::vector<int>> readers_;  // by value
  std::map<std::pair<int, int>, std::pair<int, int>> bytes_;
};

}  // namespace

void settle_stored_weights(Graph& graph) { Settler(graph).run(); }

}  // namespace pare::onnx
