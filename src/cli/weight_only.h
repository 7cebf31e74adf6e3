// pare quantize --weight-only: its options and its run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/settings.h"

namespace CLI {
class App;
}

namespace pare::cli {

struct WeightOnlyFlags {
  bool on = false, affine = false, gptq = false, matmul_nbits = false;
  std::optional<int> bits;  ///< 4 without
  int embedding_bits = 8;
  std::string weights = "codes";  ///< or "bf16", "f16"
  std::int64_t group = 32;
  double damping = 0.01;
  std::vector<std::string> ops, layers;
};
/// Files and data as `pare quantize` has them.
struct WeightOnlyJob {
  std::string from, to;
  std::vector<std::string> calibration, exclude;
  std::int64_t batch = 0;  ///< as many as batch_for says
  int opset = 0;           ///< of the ONNX file to write; 0: the lowest that holds the graph
};

/// Options --weight-only, --weights, --matmul-nbits, --bits (which the command has by itself too),
/// --embedding-bits, --group, --affine, --gptq, --damping, --op and --layer.
void add_weight_only_options(CLI::App* command, WeightOnlyFlags& flags);
void run_weight_only(const WeightOnlyFlags& flags, const WeightOnlyJob& job,
                     const Settings& settings);

}  // namespace pare::cli
