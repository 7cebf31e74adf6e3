// From a ModelProto to a Graph.
#pragma once

#include <string>

#include "io/onnx/model.h"
#include "io/onnx/tensor_data.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

struct ImportOptions {
  std::string file;                  ///< for errors
  ExternalData* external = nullptr;  ///< null: external data is refused
  std::size_t bytes = 0;             ///< of the file: constants are folded up to a multiple of it
};

/// Throws unsupported with every node that pare cannot read, corrupt_data for a model that
/// contradicts itself, naming file and node.
Graph import_model(const ModelProto& model, const ImportOptions& options);

}  // namespace pare::onnx
