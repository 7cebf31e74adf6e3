// Codes of weights that fit in 4 or 2 bits, on export: packed where the opset has the type.
#pragma once

#include "pare/graph/graph.h"

namespace pare::onnx {

/// Constant i8 and u8 codes of two axes or more that only dequantize_linear nodes read become those
/// of 4 bits (from opset 21 on) or 2 (from 25 on), the narrowest that holds them and their zero
/// points; the nodes become dequantize_weight, whose form in ONNX is the same and whose codes may
/// be packed. Nodes keep their numbers.
void pack_codes(Graph& graph, int opset);

}  // namespace pare::onnx
