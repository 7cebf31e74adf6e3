// to_fake_quantize: the way back from integers, so that a quantized file can be trained on.
#pragma once

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"

namespace pare::quantize {

struct ToFakeQuantizeOptions {
  /// Else scales stay what they are, of activations and of weights.
  /// Scales of activations follow moving averages while context().observing, as in prepare_qat,
  /// from the ranges that the file's codes reach; those of weights (of 8 bits with zero point 0)
  /// follow their largest magnitudes.
  bool moving_ranges = false;
  double averaging = 0.01;  ///< of these
  /// Codes that leave the graph leave as the numbers that they stand for: no gradient comes from
  /// codes. Else what makes them stays integers.
  bool real_outputs = true;
};

struct FakeQuantized {
  Graph graph;
  /// What became trainable; what stays integers (codes that ops other than movement read, 16-bit
  /// ones, weights of layers that compute in float) with the reason.
  PassReport report;
};

/// The inverse of convert, for Q/DQ graphs of convert, of ONNX Runtime, PyTorch or converters from
/// TFLite, in either of ONNX Runtime's formats (QDQ, QOperator): a copy whose weights are float
/// parameters s·(q − z) behind fake_quantize, whose biases are float parameters, and whose
/// activations pass through fake_quantize with the file's scales and zero points. train::fit trains
/// it, and `convert` makes integers of it again: of the unchanged graph, ranges not moving, the
/// same codes and outputs (u8 weights as i8 with their zero points shifted, outputs that were codes
/// as their numbers). A product with a sum behind it that adds a bias becomes one dense layer.
/// `quantized` is unchanged. Throws invalid_state for a graph that has no codes or is one for
/// training already, invalid_argument for an averaging that is not in (0, 1] and, naming the node,
/// for scales that are not finite and above 0.
PARE_API FakeQuantized to_fake_quantize(const Graph& quantized,
                                        const ToFakeQuantizeOptions& options = {});

}  // namespace pare::quantize
