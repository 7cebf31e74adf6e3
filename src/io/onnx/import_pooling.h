// Average pooling as the attributes of an ONNX node say it, for importers.
#pragma once

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// Of a value [N, C, …] of f32 or f64.
int average_pool(NodeImport& node, int x);

}  // namespace pare::onnx
