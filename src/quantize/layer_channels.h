// Which output and input channel each weight of a layer connects.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// The weight of a convolution, a transposed one, a linear layer or a product with a matrix: its
/// first two axes, and the taps behind them.
struct LayerChannels {
  std::int64_t outputs = 0;  ///< 0: another op
  std::int64_t inputs = 0;
  std::int64_t groups = 1;
  bool outputs_first = true;  ///< [outputs, inputs / groups, …], else [inputs, outputs / groups, …]
  int axis = 1;           ///< of the layer's source and result, where channels lie; −1: the last
  std::int64_t taps = 1;  ///< weights of one output and one input

  std::int64_t rows() const { return outputs_first ? outputs : inputs; }
  std::int64_t columns() const { return (outputs_first ? inputs : outputs) / groups; }
  /// visit(output, input, k) for each pair that taps connect; the taps begin at element k · taps.
  template <class Visit> void for_each_pair(Visit&& visit) const {
    for (std::int64_t r = 0, k = 0; r < rows(); ++r) {
      const std::int64_t first = r / (rows() / groups) * columns();
      for (std::int64_t c = 0; c < columns(); ++c, ++k)
        outputs_first ? visit(r, first + c, k) : visit(first + c, r, k);
    }
  }
};
/// `node` must have its weight at input 1.
LayerChannels layer_channels(const Graph::Node& node, const Shape& weight);
/// A number for each of the layer's output channels, or of its input channels, in a shape of `rank`
/// axes that its weight's broadcasts.
Tensor channel_factors(const LayerChannels& layer, const std::vector<double>& numbers, bool outputs,
                       int rank);
/// Adds a value [outputs] to the bias (input 2) of a layer by a call of that name; where there is
/// no bias it becomes it.
void add_to_bias(Graph& graph, int node, int value, const std::string& name);

}  // namespace pare::quantize
