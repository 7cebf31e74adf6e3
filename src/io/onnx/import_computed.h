// Import of nodes whose shapes, bounds and axes are computed: inputs stay inputs.
#pragma once

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// Imports the node where an input that says a shape, bounds or axes is not known now, as a call
/// that takes it as a value; false, and nothing done, for all other nodes.
bool import_computed(NodeImport& node);

}  // namespace pare::onnx
