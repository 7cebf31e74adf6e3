// pare quantize --dynamic: its options and its run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/settings.h"

namespace CLI {
class App;
}

namespace pare::cli {

struct DynamicFlags {
  bool on = false, one_range = false, mse = false;
};
/// Files and choices as `pare quantize` has them.
struct DynamicJob {
  std::string from, to;
  std::vector<std::string> ops, layers, exclude;
  int embedding_bits = 8;
  std::int64_t weight_qmax = 127;
  int opset = 0;  ///< of the ONNX file to write; 0: the lowest that holds the graph
};

/// Options --dynamic, --one-range and --mse.
void add_dynamic_options(CLI::App* command, DynamicFlags& flags);
void run_dynamic(const DynamicFlags& flags, const DynamicJob& job, const Settings& settings);

}  // namespace pare::cli
