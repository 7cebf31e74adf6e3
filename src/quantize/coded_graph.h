// CodedGraph: a graph of integers, and beside it the one for training that is made of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/quantize/to_fake_quantize.h"

namespace pare::quantize {

/// Constant scale and zero point of a node that quantizes or dequantizes.
struct CodeParameters {
  Tensor scale;  ///< of rank 0 or 1
  Tensor zero;   ///< i32 of its shape
};

/// Codes of 8 bits: what convert makes.
bool is_byte(DType dtype);

class CodedGraph {
 public:
  /// Products with biases of their own become dense layers (graph/rewrites.h) first, codes and
  /// what clips them codes of fewer bits.
  CodedGraph(const Graph& quantized, const ToFakeQuantizeOptions& options);

  const ToFakeQuantizeOptions& options() const { return options_; }
  /// What was given; its values and nodes have the same numbers in `graph`.
  const Graph& before() const { return before_; }
  const Graph::Node& node(int n) const { return before_.node(n); }
  int nodes() const { return static_cast<int>(before_.nodes().size()); }
  int producer(int value) const { return value < 0 ? -1 : before_.value(value).producer; }
  bool is(int n, const OpDef& op) const { return n >= 0 && node(n).call.op == &op; }
  /// Of before: whether a value depends on leaves only.
  bool is_constant(int value) const { return leaf_[static_cast<std::size_t>(value)]; }
  /// Nothing where one of them is computed from the inputs.
  std::optional<CodeParameters> parameters_of(const Graph::Node& node) const;
  /// Why these codes cannot become numbers; empty where everybody who reads them, through movement
  /// or at once, dequantizes them by the same parameters.
  std::string obstacle(int codes, const CodeParameters& by) const;

  int constant(const std::string& name, const Tensor& value);
  int parameter(const std::string& name, Tensor value);
  int output_of(int n) const { return graph.node(n).outputs[0]; }

  /// Says that `real` of graph stands for a dequantized activation of before.
  void stands_for(int dequantized, int real) {
    float_of_[static_cast<std::size_t>(dequantized)] = real;
  }
  bool has_real(int dequantized) const {
    return float_of_[static_cast<std::size_t>(dequantized)] >= 0;
  }

  Graph graph;
  PassReport report;

 private:
  const ToFakeQuantizeOptions& options_;
  const Graph before_;
  const std::vector<bool> leaf_;
  std::vector<int> float_of_;  // by value of before; −1: none
};

/// Quantized activations become numbers behind fake-quantization. coded_activations.cpp
void fake_quantize_activations(CodedGraph& coded);
/// Codes of weights and biases become parameters, of layers whose input is such an activation.
/// coded_weights.cpp
void train_weights(CodedGraph& coded);

}  // namespace pare::quantize
