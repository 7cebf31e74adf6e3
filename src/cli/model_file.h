// Model files: .pare and .onnx, told apart by their content.
#pragma once

#include <cstdint>
#include <string>

#include "pare/graph/graph.h"

namespace CLI {
class App;
}

namespace pare::cli {

/// Reads a model, whatever its name. Throws what the readers throw.
Graph load_model(const std::string& path);

/// Throws UsageError unless the path ends in .pare or .onnx; to be called before long work.
void check_model_output(const std::string& path);

/// Option --opset: that of the ONNX file to write.
void add_opset_option(CLI::App* command, int& opset);
/// Throws UsageError for one (0: none) where another file is written; to be called before long
/// work.
void check_opset(int opset, const std::string& path);

struct SaveModelOptions {
  int opset = 0;              ///< of ONNX; 0: the lowest that holds the graph
  bool matmul_nbits = false;  ///< of ONNX: com.microsoft's op for products with codes
};
/// Writes what the path's ending says.
void save_model(const Graph& graph, const std::string& path, const SaveModelOptions& options = {});

/// A model's file and that of what was made of it, with their bytes.
struct FileSizes {
  std::string from, to;
  std::uint64_t before = 0, after = 0;
};
/// Writes what was made of the model `from`, which may be the same file. Throws Interrupted, and as
/// save_model.
FileSizes replace_model(const std::string& from, const Graph& graph, const std::string& to,
                        const SaveModelOptions& options = {});
/// "net.onnx: 44.7 MB", and a second line.
std::string to_string(const FileSizes& files);

}  // namespace pare::cli
