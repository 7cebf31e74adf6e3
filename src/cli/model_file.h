// Model files: .pare and .onnx, told apart by their content.
#pragma once

#include <string>

#include "pare/graph/graph.h"

namespace pare::cli {

/// Reads a model, whatever its name. Throws what the readers throw.
Graph load_model(const std::string& path);

/// Throws UsageError unless the path ends in .pare or .onnx; to be called before long work.
void check_model_output(const std::string& path);

struct SaveModelOptions {
  int opset = 0;              ///< of ONNX; 0: the lowest that holds the graph
  bool matmul_nbits = false;  ///< of ONNX: com.microsoft's op for products with codes
};
/// Writes what the path's ending says.
void save_model(const Graph& graph, const std::string& path, const SaveModelOptions& options = {});

}  // namespace pare::cli
