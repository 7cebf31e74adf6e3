// Dynamic quantization of recurrent layers: weights become codes, rows are rounded as they come.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Whether node n is an rnn, lstm or gru.
bool is_recurrent(const Graph::Node& node);

/// Why node n, a recurrent layer, stays float; empty: it need not.
std::string recurrent_refusal(const Graph& graph, int n);

/// Weights by value that are codes already: the value that dequantizes them.
using CodedWeights = std::map<int, int>;

struct RecurrentBytes {
  std::size_t before = 0;  ///< of the weights as floats; 0 of those coded before
  std::size_t after = 0;   ///< of their codes and scales
};
/// Edits `graph`: W_ih, W_hh and W_hr of node n, in both directions, become i8 codes behind
/// dequantize_linear, with a scale per row (of each gate's unit), and the call gets
/// dynamic_quantize. Biases, peepholes and states stay float. Throws invalid_argument naming the
/// node for weights that are NaN or infinite, unsupported where its sums could leave 32 bits.
RecurrentBytes quantize_recurrent(Graph& graph, int n, CodedWeights& coded);

}  // namespace pare::quantize
