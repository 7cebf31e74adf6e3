// Groups of a weight along its input axis, as rows that have a scale each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/op.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/graph/graph.h"
#include "quantize/weight_codes.h"
#include "quantize/weights.h"

namespace pare::quantize {

/// The groups that weight_only makes: `size` neighbours along the input axis, for every output
/// channel and every tap of a convolution; the last of them may be shorter.
class WeightGroups {
 public:
  /// Of a node's weight [outputs, inputs, taps …], or [inputs, outputs] of a matrix product. Throws
  /// unsupported, naming the node, for ops whose weights have no groups.
  WeightGroups(const Graph::Node& node, const Shape& weight, std::int64_t size);
  /// A layer with no more inputs than a group has a scale per channel.
  bool are_channels() const { return groups_ <= 1; }
  std::int64_t rows_per_channel() const { return taps_ * groups_; }

  /// The weight as rows [channels · taps · groups, size], short groups filled up with zeros, which
  /// have a code of their own.
  std::vector<Call> to_rows() const;
  std::vector<Call> from_rows() const;
  /// What belongs to rows in dequantize_weight's layout: the weight's shape but for the groups.
  Tensor per_group(const Tensor& per_row) const;
  DequantizeWeightAttributes attributes() const { return {.axis = input_axis_, .block = size_}; }

 private:
  std::vector<std::int64_t> sizes(std::int64_t last) const;

  Shape weight_;
  std::int64_t size_;
  int input_axis_;
  std::int64_t groups_, taps_;
  std::vector<std::int64_t> inputs_last_;  // permutation, the channels first
};

/// The codes of rows as dequantize_weight takes them, packed where `layer`'s codes fit 4 or 2 bits.
StoredWeight stored_groups(const WeightGroups& groups, const LayerWeights& layer,
                           const LayerCodes& codes);

/// The value that the calls make of a value of the graph, their nodes named after `name`.
int add_calls(Graph& graph, int value, const std::vector<Call>& calls, const std::string& name);
Tensor apply_calls(Tensor x, const std::vector<Call>& calls);

/// The last value that the prepared graph's weight `value` comes from by nothing but the calls of
/// from_rows: the rounded rows. `value` itself where there are none.
int rounded_rows(const Graph& graph, int value);

/// The fake_quantize of a node's constant weight, of the weight or of its groups' rows; −1: none.
int weight_quantizer(const Graph& prepared, const Graph::Node& node);
/// Whether it rounds the rows of groups.
bool rounds_groups(const Graph& prepared, int quantizer);
/// The value that it rounds: the weight itself, before its groups became rows.
int exact_weight(const Graph& prepared, int quantizer);

}  // namespace pare::quantize
