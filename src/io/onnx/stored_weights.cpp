// Codes of weights that were read: stored as they are, or bytes for layers that multiply integers.
#include "io/onnx/stored_weights.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/packed_codes.h"
#include "io/onnx/import_quantized.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"

namespace pare::onnx {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Which weights plans keep as they are stored, or make floats of once.
bool keeps_stored(const Graph::Node& node, int value) {
  const OpDef* const op = node.call.op;
  if (op == &kGather) return node.inputs[0] == value;
  return op == &kLinear || op == &kMatmul || op == &kEmbedding || op == &kConv1d || op == &kConv2d;
}

class Settler {
 public:
  explicit Settler(Graph& graph)
      : graph_(graph), readers_(graph.values().size()), has_codes_(graph.values().size()) {
    for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
      const Graph::Node& node = graph.node(n);
      for (const int v : node.inputs)
        if (v >= 0) readers_[at(v)].push_back(n);
      for (const int v : node.outputs) has_codes_[at(v)] = gives_codes(node);
    }
  }

  void run() {
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) {
      const Graph::Node& node = graph_.node(n);
      if (node.call.op != &kDequantizeWeight ||
          node.call.attributes.as<DequantizeWeightAttributes>().block > 0)
        continue;
      const Use use = use_of(node.outputs[0]);
      const bool packed = is_packed(graph_.value(node.inputs[0]).dtype);
      if (use.with_codes || (packed && (use.otherwise || !use.in_layer))) to_bytes(n);
    }
  }

 private:
  struct Use {
    bool with_codes = false, in_layer = false, otherwise = false;
  };

  /// Codes that are no constants, as reals, at once or through movement.
  bool gives_codes(const Graph::Node& node) const {
    if (node.call.op == &kDequantizeLinear) return !graph_.value(node.inputs[0]).is_leaf();
    return node.call.op->quantization.kind == QuantizationFact::Kind::same_as_input &&
           node.inputs[0] >= 0 && has_codes_[at(node.inputs[0])];
  }

  Use use_of(int weight) const {
    Use use;
    std::vector<int> open{weight};
    while (!open.empty()) {
      const int value = open.back();
      open.pop_back();
      for (const int n : readers_[at(value)]) {
        const Graph::Node& node = graph_.node(n);
        if (node.call.op == &kTranspose || (node.call.op == &kReshape && node.inputs[0] == value)) {
          open.push_back(node.outputs[0]);
          continue;
        }
        (keeps_stored(node, value) ? use.in_layer : use.otherwise) = true;
        if (node.call.op->quantization.weight_input < 0) continue;
        for (const int other : node.inputs)
          use.with_codes =
              use.with_codes || (other >= 0 && other != value && has_codes_[at(other)]);
      }
    }
    return use;
  }

  void to_bytes(int n) {
    const std::vector<int> inputs = graph_.node(n).inputs;
    const int zero = inputs.size() > 2 ? inputs[2] : -1;
    if (!graph_.value(inputs[0]).is_leaf() || (zero >= 0 && !graph_.value(zero).is_leaf())) return;
    const auto axis = graph_.node(n).call.attributes.as<DequantizeWeightAttributes>().axis;
    auto [found, fresh] = bytes_.emplace(std::tuple{inputs[0], zero, axis}, std::pair{-1, -1});
    if (fresh) {
      const ByteCodes made = in_bytes(graph_.value(inputs[0]).tensor,
                                      zero < 0 ? Tensor() : graph_.value(zero).tensor, axis);
      found->second = {instead_of(inputs[0], made.codes),
                       zero < 0 ? -1 : instead_of(zero, made.zeros)};
    }
    const int zeros = zero < 0 ? zeros_of(n) : found->second.second;
    Graph::Node& node = graph_.edit_node(n);
    node.call = {&kDequantizeLinear, Attributes::of(DequantizeAttributes{axis})};
    node.inputs = {found->second.first, inputs[1]};
    if (zeros >= 0) node.inputs.push_back(zeros);
  }

  /// Integer layers look for a zero point beside a constant scale.
  int zeros_of(int n) {
    const Graph::Value& scale = graph_.value(graph_.node(n).inputs[1]);
    if (!scale.is_leaf()) return -1;
    return graph_.add_leaf(Graph::Kind::constant, graph_.node(n).name + "_zero_point",
                           Tensor::zeros(scale.shape, DType::i32));
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
  std::vector<std::vector<int>> readers_;  // by value, as has_codes_
  std::vector<bool> has_codes_;
  std::map<std::tuple<int, int, std::int64_t>, std::pair<int, int>> bytes_;  // codes, zeros
};

}  // namespace

void settle_stored_weights(Graph& graph) { Settler(graph).run(); }

}  // namespace pare::onnx
