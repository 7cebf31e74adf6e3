// Products of inputs that are quantized as they come, on export: MatMulInteger and what scales it.
#pragma once

#include "pare/graph/graph.h"

namespace pare::onnx {

/// The graph with each such product (graph/integer_call.h) as one call, for the exporter alone: its
/// ONNX form is MatMulInteger, Cast, Mul and Add. With one range for the tensor these are the nodes
/// that ONNX Runtime's quantizer writes, which it fuses into its kernels; by rows the zero points
/// are taken off the sums.
Graph with_integer_products(Graph graph);

}  // namespace pare::onnx
