// recognize: a dense layer of integers, written as a matrix product and the sum with its bias.
#include <cstdint>
#include <map>
#include <vector>

#include "core/check.h"
#include "graph/quantized_groups.h"
#include "graph/rewrites.h"
#include "graph/uses.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

/// x·W + b, of dequantized codes, as converters from TFLite (and PyTorch's linear layers of three
/// axes) have it. As one call the bias joins the sums of the integers, and has codes of its own.
class LinearFinder {
 public:
  LinearFinder(Graph& graph, PassReport& report) : graph_(graph), report_(report), uses_(graph) {}

  void run() {
    const auto nodes = static_cast<int>(graph_.nodes().size());
    for (int n = 0; n < nodes; ++n)
      if (graph_.node(n).call.op == &kMatmul) take_transposed(n);
    for (int n = 0; n < nodes; ++n)
      if (graph_.node(n).call.op == &kAdd && !rewrite(n, 0)) rewrite(n, 1);
  }

 private:
  /// x·Wᵀ, as linear layers of more than two axes are written, pare's own too.
  void take_transposed(int n) {
    const int turned = graph_.value(graph_.node(n).inputs[1]).producer;
    if (turned < 0 || graph_.node(turned).call.op != &kTranspose) return;
    const QuantizedOperand x = quantized_operand(graph_, n, 0);
    const QuantizedOperand weight = quantized_operand(graph_, turned, 0);
    const auto& moved = graph_.node(turned).call.attributes.as<TransposeAttributes>();
    if (!x.quantized() || graph_.value(x.codes).shape.rank() < 2 || !is_matrix(weight, 0) ||
        moved.permutation != std::vector<std::int64_t>{1, 0})
      return;
    Graph::Node& node = graph_.edit_node(n);
    node.call = {&kLinear, {}};
    node.inputs = {x.value, weight.value};
    report_.done.push_back({node.name, "is linear"});
  }

  /// Whether input i of the sum is a product that it makes a linear layer of.
  bool rewrite(int sum, int i) {
    const std::vector<int> terms = graph_.node(sum).inputs;
    const int value = terms[static_cast<std::size_t>(i)];
    const int bias = terms[static_cast<std::size_t>(1 - i)];
    const int product = graph_.value(value).producer;
    if (product < 0 || uses_.only_reader(value) != sum) return false;
    const OpDef* op = graph_.node(product).call.op;
    if (op != &kMatmul && (op != &kLinear || graph_.node(product).inputs.size() > 2)) return false;
    const int columns = op == &kMatmul ? 1 : 0;  // axis of the matrix
    const QuantizedOperand x = quantized_operand(graph_, product, 0);
    const QuantizedOperand weight = quantized_operand(graph_, product, 1);
    if (!x.quantized() || !is_matrix(weight, columns) || graph_.value(x.codes).shape.rank() < 2 ||
        !is_bias(bias, graph_.value(weight.codes).shape[columns]))
      return false;
    const int turned = columns == 1 ? transposed(weight) : weight.value;
    Graph::Node& node = graph_.edit_node(sum);
    node.call = {&kLinear, {}};
    node.inputs = {x.value, turned, bias};
    report_.done.push_back({node.name, "is linear"});
    return true;
  }

  /// Codes of 8 bits with one scale, or one for each of the columns, which lie along `axis`.
  bool is_matrix(const QuantizedOperand& weight, int axis) const {
    if (!weight.quantized() || !graph_.value(weight.codes).is_leaf() ||
        graph_.value(weight.codes).shape.rank() != 2)
      return false;
    const DType dtype = graph_.value(weight.codes).dtype;
    const bool per_channel = graph_.value(weight.scale).shape.rank() == 1;
    return (dtype == DType::i8 || dtype == DType::u8) &&
           (!per_channel || weight.axis == axis || weight.axis == axis - 2);
  }

  /// One number for each column: a leaf, or the dequantized codes of one.
  bool is_bias(int value, std::int64_t columns) const {
    if (graph_.value(value).shape != Shape{columns}) return false;
    const int producer = graph_.value(value).producer;
    if (producer < 0) return graph_.value(value).is_leaf();
    const Graph::Node& node = graph_.node(producer);
    return node.call.op == &kDequantizeLinear && graph_.value(node.inputs[0]).is_leaf();
  }

  /// The matrix [out, in], dequantized; of one that several layers read the same.
  int transposed(const QuantizedOperand& weight) {
    if (const auto known = transposed_.find(weight.value); known != transposed_.end())
      return known->second;
    const Graph::Node from = graph_.node(weight.dequantize);
    const Graph::Value codes = graph_.value(weight.codes);
    const int leaf =
        graph_.add_leaf(codes.kind, codes.name, transpose(codes.tensor, {1, 0}).clone());
    const DequantizeAttributes a{.axis = graph_.value(weight.scale).shape.rank() == 1 ? 0 : -1};
    const int node = graph_.add_node(from.name, {&kDequantizeLinear, Attributes::of(a)},
                                     {leaf, weight.scale, weight.zero_point});
    return transposed_[weight.value] = graph_.node(node).outputs[0];
  }

  Graph& graph_;
  PassReport& report_;
  const Uses uses_;
  std::map<int, int> transposed_;  // by the dequantized matrix
};

}  // namespace

void recognize_linear(Graph& graph, PassReport& report) { LinearFinder(graph, report).run(); }

}  // namespace pare
