// The matrix product of any number type, for importers.
#pragma once

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// NumPy's matmul of two values of one dtype. Half types are computed in f32.
int matmul(NodeImport& node, int a, int b);

}  // namespace pare::onnx
