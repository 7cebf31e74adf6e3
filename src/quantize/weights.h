// The integers of a layer: weight codes, scales and bias, with a batch norm folded in.
#pragma once

#include <string>
#include <vector>

#include "pare/core/tensor.h"

namespace pare::quantize {

/// A layer as training saw it. Channels are those of the weight's `axis`.
struct LayerWeights {
  std::string name;           ///< of the node, for errors
  Tensor weight;              ///< before fake-quantization
  std::vector<float> scales;  ///< of its fake-quantization
  std::vector<std::int32_t> zero_points;
  bool one_scale = false;  ///< for all channels, repeated above
  std::int64_t qmin = -127;
  std::int64_t qmax = 127;
  int axis = 0;
  std::int64_t groups = 1;  ///< of a transposed convolution: output channel c has channel c mod C
  std::vector<double> factor;  ///< of the batch norm after it; empty: none
  std::vector<double> bias;    ///< per output channel, batch norm folded in; empty: none
  float source_scale = 1;      ///< of the layer's input
  /// Where weights have groups (weight_groups.h) the channels above are rows of this many weights;
  /// the bias then stays float, apart. 0: none.
  std::int64_t group_size = 0;
  std::vector<double> float_bias = {};
};

struct LayerCodes {
  Tensor weight;      ///< i8
  Tensor scale;       ///< f32 [C], or of rank 0 where one holds for all channels
  Tensor zero_point;  ///< i32 as the scale; undefined: 0
  Tensor bias;        ///< i32 [groups · C], or undefined
  Tensor bias_scale;  ///< f32 [groups · C]: source scale · weight scale
  std::string note;   ///< what is worth reporting; empty: nothing
};

/// Codes of W·f are codes(W)·sign(f), their scale is s·|f|: fake-quantization commutes with f. A
/// zero point z ≠ 0 becomes qmin + qmax − z under a negative f. Three cases apart: −128 under a
/// negative f becomes 127 where z = 0; where f = 0 the codes are 0; where the bias would not fit 30
/// bits in units of s_x·s·|f| (f nearly 0) the scale is raised until it does, and the weight coded
/// anew. Throws unsupported where a sum of products could leave 32 bits,
/// invalid_argument for NaN or infinity.
LayerCodes code_layer(const LayerWeights& layer);

}  // namespace pare::quantize
