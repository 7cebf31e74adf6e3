// What the fake-quantizer of a layer's weight says: values, scales, and the batch norm behind.
#pragma once

#include <string>
#include <vector>

#include "graph/leaf_evaluator.h"
#include "pare/graph/graph.h"
#include "quantize/weights.h"

namespace pare::quantize {

/// Reads the weights of a prepared graph, which must outlive this, as must `evaluate`.
class WeightReader {
 public:
  WeightReader(const Graph& prepared, LeafEvaluator& evaluate)
      : graph_(prepared), leaf_(leaf_values(prepared)), evaluate_(evaluate) {}

  /// The node that fake-quantizes node n's weight; −1: that stays float, or is an activation.
  int quantizer(int n) const;
  /// The weights of node n that share a scale, where they have groups; else 0.
  std::int64_t group_size(int n) const;
  /// The weight of node n with the batch norm `norm` folded in, −1: none. Throws unsupported,
  /// naming the layer, for codes that i8 does not hold and for other scales than one or one for
  /// each output channel; invalid_argument for weights or learned steps that are NaN or infinite.
  LayerWeights read(int n, int norm, float source_scale);
  /// The node that fake-quantizes the rows of a weight, the value `weight`; −1: none.
  int rows_quantizer(int weight) const;
  /// The weight that it rounds; `layer` is the reader's name, for errors. Throws as read.
  LayerWeights read_rows(const std::string& layer, int quantizer);
  /// Throws invalid_argument naming the node for leaves that it reads with NaN or infinity.
  void check_leaves(const Graph::Node& node);
  /// The name of the parameter that node n's weight comes from, however many calls (a mask, a batch
  /// norm's factor) stand in between: "conv1.weight".
  std::string name(int n) const;
  std::string name_of(int value) const;
  /// The value that is the node's bias; −1: none.
  static int bias_of(const Graph::Node& node);

 private:
  bool quantizes_weights(int n) const;
  // The node that rounds the value `weight`, or its groups; −1: none.
  int rounder_of(int weight) const;
  std::int64_t group_size_at(int quantizer) const;
  // Whether node n's quantized weight has its batch norm's factor already.
  bool is_folded(int n) const;
  std::vector<double> doubles(int value);
  void fold(const Graph::Node& norm, LayerWeights& layer);
  void read_weight(int channel_axis, const Graph::Node& quantizer, LayerWeights& layer);

  const Graph& graph_;
  const std::vector<bool> leaf_;  // per value
  LeafEvaluator& evaluate_;
};

}  // namespace pare::quantize
