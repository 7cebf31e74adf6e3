// A convolution as the attributes of an ONNX node say it, for importers.
#pragma once

#include <vector>

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// Of f32 values x, weight and, optionally, bias.
int convolution(NodeImport& node, std::vector<int> inputs);

}  // namespace pare::onnx
