// Constants that hold codes: what convert adds to a graph for weights and biases.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pare/core/ops/dequantize_weight.h"
#include "pare/graph/graph.h"
#include "quantize/weight_codes.h"
#include "quantize/weights.h"

namespace pare::quantize {

/// Adds codes, scales and zero points as constants and the nodes that dequantize them. Calls with
/// one name share what is the same: layers that share a weight share its codes. The functions give
/// the value that the nodes produce; `graph` must outlive this.
class CodeConstants {
 public:
  explicit CodeConstants(Graph& graph) : graph_(graph) {}

  /// A node of dequantize_linear; `axis` −1: one scale.
  int dequantize(const std::string& name, int codes, int scale, int zero_point,
                 std::int64_t axis = -1);
  /// A weight whose codes are multiplied, with scales along `axis` or one.
  int add_weight(const std::string& name, const LayerCodes& codes, int axis);
  /// A weight that is read as floats, by dequantize_weight.
  int add_stored(const std::string& name, const StoredWeight& stored,
                 const DequantizeWeightAttributes& attributes);
  /// The i32 codes of a layer's bias.
  int add_bias(const std::string& name, const LayerCodes& codes);

 private:
  int constant(const std::string& name, const Tensor& value);
  int shared(const std::string& name, const Tensor& value);
  int zeros(const Shape& shape);

  Graph& graph_;
  std::map<std::string, std::vector<std::pair<Tensor, int>>> shared_;  // by name
  std::map<std::int64_t, int> zeros_;                                  // by the number of channels
};

}  // namespace pare::quantize
