// Checkpoints: the state of a module in a safetensors file.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pare/core/export.h"
#include "pare/io/safetensors.h"
#include "pare/nn/module.h"

namespace pare::io {

/// Writes the module's parameters and buffers under the names of Module::state, which are PyTorch's
/// for the models of pare. How masked, quantized, … parameters are computed from their leaves goes
/// into the metadata, so that `load` can rebuild them. Throws invalid_state for a parameter that
/// has no value yet, and what save_tensors throws. Where the path ends in ".pare" the module must
/// be a Graph (invalid_argument), which is written whole as save_graph does.
PARE_API void save(nn::Module& module, const std::string& path);

struct LoadOptions {
  /// Names that only one of file and module has, and two values for tied names, are an error.
  bool strict = true;
};
struct LoadReport {
  std::vector<std::string> missing;     ///< in the module, not in the file
  std::vector<std::string> unexpected;  ///< in the file, not in the module
  /// Names tied in the module whose values in the file differ: of each two the last is taken.
  std::vector<std::pair<std::string, std::string>> differing;
};

/// Reads what `save` or safetensors.torch.save_file(model.state_dict(), …) wrote. Values go into
/// the module's tensors in place; a parameter that the file holds as leaves ("weight_orig",
/// "weight_mask", …) becomes an expression of them. PyTorch's "num_batches_tracked" is passed over.
/// Throws what load_tensors throws, and invalid_argument, shape_mismatch or dtype_mismatch where
/// file and module do not agree; the module is then as it was.
PARE_API LoadReport load(nn::Module& module, const std::string& path,
                         const LoadOptions& options = {});

}  // namespace pare::io
